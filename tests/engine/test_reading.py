"""Reading: cells in order, lent one at a time, and errors where they happen."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from dask_gmm.data.grid import Block, Grid
from dask_gmm.engine.reading import read_cells


class Source:
    """A source that knows which cells have been read, and which rows are still in memory."""

    grid = Grid((10, 6), (3, 4))

    def __init__(self, bad=None):
        self.read_cells, self.rows, self.bad = [], weakref.WeakSet(), bad
        self.most_rows = 0

    def read(self, cell):
        self.most_rows = max(self.most_rows, len(self.rows))
        self.read_cells.append(cell)
        if cell == self.bad:
            raise ValueError(f"cell {cell}")
        values = np.full((self.grid.n_rows(cell), 2), cell).view(Rows)
        self.rows.add(values)
        return Block(values)


class Rows(np.ndarray):
    """An array that a weak set can hold."""

    __hash__ = object.__hash__


def test_cells_come_in_order_with_their_place():
    source = Source()
    for expected, cell in zip([1, 2, 5], read_cells(source, [1, 2, 5]), strict=True):
        assert cell.number == expected
        assert (cell.values == expected).all()
        assert cell.weights is None
        assert cell.valid is None
        assert cell.region == source.grid.region(expected)
        np.testing.assert_array_equal(cell.row_index(), source.grid.row_index(expected))


def test_nothing_is_read_before_it_is_asked_for():
    source = Source()
    cells = read_cells(source, range(6))
    assert source.read_cells == []
    for number in range(6):
        assert next(cells).number == number
        assert source.read_cells == list(range(number + 1))


def test_a_cells_rows_are_gone_before_the_next_one_is_read():
    source = Source()
    for cell in read_cells(source, range(6)):
        assert len(source.rows) == 1
        assert len(cell.values) == source.grid.n_rows(cell.number)
    assert source.most_rows == 0
    assert not len(cell.values)


def test_an_error_comes_when_its_cell_is_asked_for():
    cells = read_cells(Source(bad=2), range(6))
    assert [next(cells).number, next(cells).number] == [0, 1]
    with pytest.raises(ValueError, match="cell 2"):
        next(cells)
