"""A folder below a URL, through fsspec; credentials stay where nobody prints them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dask_gmm.data.objects import StoredObject
from dask_gmm.errors import ConfigurationError, InputDataError

if TYPE_CHECKING:
    from zarr.abc.store import Store

#: The first contact is impatient, so that a server that does not answer is reported within a minute
#: or so; `storage_options` may say otherwise. Readings of chunks are as patient as s3fs itself.
_S3_PATIENCE = {"connect_timeout": 5, "read_timeout": 15, "retries": {"max_attempts": 1}}
_S3_RETRIES = 2
#: Protocols whose servers have no listing to rely on.
_UNLISTED = ("http", "https")
_S3 = ("s3", "s3a")
_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}

_NO_CREDENTIALS = (
    "no credentials were found: put them into the environment (for S3: AWS_PROFILE, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or into source.storage_options (key, secret), or "
    "set source.storage_options: {anon: true} for public data"
)
_DENIED = (
    "access is denied: check the credentials (source.storage_options, or the environment) and what "
    "they may read and list"
)
_UNREACHABLE = (
    "the server cannot be reached: check source.storage_options (endpoint_url) and the network"
)
_OPTIONS = "the names and values of source.storage_options"
_NO_BUCKET = "there is no such bucket: check source.path and source.storage_options (endpoint_url)"


@dataclass(frozen=True)
class RemoteFolder:
    """A folder below a URL.

    It travels to workers inside tasks with all that opening the store needs. The options are kept
    as one text outside the repr, so that no log, key or message shows them.

    Parameters
    ----------
    name : str
        The URL; user names, passwords and queries are refused.
    """

    name: str
    _options: str = field(default="{}", repr=False)

    @classmethod
    def of(cls, url: str, storage_options: Mapping[str, Any]) -> RemoteFolder:
        """Return the folder at ``url``.

        Raises
        ------
        ConfigurationError
            See `folders.open_folder`.
        """
        shown = re.sub(r"//[^/@]*@", "//***@", url.split("?")[0])
        if shown != url or "#" in url:
            raise ConfigurationError(
                f"source.path: {shown.split('#')[0]} holds a user name, a password, a query or a "
                "fragment; allowed is a plain URL: put credentials into source.storage_options"
            )
        try:
            text = json.dumps(dict(storage_options), sort_keys=True)
        except (TypeError, ValueError):
            raise ConfigurationError(
                "source.storage_options: hold a value that is not plain (text, number, true, "
                "false, null, list or mapping); write it as one of these"
            ) from None
        folder = cls(url.rstrip("/"), text)
        folder._file_system()
        return folder

    def child(self, name: str) -> RemoteFolder:
        """Return the folder ``name`` inside this one."""
        first, chain, rest = self.name.partition("::")
        return RemoteFolder(f"{first.rstrip('/')}/{name}{chain}{rest}", self._options)

    def read(self, key: str) -> bytes | None:
        """Return what lies under a key; None where nothing does."""
        with _told(self.name):
            fs, root = self._file_system()
            try:
                return fs.cat_file(f"{root}/{key}")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError, KeyError) as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return None

    def children(self) -> list[str]:
        """Return the sorted names of the folders inside this one."""
        with _told(self.name):
            fs, root = self._file_system()
            try:
                found = fs.ls(root, detail=True)
            except FileNotFoundError:
                return []
            names = [each["name"] for each in found if each.get("type") == "directory"]
            return sorted(name.rstrip("/").rpartition("/")[2] for name in names)

    def lacks(self, key: str) -> bool:
        """Tell whether nothing lies under a key; plain HTTP is believed to have it."""
        if self._protocol in _UNLISTED:
            return False
        with _told(self.name):
            fs, root = self._file_system()
            fs.invalidate_cache()
            try:
                return bool(fs.info(f"{root}/{key}")["type"] != "file")
            except FileNotFoundError:
                return True

    def find(self, keys: Iterable[str]) -> dict[str, StoredObject] | None:
        """Return size and version of those of the keys that are there, out of one listing.

        On S3 that is one request per thousand objects.
        """
        if self._protocol in _UNLISTED:
            return None
        with _told(self.name):
            fs, root = self._file_system()
            fs.invalidate_cache()
            try:
                listed = fs.find(root, detail=True)
            except FileNotFoundError:
                listed = {}
        # A listing names objects as the file system does, with or without a leading slash.
        prefix = len(root.strip("/")) + 1
        there = {name.strip("/")[prefix:]: details for name, details in listed.items()}
        return {key: _stored(there[key]) for key in keys if key in there}

    def absence(self) -> str:
        """Say what is there instead of a Zarr hierarchy."""
        return (
            "nothing is there that is Zarr (no zarr.json, .zarray or .zgroup); check source.path "
            "and source.storage_options"
        )

    def zarr_store(self) -> Store:
        """Return Zarr's own view of the folder, read-only."""
        from zarr.storage import FsspecStore

        with _told(self.name):
            return FsspecStore.from_url(self.name, storage_options=self._opened(), read_only=True)

    @property
    def _protocol(self) -> str:
        return self.name.split("::")[0].split("://")[0].lower()

    def _opened(self) -> dict[str, Any]:
        """Return the options as fsspec takes them."""
        options: dict[str, Any] = json.loads(self._options)
        if self._protocol in _UNLISTED and "client_kwargs" not in options:
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
            options["client_kwargs"] = {"timeout": timeout}
        return options

    def _file_system(self) -> tuple[Any, str]:
        import fsspec

        try:
            options = self._opened()
            if self._protocol in _S3:
                options["config_kwargs"] = _S3_PATIENCE | (options.get("config_kwargs") or {})
            fs, root = fsspec.url_to_fs(self.name, **options)
            if self._protocol in _S3:
                fs.retries = _S3_RETRIES
        except ImportError as error:
            extra = _EXTRAS.get(self._protocol)
            remedy = f"python3 -m pip install 'dask-gmm[{extra}]'" if extra else str(error)
            raise ConfigurationError(
                f"source.path: {self._protocol}:// needs a package that is not installed: {remedy}"
            ) from None
        except (ValueError, TypeError) as error:
            # Their words may quote the options.
            raise ConfigurationError(
                f"source.path: {self.name} cannot be opened ({type(error).__name__}): check the "
                f"protocol, and {_OPTIONS}"
            ) from None
        return fs, root.rstrip("/")


