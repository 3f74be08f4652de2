"""The files of a table: found by path, glob, list or URL, put in order, and opened."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from dask_gmm.data.objects import StoredObject
from dask_gmm.errors import ConfigurationError, InputDataError

SUFFIXES = (".parquet", ".parq", ".pq")
#: Names that writers use for what is no part of a table: markers, checksums, files under way.
NOT_DATA = (".", "_")
LOCAL = "file"
#: A storage option of fewer characters is no credential.
SHORTEST = 8
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Folder:
    """What the files of a table lie below: a local directory, or a place in a remote store.

    Parameters
    ----------
    protocol : str
        As fsspec names it; "file" is local.
    root : str
        Absolute path in that store, '/'-separated, without its protocol.
    options : mapping
        fsspec's storage options, credentials among them: never shown, and cut out of errors.
    """

    protocol: str
    root: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def of(cls, url: str, options: Mapping[str, Any]) -> Folder:
        """Take a path or URL apart.

        Raises
        ------
        ConfigurationError
            If its protocol is unknown, or lacks its package, or it carries credentials.
        """
        if "://" not in url:
            return cls(LOCAL, Path(url).absolute().as_posix())
        if re.match(r"[a-z0-9+]+://[^/]*@", url, re.IGNORECASE) or re.match(r"https?://.*\?", url):
            raise ConfigurationError(
                f"source.path: a URL of {url.split('://')[0]} that carries credentials or a query "
                "would show in logs; write it without, and set source.storage_options"
            )
        protocol = url.split("://")[0]
        try:
            filesystem, root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            remedy = "pip install 'dask-gmm[s3]'" if protocol in ("s3", "s3a") else str(error)
            raise ConfigurationError(
                f"source.path: {protocol}:// needs a package that is not installed: {remedy}"
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"source.path: found {url!r}: {error}; correct it") from error
        if LOCAL in _names(filesystem):
            return cls(LOCAL, Path(root).as_posix())
        return cls(protocol, root.rstrip("/"), options)

    def at(self, root: str) -> Folder:
        """Return another place in the same store."""
        return Folder(self.protocol, root, self.options)

    def filesystem(self) -> Any:
        """Return fsspec's view of the store; it keeps one per process and set of options."""
        return fsspec.filesystem(self.protocol, **self.options)

    def shown(self, name: str = "") -> str:
        """Return the full path or URL of a file, as errors and manifests name it."""
        path = posixpath.join(self.root, name) if name else self.root
        if self.protocol == LOCAL or path.startswith(f"{self.protocol}://"):
            return path
        return f"{self.protocol}://{path}"

    def open(self, name: str) -> pq.ParquetFile:
        """Open a file by its footer; the caller closes it.

        Pages that carry a checksum are checked against it when they are read.

        Raises
        ------
        InputDataError
            If it is missing, no Parquet file, or cannot be read.
        """
        path = posixpath.join(self.root, name)
        with self.faults(self.shown(name), "its footer"):
            if self.protocol == LOCAL:
                return pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
            handle = self.filesystem().open(path, "rb", cache_type="none")
            # A round trip per column would be dear: neighbouring ranges are fetched as one.
            return pq.ParquetFile(handle, page_checksum_verification=True, pre_buffer=True)

    def head(self, name: str, start: int, n: int) -> bytes:
        """Return n bytes of a file from a place in it; fewer where it ends."""
        path = posixpath.join(self.root, name)
        return bytes(self.filesystem().cat_file(path, start=start, end=start + n))

    @contextmanager
    def faults(self, file: str, block: str) -> Iterator[None]:
        """Turn whatever goes wrong inside into an error that names file and block."""
        try:
            yield
        except (MemoryError, InputDataError, ConfigurationError):
            raise
        except FileNotFoundError as error:
            raise InputDataError(f"{file}: is missing; restore it, or correct the path") from error
        except Exception as error:  # Arrow, fsspec and every store raise their own
            reason = f"{type(error).__name__}: {self._without_secrets(str(error))}"
            if isinstance(error, PermissionError) or "Credential" in reason:
                raise InputDataError(
                    f"{file}: may not be read ({reason}); make it readable, or give credentials by "
                    "source.storage_options or the environment"
                ) from None
            raise InputDataError(
                f"{file}: {block} cannot be read ({reason}); restore the file from a copy or write "
                "it again"
            ) from None

    def _without_secrets(self, text: str) -> str:
        for secret in _secrets(self.options):
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class FoundFile:
    """One file: its name below the folder, '/'-separated, and what tells it from a newer one."""

    name: str
    stored: StoredObject
    tag: str


