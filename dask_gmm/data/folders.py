"""Where a Zarr hierarchy lies: a folder of keys, on this machine or below a URL.

This is the one seam under the Zarr sources. A folder is a small frozen value that travels to
workers inside tasks; `remote.RemoteFolder` is the same over fsspec. Local paths never touch fsspec.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dask_gmm.data.objects import StoredObject
from dask_gmm.errors import ConfigurationError, InputDataError

if TYPE_CHECKING:
    from zarr.abc.store import Store

#: s3://bucket/key, and fsspec's chains of file systems (zip://a.zarr::s3://bucket/key).
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
_LOCAL_URL = re.compile(r"(file|local)://", re.IGNORECASE)


class Folder(Protocol):
    """A folder of keys."""

    @property
    def name(self) -> str:
        """The absolute path or URL, without credentials: what messages and manifests show."""

    def child(self, name: str) -> Folder:
        """Return the folder ``name`` (may hold '/') inside this one."""

    def read(self, key: str) -> bytes | None:
        """Return what lies under a key (a metadata document), None where nothing does.

        Raises
        ------
        InputDataError
            If the store refuses or cannot be reached.
        """

    def children(self) -> list[str]:
        """Return the sorted names of the folders inside this one."""

    def lacks(self, key: str) -> bool:
        """Tell whether nothing lies under a key, in one request; not where it cannot be told."""

    def find(self, keys: Iterable[str]) -> dict[str, StoredObject] | None:
        """Return size and version of those of the keys that are there.

        The one place that asks a store what all it holds, in few calls: never one request per key
        over a network. None where the store has no listing (plain HTTP): what is missing shows only
        when it is read.
        """

    def absence(self) -> str:
        """Say, as a whole sentence, what is there instead of a Zarr hierarchy."""

    def zarr_store(self) -> Store:
        """Return Zarr's own view of the folder, read-only."""


@dataclass(frozen=True)
class LocalFolder:
    """A directory.

    Parameters
    ----------
    name : str
        Absolute path.
    """

    name: str

    def child(self, name: str) -> LocalFolder:
        """Return the directory ``name`` inside this one."""
        return LocalFolder(str(Path(self.name, name)))

    def read(self, key: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        try:
            return Path(self.name, key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise InputDataError(
                f"{self.name}/{key}: cannot be read ({error.strerror}); make it readable"
            ) from error

    def children(self) -> list[str]:
        """Return the sorted names of the directories inside this one."""
        try:
            return sorted(each.name for each in Path(self.name).iterdir() if each.is_dir())
        except OSError:
            return []

    def lacks(self, key: str) -> bool:
        """Tell whether a file is missing."""
        return not Path(self.name, key).is_file()

    def find(self, keys: Iterable[str]) -> dict[str, StoredObject]:
        """Return size and time of those of the keys that are there as files.

        Every key is looked up: a listing would look up every file as well, and with Zarr's default
        keys (c/17/4/0) open one directory per chunk besides, at twice the time.
        """
        found: dict[str, StoredObject] = {}
        prefix = f"{self.name}/"
        for key in keys:
            try:
                status = os.stat(prefix + key)  # noqa: PTH116  a Path would cost more
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise InputDataError(
                    f"{self.name}: chunk {key} cannot be looked up ({error.strerror}); "
                    "make it readable"
                ) from error
            if stat.S_ISREG(status.st_mode):
                found[key] = StoredObject(status.st_size, status.st_mtime_ns)
        return found

    def absence(self) -> str:
        """Say what is there instead of a Zarr hierarchy."""
        path = Path(self.name)
        if not path.exists():
            return "does not exist; source.path must be the directory of a Zarr array or group"
        if not path.is_dir():
            return "is a file; allowed is the directory of a Zarr array or group"
        return "holds no Zarr metadata (zarr.json, .zarray or .zgroup)"

    def zarr_store(self) -> Store:
        """Return Zarr's own view of the directory, read-only."""
        from zarr.storage import LocalStore

        return LocalStore(self.name, read_only=True)


def is_url(path: str) -> bool:
    """Tell whether a path is a URL, for whichever file system."""
    return _URL.match(path) is not None


def located(path: str, directory: str | os.PathLike[str] | None = None) -> str:
    """Return a path made absolute (from ``directory``), or a URL as it is; file:// is a path."""
    local = _LOCAL_URL.match(path)
    if local is not None:
        path = path[local.end() :]
    elif is_url(path):
        return path
    # normpath, not resolve: links stay what they are called.
    return os.path.normpath(Path(directory or Path.cwd(), path).absolute())


def open_folder(place: str, storage_options: Mapping[str, Any]) -> Folder:
    """Return the folder at an absolute path or a URL; nothing is looked at yet.

    Raises
    ------
    ConfigurationError
        If the URL holds what does not belong there, or needs a package that is not installed; if
        there are options for a local path, which takes none.
    """
    if not is_url(place):
        if storage_options:
            raise ConfigurationError(
                "source.storage_options: given for a local path, which takes none; allowed with a "
                "URL in source.path: leave them out"
            )
        return LocalFolder(place)
    from dask_gmm.data.remote import RemoteFolder

    return RemoteFolder.of(place, storage_options)
