"""Results into a Zarr array of the source's leading shape, one cell to one chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from dask_gmm.data.folders import LocalFolder
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import Unfinished
from dask_gmm.data.sinks.cells import as_cell, cannot_write, checksum
from dask_gmm.data.zarr_layout import one_chunk_at_a_time
from dask_gmm.errors import RunFailedError

# Zstandard level 1 for labels and floating point alike. Measured on Blue Marble in 6 classes,
# one core, ratio and writing speed: labels 12.6 at 890 MB/s (Blosc-lz4 6.3 at 1,500), probabilities
# 7.0 at 900 (Blosc-lz4 3.0 at 1,170; with a shuffle 2.2 at 720: a picture's repeated colours give
# repeated rows, which a shuffle tears apart), uncertainty 2.0 at 480 (1.6 at 1,080). Half the bytes
# or less, for at most 0.2 s per 100 MB more. The frame's checksum lets a reader notice bad bytes.
CODEC = ZstdCodec(level=1, checksum=True)


@dataclass(frozen=True)
class ZarrSink:
    """A Zarr array, format 3, that tasks fill cell by cell.

    Make one with `ZarrSink.create`. Its chunks are the cells with the full trailing axes, so that a
    cell is exactly one chunk and no two tasks touch the same file. Chunks of nothing but the fill
    value are written too: a present chunk means a written one.

    Parameters
    ----------
    path : str
        Absolute path of the array.
    grid : Grid
        The leading axes, cut into cells.
    trailing : tuple of int
        Lengths of the axes behind the leading ones: (K,) for probabilities, () for labels.
    dtype : numpy.dtype
        Of the array, little-endian.
    before : int or None
        Leading axes that a trailing one stands behind, where the format does not have it last.
    """

    path: str
    grid: Grid
    trailing: tuple[int, ...]
    dtype: np.dtype[Any]
    before: int | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        grid: Grid,
        trailing: tuple[int, ...],
        dtype: npt.DTypeLike,
        fill_value: float,
        attributes: Mapping[str, Any],
        *,
        again: bool = False,
        before: int | None = None,
        trailing_name: str | None = None,
    ) -> ZarrSink:
        """Create the array; nothing that exists is ever overwritten.

        Parameters
        ----------
        path : Path
            Where; parents are made.
        grid, trailing, dtype
            As of the class; any byte order, written little-endian.
        fill_value : float
            What a chunk not yet written reads as.
        attributes : mapping
            JSON-able attributes of the array.
        again : bool
            Whether the array was created before, and is gone on with.
        before : int, optional
            As of the class.
        trailing_name : str, optional
            Name of the trailing axis.

        Raises
        ------
        RunFailedError
            If `path` exists or cannot be written; with `again`, if it is not the array created.
        """
        little = np.dtype(dtype).newbyteorder("<")
        sink = cls(str(path.absolute()), grid, trailing, little, before)
        if again:
            _open(sink)
            return sink
        if path.exists():
            raise RunFailedError(f"{sink.path}: exists already; remove it or choose another path")
        named = grid.names is not None and any(grid.names)
        try:
            zarr.create_array(
                sink.path,
                shape=sink.laid(grid.shape, trailing),
                chunks=sink.laid(grid.chunks, trailing),
                dtype=sink.dtype,
                fill_value=fill_value,
                compressors=CODEC,
                attributes=dict(attributes),
                dimension_names=sink.laid(grid.names or (), [trailing_name for _ in trailing])
                if named
                else None,
                zarr_format=3,
            )
        except OSError as error:
            raise cannot_write(sink.path, error) from error
        return sink

    def laid(self, leading: Iterable[Any], trailing: Iterable[Any]) -> tuple[Any, ...]:
        """Return what belongs to the array's axes, in their order."""
        lead = tuple(leading)
        n = len(lead) if self.before is None else self.before
        return (*lead[:n], *trailing, *lead[n:])

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Write one cell.

        Parameters
        ----------
        cell : int
            Number of the cell in `grid`.
        values : ndarray, shape (n, *trailing) or (*cell shape, *trailing)
            Rows in the cell's C order; of a dtype that casts to the array's within its kind.

        Returns
        -------
        str
            BLAKE2b-128 of the values' little-endian C-order bytes, 32 hexadecimal digits.

        Raises
        ------
        RunFailedError
            If the values do not fill the cell, the array at `path` is not the one created, or the
            file system refuses (path and reason are named).
        """
        region, block = self.grid.region(cell), as_cell(self, cell, values)
        array = _open(self)
        try:
            with one_chunk_at_a_time():
                array[self.laid(region, [slice(None) for _ in self.trailing])] = self._moved(block)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return checksum(block)

    def read_every(self, steps: tuple[int, ...], region: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return every so many-th pixel along the leading axes, of a region counted in these."""
        finer = [
            slice(span.start * step, min(span.stop * step, n), step)
            for span, step, n in zip(region, steps, self.grid.shape, strict=True)
        ]
        with one_chunk_at_a_time():
            found = np.asarray(_open(self)[self.laid(finer, [slice(None) for _ in self.trailing])])
        if self.before is None:
            return found
        return np.moveaxis(found, self.before, -1)

    def missing_cells(self) -> list[int]:
        """Return the cells whose chunk is absent or empty, in order.

        Raises
        ------
        RunFailedError
            If the array at `path` is not the one created.
        """
        encode = _open(self).metadata.encode_chunk_key
        zeros = (0,) * len(self.trailing)
        cells = range(len(self.grid))
        keys = [encode(self.laid(self.grid.coordinates(cell), zeros)) for cell in cells]
        found = LocalFolder(self.path).find(keys)
        return [cell for cell, key in enumerate(keys) if key not in found or not found[key].size]

    def to_finish(self) -> tuple[Unfinished, ...]:
        """Return nothing: every chunk is at its place."""
        return ()

    def _moved(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a cell, (*cell shape, *trailing), with its axes in the array's order."""
        axes = range(block.ndim)
        n = len(self.grid.shape)
        return block.transpose(self.laid(axes[:n], axes[n:]))


def stored_checksums(path: Path, n_trailing: int) -> Iterator[tuple[int, str]]:
    """Read an array back: every cell's number, and what `ZarrSink.write` returned of it.

    Parameters
    ----------
    path : Path
    n_trailing : int
        Number of axes behind the leading ones.

    Raises
    ------
    RunFailedError
        If the array cannot be opened. A cell that cannot be read has the reason as its checksum.
    """
    try:
        array = zarr.open_array(str(path), mode="r", zarr_format=3)
        n = array.ndim - n_trailing
        grid = Grid(array.shape[:n], array.chunks[:n])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFailedError(
            f"{path}: the array cannot be opened ({error}); run again with if_exists: overwrite"
        ) from error
    for cell in range(len(grid)):
        try:
            with one_chunk_at_a_time():
                block = np.ascontiguousarray(array[grid.region(cell)])
        except Exception as error:  # every codec raises its own
            yield cell, f"cannot be decoded: {error}"
        else:
            yield cell, checksum(block)


@lru_cache(maxsize=64)
def _open(sink: ZarrSink) -> zarr.Array[Any]:
    """Open the array for writing and check that one cell is exactly one chunk of it."""
    try:
        # `open_array(config=...)` takes this setting and ignores it (zarr 3.1.6).
        array = zarr.open_array(sink.path, mode="r+", zarr_format=3).with_config(
            {"write_empty_chunks": True}
        )
    except (OSError, ValueError) as error:
        raise RunFailedError(
            f"{sink.path}: the output array cannot be opened ({error}); every worker must see the "
            "run directory under this path"
        ) from error
    found = (array.shape, array.chunks, array.shards, array.dtype)
    shapes = (sink.laid(lead, sink.trailing) for lead in (sink.grid.shape, sink.grid.chunks))
    made = (*shapes, None, sink.dtype)
    if found != made:
        raise RunFailedError(
            f"{sink.path}: the output array has shape, chunks, shards, dtype {found}, created was "
            f"{made}; a cell must be exactly one chunk: remove the array and start again"
        )
    return array
