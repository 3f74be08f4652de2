"""The cells and rows of several inputs, numbered through, one input after the other."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Cells


@dataclass(frozen=True)
class SeveralCells:
    """The cells of several inputs, numbered through.

    Parameters
    ----------
    grids : tuple of Cells
        One per input.
    first_input, first_cell, first_row : int
        Numbers of the first ones. They are not 0 where a task is sent the inputs that it reads:
        inputs, cells and rows keep their numbers.
    """

    grids: tuple[Cells, ...]
    first_input: int = 0
    first_cell: int = 0
    first_row: int = 0

    @cached_property
    def _cells(self) -> tuple[int, ...]:
        """Number of every input's first cell, and the end of the last."""
        return tuple(accumulate(map(len, self.grids), initial=self.first_cell))

    @cached_property
    def _rows(self) -> tuple[int, ...]:
        """Number of every input's first row, and the end of the last."""
        lengths = (grid.n_rows_total for grid in self.grids)
        return tuple(accumulate(lengths, initial=self.first_row))

    @property
    def shape(self) -> tuple[int, ...]:
        """(number of rows,): the inputs have no common axes."""
        return (self.n_rows_total,)

    def __len__(self) -> int:
        """Return the number of cells."""
        return self._cells[-1] - self._cells[0]

    @property
    def n_rows_total(self) -> int:
        """Number of rows in all cells together."""
        return self._rows[-1] - self._rows[0]

    @property
    def largest(self) -> int:
        """Number of rows in the largest cell."""
        return max(grid.largest for grid in self.grids)

    @property
    def rows_per_cell(self) -> npt.NDArray[np.int64]:
        """Number of rows in every cell, (n,)."""
        return np.concatenate([grid.rows_per_cell for grid in self.grids])

    def place(self, cell: int) -> tuple[int, int]:
        """Return the number of a cell's input, and of the cell in it.

        Raises
        ------
        IndexError
            If there is no such cell.
        """
        at = bisect_right(self._cells, cell) - 1
        if not 0 <= at < len(self.grids):
            raise IndexError(f"cell {cell} is not among {len(self)} cells from {self.first_cell}")
        return self.first_input + at, cell - self._cells[at]

    def cells_of(self, number: int) -> range:
        """Return the cells of an input."""
        at = number - self.first_input
        return range(self._cells[at], self._cells[at + 1])

    def n_rows(self, cell: int) -> int:
        """Return the number of rows in a cell."""
        grid, inner, _ = self._inside(cell)
        return grid.n_rows(inner)

    def region(self, cell: int) -> tuple[slice, ...]:
        """Return the slices of the leading axes of its input that a cell covers."""
        grid, inner, _ = self._inside(cell)
        return grid.region(inner)

    def row_index(self, cell: int) -> npt.NDArray[np.uint64]:
        """Return the global number of every row of a cell, (n,)."""
        grid, inner, start = self._inside(cell)
        return grid.row_index(inner) + np.uint64(start)

    def cell_of(self, row: int) -> int:
        """Return the cell that holds a row, given by its global number."""
        at = self._input_of(row)
        return self._cells[at] + self.grids[at].cell_of(row - self._rows[at])

    def position(self, row: int) -> tuple[int, ...]:
        """Return where a row lies along the leading axes of its input."""
        at = self._input_of(row)
        return self.grids[at].position(row - self._rows[at])

    def part(self, numbers: range) -> SeveralCells:
        """Return the cells of these consecutive inputs, under their own numbers."""
        at = numbers.start - self.first_input
        return SeveralCells(
            self.grids[at : at + len(numbers)], numbers.start, self._cells[at], self._rows[at]
        )

    def _inside(self, cell: int) -> tuple[Cells, int, int]:
        """Return the grid of a cell's input, the cell's number there, and the input's first row."""
        number, inner = self.place(cell)
        at = number - self.first_input
        return self.grids[at], inner, self._rows[at]

    def _input_of(self, row: int) -> int:
        at = bisect_right(self._rows, row) - 1
        if not 0 <= at < len(self.grids):
            raise IndexError(f"row {row} is not in rows {self._rows[0]} to {self._rows[-1]}")
        return at


def place_of(grid: Cells, cell: int) -> tuple[int, int]:
    """Return the number of a cell's input, and of the cell in it."""
    return grid.place(cell) if isinstance(grid, SeveralCells) else (0, cell)
