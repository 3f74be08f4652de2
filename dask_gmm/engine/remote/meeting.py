"""A client meets its scheduler and workers: they must be safe, there, and of one kind with us."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dask_gmm.addresses import is_exposed, without_password
from dask_gmm.engine.cluster import Workers
from dask_gmm.engine.remote.versions import require_same_versions
from dask_gmm.engine.remote.watch import watched
from dask_gmm.errors import ConfigurationError, TemporaryFailureError

#: Seconds in which a scheduler must answer.
CONNECT_TIMEOUT = 30


@dataclass(frozen=True)
class Around:
    """What every way to get at workers is told.

    Attributes
    ----------
    loop : IOLoop
        Where cluster and client live.
    timeout : int
        Seconds to wait for a first worker, and for another one when all have gone.
    allow_insecure : bool
        Whether a scheduler may be open to a network.
    """

    loop: Any
    timeout: int
    allow_insecure: bool


@dataclass(frozen=True)
class Meeting:
    """Where a client connects.

    Attributes
    ----------
    scheduler : str or object
        An address, or one of Dask's cluster objects.
    look_at : str
        Where the reason lies if no worker comes, in words.
    security : Security or None
    """

    scheduler: Any
    look_at: str
    security: Any = None

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        found = self.scheduler
        return str(found if isinstance(found, str) else found.scheduler_address)


def security_of(tls: dict[str, Any] | None) -> Any:
    """Return the ``distributed.Security`` of a ``tls`` section, the same for every role."""
    from distributed import Security

    if tls is None:
        return None
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=tls["ca_file"],
        **{f"tls_{role}_cert": tls["cert"] for role in roles},
        **{f"tls_{role}_key": tls["key"] or tls["cert"] for role in roles},
    )


@contextmanager
def meet(meeting: Meeting, around: Around) -> Iterator[Workers]:
    """Connect, wait for a worker, check all versions, and watch that some worker is left."""
    timeout = around.timeout
    _require_safe(meeting.address, around.allow_insecure)
    with _connected(meeting, around.loop) as client:
        try:
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError as error:
            raise TemporaryFailureError(
                f"no worker has come to the scheduler {without_password(meeting.address)} within "
                f"{timeout} s; {meeting.look_at}, or set a larger cluster.timeout"
            ) from error
        require_same_versions(client)
        present = client.scheduler_info()["workers"].values()
        limits = [each["memory_limit"] for each in present if each["memory_limit"]]
        threads = max(each["nthreads"] for each in present)
        with watched(client, timeout, meeting.look_at):
            yield Workers(client, min(limits, default=None), threads)


@contextmanager
def _connected(meeting: Meeting, loop: Any) -> Iterator[Any]:
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    with warnings.catch_warnings():
        # What matters about versions is looked at, and said, by require_same_versions.
        warnings.simplefilter("ignore", VersionMismatchWarning)
        try:
            client = Client(
                meeting.scheduler,
                security=meeting.security,
                loop=loop,
                timeout=CONNECT_TIMEOUT,
                set_as_default=False,
            )
        except OSError as error:
            raise TemporaryFailureError(
                f"the scheduler {without_password(meeting.address)} could not be reached within "
                f"{CONNECT_TIMEOUT} s ({error.__cause__ or error}); see that it runs, that this "
                "machine may connect to it, and for tls:// that cluster.tls names its authority"
            ) from error
        with client:
            yield client


def _require_safe(address: str, allow_insecure: bool) -> None:
    if is_exposed(address) and not allow_insecure:
        raise ConfigurationError(
            f"the scheduler {without_password(address)} takes orders from anybody on its network; "
            "start it with TLS, or set cluster.allow_insecure: true if nobody else can reach that "
            "network"
        )
