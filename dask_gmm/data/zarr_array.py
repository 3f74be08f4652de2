"""A Zarr array, format 2 or 3, sharded or not, here or remote, as a stored array."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.abc.buffer import BufferPrototype
from zarr.buffer.cpu import Buffer, NDBuffer
from zarr.codecs import ShardingCodec

from dask_gmm.data.checked_store import REMEDY
from dask_gmm.data.folders import Folder
from dask_gmm.data.manifest import fingerprint
from dask_gmm.data.objects import StoredObject
from dask_gmm.data.stored import Inventory, check_content, without
from dask_gmm.data.zarr_layout import (
    ZarrLayout,
    one_chunk_at_a_time,
    open_array,
    read_documents,
    read_layout,
)
from dask_gmm.errors import InputDataError

#: Chunks of an array at most: their keys are listed, at some microseconds and 200 bytes each.
MOST_CHUNKS = 10_000_000
#: Where there are more chunks, the last one is looked up before all of them are.
MANY_CHUNKS = 100_000


class _Taking(NDBuffer):
    """Memory for what is read, which takes a decoded chunk for its own where that is all of it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, NDBuffer) and (value.shape, value.dtype) == (self.shape, self.dtype):
            chunk: Any = value.as_numpy_array()
            if chunk.flags.c_contiguous:
                self._data = chunk
                return
        super().__setitem__(key, value)


_WITHOUT_A_COPY = BufferPrototype(buffer=Buffer, nd_buffer=_Taking)


def _has_shards(array: Any) -> bool:
    """Whether chunks lie in shards, in which Zarr takes no memory but its own."""
    return any(isinstance(codec, ShardingCodec) for codec in getattr(array.metadata, "codecs", ()))


@dataclass(frozen=True)
class ZarrArray:
    """A Zarr array; it holds no handle, every process opens it when it first reads.

    Parameters
    ----------
    layout : ZarrLayout
        What the metadata say.
    fill_missing : bool
        Whether absent chunks are read as the fill value instead of refused.
    """

    layout: ZarrLayout
    fill_missing: bool

    @classmethod
    def open(cls, folder: Folder, missing_chunks: str) -> tuple[ZarrArray, Mapping[str, Any]]:
        """Return the array in a folder, and its attributes."""
        layout, attributes = read_layout(folder)
        array = cls(layout, missing_chunks == "fill")
        check_content(array)
        return array, attributes

    @property
    def name(self) -> str:
        """Absolute path or URL."""
        return self.layout.folder.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""
        return self.layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored; arrays of format 2 may be big-endian."""
        return self.layout.dtype

    @property
    def axis_names(self) -> tuple[str | None, ...] | None:
        """From the metadata."""
        return self.layout.names

    @property
    def objects(self) -> tuple[int, ...]:
        """Shape of a shard where the array is sharded, else of a chunk."""
        return self.layout.objects

    @property
    def decoded_together(self) -> int:
        """Bytes of a chunk."""
        return math.prod(self.layout.chunks) * self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return the leading shape of a stored object; never longer than the array."""
        return tuple(
            map(min, without(self.objects, feature_axis), without(self.shape, feature_axis))
        )

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region; what is one chunk is the memory that it was decoded into, and read-only.

        What an inner chunk of a shard does not store is the fill value by the format's own rule;
        and changed bytes are noticed only where the codecs carry a checksum.

        Raises
        ------
        InputDataError
            Naming file and chunk, if something is missing, truncated or corrupt.
        """
        try:
            with one_chunk_at_a_time():
                array = self._opened()
                prototype = None if _has_shards(array) else _WITHOUT_A_COPY
                return np.asarray(array.get_basic_selection(selection, prototype=prototype))
        except (MemoryError, InputDataError):
            raise
        except Exception as error:  # every codec raises its own
            raise InputDataError(
                f"{self.name}: chunk {self._culprits(selection)} cannot be decoded "
                f"({type(error).__name__}: {error}); {REMEDY}"
            ) from error

    def chunk_at(self, index: Sequence[int]) -> str:
        """Return the key of the object that holds an element."""
        key = self._encode(tuple(i // n for i, n in zip(index, self.objects, strict=True)))
        return f"chunk {key}"

    def inventory(self) -> Inventory:
        """Look at the keys and sizes of all chunks.

        Raises
        ------
        InputDataError
            If chunks are missing (unless they may be filled) or empty: Zarr would read both as the
            fill value without a word. If there are more than can be listed.
        """
        layout = self.layout
        documents = read_documents(layout.folder)
        self._check_number()
        keys = [self._encode(c) for c in itertools.product(*map(range, layout.counts))]
        stored = layout.folder.find(keys)
        missing: tuple[str, ...] = ()
        if stored is not None:
            missing = tuple(key for key in keys if key not in stored)
            self._refuse("missing", () if self.fill_missing else missing, len(keys))
            self._refuse("empty (0 bytes)", [k for k in stored if not stored[k].size], len(keys))
        found: Mapping[str, StoredObject] = stored or {}
        return Inventory(
            chunks=layout.chunks,
            zarr_format=layout.zarr_format,
            stored_bytes=sum(chunk.size for chunk in found.values()),
            missing=missing,
            fingerprint=fingerprint(documents, found),
            checksums=layout.checksums,
        )

    def _check_number(self) -> None:
        """Refuse what would take hours, or all memory, to look through: metadata can say anything.

        A shape that is larger than what was written ends at a chunk that is not there.
        """
        layout, total = self.layout, math.prod(self.layout.counts)
        if total > MOST_CHUNKS:
            raise InputDataError(
                f"{self.name}: the metadata tell of {total:,} chunks, shape {self.shape} in "
                f"{self.objects}; allowed are {MOST_CHUNKS:,}: store it in larger chunks or in "
                "shards, or as several arrays (source.path takes a list)"
            )
        if total > MANY_CHUNKS and not self.fill_missing:
            last = self._encode(tuple(n - 1 for n in layout.counts))
            if layout.folder.lacks(last):
                self._refuse("missing", [last], total, least=True)

    def _opened(self) -> Any:
        return open_array(self.layout, fill_missing=self.fill_missing)

    def _encode(self, coordinates: tuple[int, ...]) -> str:
        return self._opened().metadata.encode_chunk_key(coordinates)

    def _culprits(self, selection: tuple[slice, ...]) -> str:
        """Name the objects under a selection that do not decode by themselves."""
        along = [
            range(span.start // n, -(-span.stop // n))
            for span, n in zip(selection, self.objects, strict=True)
        ]
        keys = {self._encode(coordinates): coordinates for coordinates in itertools.product(*along)}
        if len(keys) == 1:
            return next(iter(keys))
        bad = []
        for key, coordinates in keys.items():
            sizes = zip(coordinates, self.objects, strict=True)
            try:
                self._opened()[tuple(slice(i * n, (i + 1) * n) for i, n in sizes)]
            except Exception:
                bad.append(key)
        return ", ".join(bad or keys)

    def _refuse(self, what: str, keys: Sequence[str], total: int, *, least: bool = False) -> None:
        """Refuse chunks; ``least`` tells that others have not been looked at."""
        if not keys:
            return
        first = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
        fill = (
            ", or set source.missing_chunks: fill if the writer left out chunks that hold only the "
            "fill value (Zarr does so by default)"
            if what == "missing"
            else ""
        )
        raise InputDataError(
            f"{self.name}: {'at least ' if least else ''}{len(keys)} of {total} chunks are {what}: "
            f"{first}; {REMEDY}{fill}"
        )
