"""The leading axes of an array or the rows of a table cut into cells, and what one cell holds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Cells(Protocol):
    """Leading axes cut into numbered cells: the unit of reading and writing.

    Rows have one global number, their C-order index over `shape`, which no cutting changes: every
    random draw hangs on it.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the leading axes; of a table, its number of rows."""

    def __len__(self) -> int:
        """Return the number of cells."""

    @property
    def n_rows_total(self) -> int:
        """Number of rows in all cells together."""

    @property
    def largest(self) -> int:
        """Number of rows in the largest cell."""

    def n_rows(self, cell: int) -> int:
        """Return the number of rows in a cell."""

    @property
    def rows_per_cell(self) -> npt.NDArray[np.int64]:
        """Number of rows in every cell, (n,)."""

    def cell_of(self, row: int) -> int:
        """Return the cell that holds a row, given by its global number."""

    def region(self, cell: int) -> tuple[slice, ...]:
        """Return the slices of the leading axes that a cell covers."""

    def row_index(self, cell: int) -> npt.NDArray[np.uint64]:
        """Return the global number (n,) of every row of a cell, in the cell's own order."""

    def position(self, row: int) -> tuple[int, ...]:
        """Return where a row, given by its global number, lies along the leading axes."""


@dataclass(frozen=True)
class Grid:
    """The leading axes of an array (all but the features) cut into regular cells.

    A cell is the unit of reading and writing: one stored chunk, or one shard where the array is
    sharded. Cells are numbered in C order; the last cell along an axis may be shorter. Rows, too,
    have one global number, their C-order index over `shape`, which no chunking changes: every
    random draw hangs on it.

    Parameters
    ----------
    shape : tuple of int
        Leading shape, one positive length per axis, at least one axis.
    chunks : tuple of int
        Lengths of a full cell; longer than the axis means one cell along it.
    names : tuple of (str or None), optional
        Names of the leading axes, where the source gives them.

    Raises
    ------
    ValueError
        If the lengths disagree or are not positive.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    names: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        if not self.shape or len(self.shape) != len(self.chunks):
            raise ValueError(f"a grid needs one chunk length per axis: {self.shape}, {self.chunks}")
        if min(self.shape) < 1 or min(self.chunks) < 1:
            raise ValueError(f"a grid needs positive lengths: {self.shape}, {self.chunks}")
        if self.names is not None and len(self.names) != len(self.shape):
            raise ValueError(f"a grid needs one name per axis: {self.shape}, {self.names}")

    def __len__(self) -> int:
        """Return the number of cells."""
        return math.prod(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of cells along every axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def n_rows_total(self) -> int:
        """Number of rows in all cells together."""
        return math.prod(self.shape)

    @property
    def largest(self) -> int:
        """Number of rows in a full cell."""
        return math.prod(self.chunks)

    def cell_of(self, row: int) -> int:
        """Return the cell that holds a row, given by its global number."""
        position = np.unravel_index(row, self.shape)
        along = tuple(int(i) // c for i, c in zip(position, self.chunks, strict=True))
        return int(np.ravel_multi_index(along, self.counts))

    def position(self, row: int) -> tuple[int, ...]:
        """Return where a row, given by its global number, lies along the leading axes."""
        return tuple(int(i) for i in np.unravel_index(row, self.shape))

    def coordinates(self, cell: int) -> tuple[int, ...]:
        """Return the position of a cell along every axis.

        Raises
        ------
        IndexError
            If there is no such cell; negative numbers do not count from the end.
        """
        if not 0 <= cell < len(self):
            raise IndexError(f"cell {cell} is not in a grid of {len(self)} cells")
        position, rest = [], cell
        for count in reversed(self.counts):  # NumPy's unravel_index takes ten times as long
            rest, along = divmod(rest, count)
            position.append(along)
        return tuple(reversed(position))

    def region(self, cell: int) -> tuple[slice, ...]:
        """Return the slices of the leading axes that a cell covers, clipped to the shape."""
        return tuple(
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(self.coordinates(cell), self.chunks, self.shape, strict=True)
        )

    def n_rows(self, cell: int) -> int:
        """Return the number of rows in a cell."""
        return math.prod(s.stop - s.start for s in self.region(cell))

    @property
    def rows_per_cell(self) -> npt.NDArray[np.int64]:
        """Number of rows in every cell, (n,): as `n_rows` says, for many cells at once."""
        rows = np.ones((), dtype=np.int64)
        for length, chunk, count in zip(self.shape, self.chunks, self.counts, strict=True):
            lengths = np.minimum(chunk, length - chunk * np.arange(count))
            rows = rows[..., None] * lengths
        return rows.ravel()

    def row_index(self, cell: int) -> npt.NDArray[np.uint64]:
        """Return the global C-order index of every row of a cell, in the cell's own C order.

        Returns
        -------
        ndarray of uint64, shape (n,)
        """
        index: npt.NDArray[np.uint64] = np.zeros((), dtype=np.uint64)
        for length, span in zip(self.shape, self.region(cell), strict=True):  # Horner's scheme
            along = np.arange(span.start, span.stop, dtype=np.uint64)
            index = index[..., None] * np.uint64(length) + along
        return index.ravel()


@dataclass(frozen=True)
class RowGroups:
    """The rows of a table cut into runs of any lengths, each of them a cell.

    Parameters
    ----------
    borders : tuple of int
        Global number of every cell's first row, and the end of the last; strictly rising.
    first : int
        Number of the first cell. It is not 0 where a task is sent the part of a table that it
        reads: cells and rows keep their global numbers.

    Raises
    ------
    ValueError
        If there is no cell, or the borders do not rise.
    """

    borders: tuple[int, ...]
    first: int = 0

    def __post_init__(self) -> None:
        if len(self.borders) < 2 or any(a >= b for a, b in pairwise(self.borders)):
            raise ValueError("row groups need borders that rise, two or more")

    @classmethod
    def of_lengths(cls, lengths: Iterable[int]) -> RowGroups:
        """Cut a table into runs of so many rows, in order."""
        return cls(tuple(accumulate(lengths, initial=0)))

    def part(self, cells: Sequence[int]) -> RowGroups:
        """Return these consecutive cells under their own numbers."""
        start = self._position(cells[0])
        return RowGroups(self.borders[start : self._position(cells[-1]) + 2], cells[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """(number of rows,)."""
        return (self.n_rows_total,)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.borders) - 1

    @property
    def n_rows_total(self) -> int:
        """Number of rows in all cells together."""
        return self.borders[-1] - self.borders[0]

    @property
    def largest(self) -> int:
        """Number of rows in the largest cell."""
        return max(b - a for a, b in pairwise(self.borders))

    def n_rows(self, cell: int) -> int:
        """Return the number of rows in a cell."""
        position = self._position(cell)
        return self.borders[position + 1] - self.borders[position]

    @property
    def rows_per_cell(self) -> npt.NDArray[np.int64]:
        """Number of rows in every cell, (n,)."""
        return np.array([b - a for a, b in pairwise(self.borders)], dtype=np.int64)

    def cell_of(self, row: int) -> int:
        """Return the cell that holds a row, given by its global number."""
        if not self.borders[0] <= row < self.borders[-1]:
            raise IndexError(f"row {row} is not in rows {self.borders[0]} to {self.borders[-1]}")
        return self.first + bisect_right(self.borders, row) - 1

    def region(self, cell: int) -> tuple[slice, ...]:
        """Return the rows of a cell as the slice of the one axis."""
        position = self._position(cell)
        return (slice(self.borders[position], self.borders[position + 1]),)

    def row_index(self, cell: int) -> npt.NDArray[np.uint64]:
        """Return the global number of every row of a cell, (n,)."""
        (rows,) = self.region(cell)
        return np.arange(rows.start, rows.stop, dtype=np.uint64)

    def position(self, row: int) -> tuple[int, ...]:
        """Return a row's number as its place along the one axis."""
        return (row,)

    def _position(self, cell: int) -> int:
        if not self.first <= cell < self.first + len(self):
            raise IndexError(f"cell {cell} is not among {len(self)} cells from {self.first}")
        return cell - self.first


@dataclass(frozen=True)
class Block:
    """What one cell holds, as rows.

    Parameters
    ----------
    values : ndarray, shape (n, D)
        Any real dtype in either byte order; may be a strided view (features first: transposed).
    weights : ndarray, shape (n,), optional
        Frequencies of the rows; None means 1 each.
    valid : ndarray of bool, shape (n,), optional
        False where the source masks a row; None means that the source knows of no masked row.
        NaN and infinity are not looked for here, the kernel does that.
    nodata : ndarray of bool, shape (n,), optional
        Which of the rows that are not valid hold a value that stands for no data; None: no row.
    failure : str, optional
        Why the cell could not be read, where that is no error; there are no rows then.
    """

    values: npt.NDArray[Any]
    weights: npt.NDArray[Any] | None = None
    valid: npt.NDArray[np.bool_] | None = None
    nodata: npt.NDArray[np.bool_] | None = None
    failure: str | None = None

    @property
    def n_nodata(self) -> int:
        """How many of the rows that are not valid hold a value that stands for no data."""
        return 0 if self.nodata is None else int(np.count_nonzero(self.nodata))
