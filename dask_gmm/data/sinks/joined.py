"""Results as one file of a format that is written by one hand: cells first, then joined.

A GeoTIFF, a PNG or a NIfTI volume is written from its beginning to its end, while cells are worked
on by different tasks in any order. So a task leaves its cell as a *part*, a plain `.npy` file that
appears under its name when it is whole; when all are there, one task writes the file from them,
some rows at a time, under another name, and renames it: a result's name is never borne by a half.
A run that is started again sees which parts there are. The price is that results are written twice.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import JOINED_ROWS, PARTS
from dask_gmm.data.sinks.cells import appearing, as_cell, cannot_write, checksum
from dask_gmm.errors import RunFailedError


@dataclass(frozen=True)
class Parts:
    """The values of all cells, as tasks have left them.

    Parameters
    ----------
    folder : str
        Absolute path.
    grid : Grid
        The leading axes, cut into cells.
    trailing : tuple of int
        Lengths of the axes behind the leading ones.
    dtype : numpy.dtype
        Little-endian.
    """

    folder: str
    grid: Grid
    trailing: tuple[int, ...]
    dtype: np.dtype[Any]

    def path(self, cell: int) -> Path:
        """Return where a cell lies."""
        return Path(self.folder, f"{cell}.npy")

    def missing(self) -> list[int]:
        """Return the cells that are not there yet, in order."""
        folder = Path(self.folder)
        there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
        return [cell for cell in range(len(self.grid)) if f"{cell}.npy" not in there]

    def read(self, region: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return a region of the leading axes, (*lengths, *trailing), whichever cells it crosses.

        Parameters
        ----------
        region : tuple of slice
            One per leading axis, with start and stop inside the shape.
        """
        lengths = tuple(span.stop - span.start for span in region)
        values = np.empty((*lengths, *self.trailing), self.dtype)
        along = [
            range(span.start // chunk, -(-span.stop // chunk))
            for span, chunk in zip(region, self.grid.chunks, strict=True)
        ]
        for place in product(*along):
            cell = int(np.ravel_multi_index(place, self.grid.counts))
            inside, there = [], []
            for wanted, held in zip(region, self.grid.region(cell), strict=True):
                start, stop = max(wanted.start, held.start), min(wanted.stop, held.stop)
                inside.append(slice(start - wanted.start, stop - wanted.start))
                there.append(slice(start - held.start, stop - held.start))
            values[tuple(inside)] = np.load(self.path(cell), mmap_mode="r")[tuple(there)]
        return values

    def runs(self) -> list[tuple[slice, ...]]:
        """Cut the leading axes into regions of at most `JOINED_ROWS` rows, in the file's order."""
        lengths, room = list[int](), JOINED_ROWS
        for n in reversed(self.grid.shape):
            lengths.append(min(n, max(1, room)))
            room //= lengths[-1]
        return _regions(self.grid.shape, tuple(reversed(lengths)))

    def tiles(self, side: int) -> list[tuple[slice, ...]]:
        """Cut the last two axes into squares, and the ones before them into single planes."""
        return _regions(self.grid.shape, (*(1 for _ in self.grid.shape[:-2]), side, side))


def _regions(shape: tuple[int, ...], chunks: tuple[int, ...]) -> list[tuple[slice, ...]]:
    cut = Grid(shape, chunks)
    return [cut.region(each) for each in range(len(cut))]


class Writer(Protocol):
    """How a file of one format is made of the values of all cells: a small frozen value."""

    def write(self, path: Path, parts: Parts) -> None:
        """Write the whole file, holding some `JOINED_ROWS` rows at a time.

        `path` is not yet the file's name, but ends with it.

        Raises
        ------
        OSError
            If the file system refuses.
        """


@dataclass(frozen=True)
class OneFile:
    """One file, and what it is made of."""

    path: str
    parts: Parts
    writer: Writer

    def batches(self) -> tuple[OneFile, ...]:
        """Return itself: one file, one task."""
        return (self,)

    def join(self) -> None:
        """Write the file, unless it is there.

        Raises
        ------
        RunFailedError
            If it cannot be written.
        """
        with appearing(Path(self.path)) as way:
            if way is not None:
                self.writer.write(way, self.parts)

    def discard_parts(self) -> None:
        """Remove the parts: the file is there."""
        shutil.rmtree(self.parts.folder, ignore_errors=True)


@dataclass(frozen=True)
class JoinedSink:
    """An output that becomes one file; make one with `JoinedSink.create`."""

    file: OneFile = field(repr=False)

    @classmethod
    def create(
        cls,
        path: Path,
        grid: Grid,
        trailing: tuple[int, ...],
        dtype: npt.DTypeLike,
        writer: Writer,
        *,
        again: bool = False,
    ) -> JoinedSink:
        """Make ready; with ``again`` that was done before, and is gone on with.

        Raises
        ------
        RunFailedError
            If `path` exists or cannot be written.
        """
        path = path.absolute()
        folder = path.with_name(f"{path.name}{PARTS}")
        parts = Parts(str(folder), grid, trailing, np.dtype(dtype).newbyteorder("<"))
        sink = cls(OneFile(str(path), parts, writer))
        if again:
            return sink
        if path.exists():
            raise RunFailedError(f"{path}: exists already; remove it or choose another path")
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(str(folder), error) from error
        return sink

    @property
    def path(self) -> str:
        """Absolute path of the file."""
        return self.file.path

    @property
    def grid(self) -> Grid:
        """The leading axes, cut into cells."""
        return self.file.parts.grid

    @property
    def trailing(self) -> tuple[int, ...]:
        """Lengths of the axes behind the leading ones."""
        return self.file.parts.trailing

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.file.parts.dtype

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Leave one cell as a part.

        Parameters
        ----------
        cell : int
        values : ndarray, shape (n, *trailing) or (*cell shape, *trailing)

        Returns
        -------
        str
            BLAKE2b-128 of the values' little-endian C-order bytes, 32 hexadecimal digits.

        Raises
        ------
        RunFailedError
            If the values do not fill the cell, or the file system refuses.
        """
        block = as_cell(self, cell, values)
        with appearing(self.file.parts.path(cell), replaces=True) as way:
            if way is not None:
                with way.open("wb") as file:
                    np.save(file, block)
        return checksum(block)

    def missing_cells(self) -> list[int]:
        """Return the cells that are not there yet: none, where the file is."""
        return [] if Path(self.path).exists() else self.file.parts.missing()

    def to_finish(self) -> tuple[OneFile, ...]:
        """Return what is joined when every cell is there."""
        return (self.file,)
