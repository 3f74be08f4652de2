"""The blocks of a leaf: read ahead by one helper thread while the caller computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block
from dask_gmm.data.sources import Source


@dataclass(frozen=True)
class Cell:
    """One cell's rows on their way through a leaf function.

    Attributes
    ----------
    number : int
        The cell's place in the grid.
    values, weights, valid, n_nodata
        As in :class:`dask_gmm.data.grid.Block`.
    source : Source
        Where it was read; tells the cell's region and row indices.
    """

    number: int
    values: npt.NDArray[Any]
    weights: npt.NDArray[np.float64] | None
    valid: npt.NDArray[np.bool_] | None
    source: Source
    n_nodata: int = 0

    @property
    def region(self) -> tuple[slice, ...]:
        """The cell's slices over the leading axes."""
        return self.source.grid.region(self.number)

    def row_index(self) -> npt.NDArray[np.uint64]:
        """Return each row's global C-order index, (n,)."""
        return self.source.grid.row_index(self.number)


def read_cells(source: Source, cells: Sequence[int]) -> Iterator[Cell]:
    """Yield the cells of ``source`` in order; the next one is read while one is worked on."""

    def cell(number: int, block: Block) -> Cell:
        return Cell(number, block.values, block.weights, block.valid, source, block.n_nodata)

    if len(cells) == 1:
        yield cell(cells[0], source.read(cells[0]))
        return
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as helper:
        reads = [partial(source.read, number) for number in cells]
        coming = helper.submit(reads[0])
        for position, number in enumerate(cells):
            block = coming.result()
            if position + 1 < len(cells):
                coming = helper.submit(reads[position + 1])
            yield cell(number, block)
