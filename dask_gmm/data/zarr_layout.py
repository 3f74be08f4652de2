"""One Zarr array, format 2 or 3: what its metadata say, and how it is opened."""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import ShardingCodec

from dask_gmm.data.checked_store import CheckedStore
from dask_gmm.data.folders import Folder
from dask_gmm.errors import InputDataError

#: Codecs whose decoding fails where bytes have changed; zstd's does where it was told to.
CHECKING = {"crc32c", "crc32", "adler32", "fletcher32", "jenkinslookup3", "gzip", "zlib", "bz2"}
ARRAY_DOCUMENTS = ("zarr.json", ".zarray", ".zattrs")


@dataclass(frozen=True)
class ZarrLayout:
    """What the metadata of an array say; small, hashable, and safe to pickle.

    Parameters
    ----------
    folder : Folder
        The array's own.
    zarr_format : int
        2 or 3.
    shape, chunks, objects : tuple of int
        Shapes of the array, of a chunk, and of what one key holds: the shard where the array is
        sharded, else the chunk.
    dtype : numpy.dtype
        As stored, byte order included.
    names : tuple of (str or None), or None
        Names of the axes: `dimension_names`, or xarray's `_ARRAY_DIMENSIONS` in format 2.
    blosc, index_first
        What `objects.content_fault` needs to know of the stored objects.
    digest : str
        SHA-256 of the metadata documents.
    checksums : bool
        Whether every chunk carries one, which its codecs compare when they decode.
    """

    folder: Folder
    zarr_format: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    objects: tuple[int, ...]
    dtype: np.dtype[Any]
    names: tuple[str | None, ...] | None
    blosc: bool
    index_first: int
    digest: str
    checksums: bool

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of stored objects along every axis of the array."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.objects, strict=True))


def read_documents(folder: Folder) -> dict[str, bytes]:
    """Return the metadata documents of the array in a folder by name."""
    found = {name: folder.read(name) for name in ARRAY_DOCUMENTS}
    return {name: content for name, content in found.items() if content is not None}


def read_layout(folder: Folder) -> tuple[ZarrLayout, dict[str, Any]]:
    """Return the layout and the attributes of the array in a folder.

    Raises
    ------
    InputDataError
        If Zarr cannot make sense of the metadata.
    """
    documents = read_documents(folder)
    array = _open(folder.zarr_store(), folder.name, 3 if "zarr.json" in documents else 2)
    metadata: Any = array.metadata
    # Zarr takes what it does not need to look at.
    sizes = (*array.chunks, *(array.shards or ()))
    if not isinstance(metadata.attributes, dict) or any(n is False or n < 1 for n in sizes):
        raise InputDataError(
            f"{folder.name}: the metadata are damaged: attributes must be a mapping, and the "
            f"lengths of chunks {sizes} positive; restore them from a copy"
        )
    attributes = dict(array.attrs)
    if metadata.zarr_format == 2:
        names, last = attributes.get("_ARRAY_DIMENSIONS"), metadata.compressor
    else:
        names, last = metadata.dimension_names, metadata.codecs[-1]
    index_first = 0
    # An enumeration in zarr 3.1, a string in 3.4.
    location = getattr(last, "index_location", None)
    if isinstance(last, ShardingCodec) and getattr(location, "value", location) == "start":
        index_first = math.prod(array.shards or ()) // math.prod(array.chunks)
    layout = ZarrLayout(
        folder=folder,
        zarr_format=metadata.zarr_format,
        shape=tuple(array.shape),
        chunks=tuple(array.chunks),
        objects=tuple(array.shards or array.chunks),
        dtype=np.dtype(array.dtype),
        names=_axis_names(names, array.ndim),
        blosc=type(last).__name__ in ("Blosc", "BloscCodec"),
        index_first=index_first,
        digest=_digest(documents),
        checksums=_have_checksums(metadata),
    )
    return layout, attributes


def _have_checksums(metadata: Any) -> bool:
    """Tell whether any of the codecs of an array's chunks notices changed bytes."""
    if metadata.zarr_format == 2:
        codecs = [*(metadata.filters or ()), metadata.compressor]
    else:
        codecs = list(metadata.codecs)
    for codec in list(codecs):
        # What a shard's own checksum is of is its index alone.
        codecs += getattr(codec, "codecs", ())
    names = [(type(codec).__name__.lower().removesuffix("codec"), codec) for codec in codecs]
    return any(
        name in CHECKING or (name == "zstd" and getattr(codec, "checksum", False))
        for name, codec in names
    )


@lru_cache(maxsize=64)
def open_array(layout: ZarrLayout, *, fill_missing: bool) -> zarr.Array[Any]:
    """Open an array for reading; a process opens it once and its threads share it.

    Reading raises InputDataError for chunks that are missing (unless they may be filled), empty or
    truncated.

    Raises
    ------
    InputDataError
        If the metadata are gone, or not those that `layout` was made from.
    """
    folder = layout.folder
    if _digest(read_documents(folder)) != layout.digest:
        raise InputDataError(
            f"{folder.name}: the array's metadata are missing here or changed since the run began; "
            "every worker must see the same, unchanged file: check the mount, or start again"
        )
    checked = CheckedStore(
        folder.zarr_store(),
        folder.name,
        fill_missing=fill_missing,
        blosc=layout.blosc,
        index_first=layout.index_first,
    )
    return _open(checked, folder.name, layout.zarr_format)


class _OneAtATime:
    """Make Zarr fetch and decode one chunk at a time, in all threads, while any of them is inside.

    Zarr takes its concurrency from one global setting (10 by default) that cannot be given per
    call. With a worker per core that would put ten decoders on every core and ten chunks in
    memory. Setting and restoring it around each call would leave it changed for good when two
    threads overlap; hence the count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._setting: Any = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._setting = zarr.config.set({"async.concurrency": 1})
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._setting.__exit__(None, None, None)


one_chunk_at_a_time = _OneAtATime()


def _open(store: Store, name: str, zarr_format: Any) -> zarr.Array[Any]:
    try:
        return zarr.open_array(store, mode="r", zarr_format=zarr_format)
    except InputDataError:
        raise
    except Exception as error:  # whatever JSON, codec registry and Zarr raise
        raise InputDataError(
            f"{name}: the Zarr metadata cannot be used ({type(error).__name__}: {error}); "
            "restore them, or install the codec they name"
        ) from error


def _axis_names(names: Any, ndim: int) -> tuple[str | None, ...] | None:
    if not isinstance(names, list | tuple) or len(names) != ndim:
        return None
    return tuple(name if isinstance(name, str) else None for name in names)


def _digest(documents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in documents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