def explained(error: BaseException) -> str:
    """Say what a store's exception means and what to do, in words that quote nothing of it.

    The texts of botocore, s3fs and aiohttp may hold keys, signatures and headers.
    """
    kinds = {each.__name__ for each in type(error).__mro__}
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}:
        return _NO_CREDENTIALS
    if _code(error) == "NoSuchBucket":
        return _NO_BUCKET
    if isinstance(error, PermissionError):
        return _DENIED + (f" ({_code(error)})" if _code(error) else "")
    unreachable = {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "HTTPClientError",
        "ClientConnectionError",
        "ServerTimeoutError",
        "FSTimeoutError",
    }
    if kinds & unreachable or isinstance(error, ConnectionError | TimeoutError):
        return _UNREACHABLE
    if isinstance(error, TypeError | ValueError):
        return f"the options are not accepted ({type(error).__name__}): check {_OPTIONS}"
    what = ", ".join(each for each in (type(error).__name__, _code(error)) if each)
    return f"the store refuses ({what}); check source.path and source.storage_options"


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn whatever a store raises into one line that names the URL."""
    try:
        yield
    except (InputDataError, ConfigurationError, MemoryError):
        raise
    except Exception as error:  # every file system has its own
        raise InputDataError(f"{name}: {explained(error)}") from None


def _code(error: BaseException) -> str | None:
    """Return the error code of an S3 answer: a word that S3's documentation lists."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9.]{1,60}", code):
            return code
    return None


def _stored(details: Mapping[str, Any]) -> StoredObject:
    tags = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
    version = next((details[tag] for tag in tags if details.get(tag)), "")
    return StoredObject(int(details.get("size") or 0), str(version))
