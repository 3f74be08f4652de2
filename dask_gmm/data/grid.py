"""The leading axes of an array cut into cells, and the rows that one cell holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


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

    def coordinates(self, cell: int) -> tuple[int, ...]:
        """Return the position of a cell along every axis.

        Raises
        ------
        IndexError
            If there is no such cell; negative numbers do not count from the end.
        """
        if not 0 <= cell < len(self):
            raise IndexError(f"cell {cell} is not in a grid of {len(self)} cells")
        return tuple(int(i) for i in np.unravel_index(cell, self.counts))

    def region(self, cell: int) -> tuple[slice, ...]:
        """Return the slices of the leading axes that a cell covers, clipped to the shape."""
        return tuple(
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(self.coordinates(cell), self.chunks, self.shape, strict=True)
        )

    def n_rows(self, cell: int) -> int:
        """Return the number of rows in a cell."""
        return math.prod(s.stop - s.start for s in self.region(cell))

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
    """

    values: npt.NDArray[Any]
    weights: npt.NDArray[Any] | None = None
    valid: npt.NDArray[np.bool_] | None = None
