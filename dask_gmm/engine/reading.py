"""The blocks of a leaf: one at a time, and another leaf reads while one is worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block
from dask_gmm.data.halo import Neighbourhood
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
    around : Neighbourhood or None
        The cell with a margin, where one was asked for; None once the cell's turn is over.
    """

    number: int
    source: Source
    block: Block
    around: Neighbourhood | None = None

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


def read_cells(
    source: Source, cells: Sequence[int], halo: Sequence[int] | None = None
) -> Generator[Cell]:
    """Yield the cells of ``source`` in order, each in a turn of its leaf.

    Close the generator where it is left before its end: it holds a turn.

    Parameters
    ----------
    source : Source
    cells : sequence of int
    halo : sequence of int, optional
        Per leading axis: cells come with a margin of so much. Tables have none.
    """
    with leaf_turns() as turn:
        for cell in _cells(source, cells, halo):
            with turn:
                yield cell
            # Whoever is handed the next cell still has this one in a variable: it shall not keep
            # the rows in memory while that is read.
            cell.block, cell.around = _NO_ROWS, None


def _cells(source: Source, cells: Sequence[int], halo: Sequence[int] | None) -> Iterator[Cell]:
    if halo is None:
        read = begin_reading(source)
        yield from (Cell(number, source, read(number)) for number in cells)
        return
    arrays: Any = source  # a table has no neighbours
    surroundings = arrays.neighbourhoods(halo)
    for number in cells:
        around = surroundings(number)
        yield Cell(number, source, around.cell(), around)
        del around


_NO_ROWS = Block(np.empty((0, 0)))