def find_files(
    paths: Sequence[str], options: Mapping[str, Any]
) -> tuple[Folder, tuple[FoundFile, ...]]:
    """Find the files that are one table, ordered by their names.

    Parameters
    ----------
    paths : sequence of str
        Files, directories (searched through, hive partitions or not) and globs, local or URLs.
    options : mapping
        fsspec's storage options.

    Returns
    -------
    folder : Folder
        The innermost directory that holds them all.
    files : tuple of FoundFile

    Raises
    ------
    ConfigurationError
        If the paths lie in different stores, or name a file twice.
    InputDataError
        If there is nothing, or nothing that can be looked up.
    """
    places = [Folder.of(path, options) for path in paths]
    if len({place.protocol for place in places}) > 1:
        raise ConfigurationError("source.path: the paths of a list must lie in one store")
    store = places[0]
    filesystem = store.filesystem()
    filesystem.invalidate_cache()  # a listing that it remembers may be of yesterday
    tops, found = list[str](), dict[str, Mapping[str, Any]]()
    for place in places:
        with place.faults(place.shown(), "its listing"):
            for path, info in _expanded(filesystem, place.root):
                is_directory = info["type"] == "directory"
                tops.append(path if is_directory else posixpath.dirname(path))
                inside = _data_files(filesystem, path) if is_directory else {path: info}
                if not inside:
                    raise InputDataError(
                        f"{store.at(path).shown()}: holds no file whose name "
                        f"ends in {', '.join(SUFFIXES)}; there is nothing to read"
                    )
                twice = sorted(found.keys() & inside)
                if twice:
                    raise ConfigurationError(
                        f"source.path: {twice[0]} is named twice, its rows would count "
                        "twice; name it once"
                    )
                found |= inside
    folder = store.at(posixpath.commonpath(tops))
    names = {posixpath.relpath(path, folder.root): info for path, info in found.items()}
    return folder, tuple(_described(name, names[name]) for name in sorted(names, key=_by_parts))


def _expanded(filesystem: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what a path stands for: itself, or what its glob matches."""
    wildcard = _GLOB.search(path)
    if wildcard is None or filesystem.exists(path):
        return [(path, filesystem.info(path))]
    fixed = posixpath.dirname(path[: wildcard.start()])
    matches = filesystem.glob(path, detail=True)
    shown = [(match, info) for match, info in matches.items() if not _is_hidden(match, fixed)]
    if not shown:
        raise InputDataError(f"{path}: matches no file; correct the glob")
    return shown


def _data_files(filesystem: Any, top: str) -> dict[str, Mapping[str, Any]]:
    return {
        path: info
        for path, info in filesystem.find(top, detail=True).items()
        if path.lower().endswith(SUFFIXES) and not _is_hidden(path, top)
    }


def _is_hidden(path: str, top: str) -> bool:
    return any(part.startswith(NOT_DATA) for part in posixpath.relpath(path, top).split("/"))


def _described(name: str, info: Mapping[str, Any]) -> FoundFile:
    when: Any = next((info[k] for k in ("mtime", "LastModified", "created") if k in info), 0)
    seconds = when.timestamp() if isinstance(when, datetime) else when
    known = seconds if isinstance(seconds, int | float) else 0
    tag = "" if known else str(when)
    stored = StoredObject(int(info["size"] or 0), int(known * 1e9))
    return FoundFile(name, stored, f"{tag}{info.get('ETag', '')}")


def _by_parts(name: str) -> list[str]:
    return name.split("/")


def _names(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _secrets(options: Any) -> Iterator[str]:
    """Yield what may be a secret: nobody can tell a credential by its name, but it is no URL."""
    if isinstance(options, Mapping):
        for value in options.values():
            yield from _secrets(value)
    elif isinstance(options, str) and len(options) >= SHORTEST and "://" not in options:
        yield options
