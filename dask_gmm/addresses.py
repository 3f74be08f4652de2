"""What an address of a Dask scheduler says about who can reach it.

Whoever can speak to a scheduler runs code on its workers: there is no password but TLS.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

#: Protocols that authenticate both ends, or never leave the process.
_SAFE = frozenset({"tls", "wss", "gateway", "inproc", "https"})


def is_exposed(address: str) -> bool:
    """Tell whether an address is open to a network, unencrypted and to anybody.

    Parameters
    ----------
    address : str
        As Dask writes it: ``tcp://10.0.0.1:8786``; without a protocol, ``tcp`` is meant.

    Examples
    --------
    >>> [is_exposed(each) for each in ("tcp://10.0.0.1:8786", "tls://10.0.0.1:8786", "[::1]:8786")]
    [True, False, False]
    """
    protocol, found, rest = address.partition("://")
    if found and protocol in _SAFE:
        return False
    try:
        host = urlsplit(f"//{rest if found else address}").hostname or ""
        return host != "localhost" and not ip_address(host).is_loopback
    except ValueError:  # a name, or nothing that can be understood
        return True


def is_encrypted(address: str) -> bool:
    """Tell whether an address asks for TLS certificates of Dask's own."""
    return address.partition("://")[0] in {"tls", "wss"} and "://" in address


def without_password(address: str) -> str:
    """Return an address or URL as it may be shown."""
    start, found, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{start}{found}{host.rpartition('@')[2]}{slash}{path}" if found else address
