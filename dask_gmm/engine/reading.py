"""The blocks of a leaf: one at a time, and another leaf reads while one is worked on."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block
from dask_gmm.data.sources import Source, begin_reading
from dask_gmm.engine.turns import leaf_turns


@dataclass
class Cell:
    """One cell's rows on their way through a leaf function, lent until the next one is asked for.

    Attributes
    ----------
    number : int
        The cell's place in the grid.
    source : Source
        Where it was read; tells the cell's region and row indices.
    block : Block
        What was read, as it was read; no rows once the cell's turn is over.
    """

    number: int
    source: Source
    block: Block

    @property
    def values(self) -> npt.NDArray[Any]:
        """The rows, (n, D)."""
        return self.block.values

    @property
    def weights(self) -> npt.NDArray[Any] | None:
        """Frequencies of the rows, (n,); None: 1 each."""
        return self.block.weights

    @property
    def valid(self) -> npt.NDArray[np.bool_] | None:
        """False where the source masks a row, (n,); None: nowhere."""
        return self.block.valid

    @property
    def n_nodata(self) -> int:
        """Rows that hold a value which stands for no data."""
        return self.block.n_nodata

    @property
    def region(self) -> tuple[slice, ...]:
        """The cell's slices over the leading axes."""
        return self.source.grid.region(self.number)

    def row_index(self) -> npt.NDArray[np.uint64]:
        """Return each row's global C-order index, (n,)."""
        return self.source.grid.row_index(self.number)


def read_cells(source: Source, cells: Sequence[int]) -> Generator[Cell]:
    """Yield the cells of ``source`` in order, each in a turn of its leaf.

    Close the generator where it is left before its end: it holds a turn.
    """
    read = begin_reading(source)
    with leaf_turns() as turn:
        for number in cells:
            cell = Cell(number, source, read(number))
            with turn:
                yield cell
            # Whoever is handed the next cell still has this one in a variable: it shall not keep
            # the rows in memory while that is read.
            cell.block = _NO_ROWS


_NO_ROWS = Block(np.empty((0, 0)))
