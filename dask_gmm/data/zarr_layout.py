"""One local Zarr array, format 2 or 3: what its metadata say, and how it is opened."""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ShardingCodec

from dask_gmm.errors import ConfigurationError, InputDataError

ARRAY_DOCUMENTS = ("zarr.json", ".zarray", ".zattrs")


@dataclass(frozen=True)
class ZarrLayout:
    """What the metadata of an array say; small, hashable, and safe to pickle.

    Parameters
    ----------
    path : str
        Absolute path of the array's own directory.
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
        What `storage_fault` needs to know of the stored objects.
    digest : str
        SHA-256 of the metadata documents.
    """

    path: str
    zarr_format: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    objects: tuple[int, ...]
    dtype: np.dtype[Any]
    names: tuple[str | None, ...] | None
    blosc: bool
    index_first: int
    digest: str

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of stored objects along every axis of the array."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.objects, strict=True))


def check_content(layout: ZarrLayout) -> None:
    """Check that an array holds rows of real numbers.

    Raises
    ------
    InputDataError
        If it has no axes, an axis of length zero, or a dtype that is no real number.
    """
    if not layout.shape:
        raise InputDataError(
            f"{layout.path}: is a single number (shape ()); allowed is an array with rows"
        )
    if 0 in layout.shape:
        raise InputDataError(f"{layout.path}: is empty (shape {layout.shape}); there is no row")
    if layout.dtype.kind not in "biuf":
        raise InputDataError(
            f"{layout.path}: has dtype {layout.dtype}; allowed are real numbers (bool, integers, "
            "floating point): convert the array, or choose another variable"
        )


def resolve_feature_axis(axis: int | str | None, layout: ZarrLayout) -> int | None:
    """Return the feature axis as a number from 0, or None for one feature without an axis.

    Raises
    ------
    ConfigurationError
        If there is no such axis, or no other axis beside it.
    """
    ndim, text = len(layout.shape), f"{layout.path} has shape {layout.shape}"
    names = layout.names or ()
    if axis is None:
        return None
    if isinstance(axis, str):
        if names.count(axis) != 1:
            known = [name for name in names if name]
            raise ConfigurationError(
                f"source.feature_axis: found {axis!r}, but {layout.path} "
                + (f"names its axes {known}" if known else "does not name its axes")
                + f"; allowed: one of the names, {-ndim} to {ndim - 1}, or null for one feature"
            )
        number = names.index(axis)
    else:
        if not -ndim <= axis < ndim:
            raise ConfigurationError(
                f"source.feature_axis: found {axis}, but {text}; "
                f"allowed: {-ndim} to {ndim - 1}, a name, or null for one feature"
            )
        number = axis % ndim
    if ndim == 1:
        raise ConfigurationError(
            f"source.feature_axis: found {axis!r}, but {text}, and its only axis as features would "
            "leave one row; set feature_axis: null for one feature"
        )
    return number


def read_documents(path: Path) -> dict[str, bytes]:
    """Return the metadata documents of the array at `path` by name."""
    documents = {}
    for name in ARRAY_DOCUMENTS:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            documents[name] = (path / name).read_bytes()
    return documents


def read_layout(path: Path) -> tuple[ZarrLayout, dict[str, Any]]:
    """Return the layout and the attributes of the array at `path`.

    Raises
    ------
    InputDataError
        If Zarr cannot make sense of the metadata.
    """
    digest = _digest(read_documents(path))
    array = _open(path)
    attributes = dict(array.attrs)
    metadata: Any = array.metadata
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
        path=str(path),
        zarr_format=metadata.zarr_format,
        shape=tuple(array.shape),
        chunks=tuple(array.chunks),
        objects=tuple(array.shards or array.chunks),
        dtype=np.dtype(array.dtype),
        names=_axis_names(names, array.ndim),
        blosc=type(last).__name__ in ("Blosc", "BloscCodec"),
        index_first=index_first,
        digest=digest,
    )
    return layout, attributes


@lru_cache(maxsize=64)
def open_array(layout: ZarrLayout) -> zarr.Array[Any]:
    """Open an array for reading; a process opens it once and its threads share it.

    Raises
    ------
    InputDataError
        If the metadata are gone, or not those that `layout` was made from.
    """
    path = Path(layout.path)
    if _digest(read_documents(path)) != layout.digest:
        raise InputDataError(
            f"{path}: the array's metadata are missing here or changed since the run began; every "
            "worker must see the same, unchanged file: check the mount, or start again"
        )
    return _open(path)


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


def _open(path: Path) -> zarr.Array[Any]:
    try:
        return zarr.open_array(
            str(path), mode="r", zarr_format=3 if (path / "zarr.json").is_file() else 2
        )
    except Exception as error:  # whatever JSON, codec registry and Zarr raise
        raise InputDataError(
            f"{path}: the Zarr metadata cannot be used ({type(error).__name__}: {error}); "
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
