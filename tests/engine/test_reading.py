"""Reading ahead: in order, one cell ahead and no more, and errors where they happen."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from dask_gmm.data.grid import Block, Grid
from dask_gmm.engine.reading import read_cells


class Slow:
    """A source that knows which cells have been read, and by whom."""

    grid = Grid((10, 6), (3, 4))

    def __init__(self, bad=None):
        self.read_cells, self.threads, self.bad = [], set(), bad

    def read(self, cell):
        self.read_cells.append(cell)
        self.threads.add(threading.current_thread())
        if cell == self.bad:
            raise ValueError(f"cell {cell}")
        return Block(np.full((self.grid.n_rows(cell), 2), cell))


def test_cells_come_in_order_with_their_place():
    source = Slow()
    for expected, cell in zip([1, 2, 5], read_cells(source, [1, 2, 5]), strict=True):
        assert cell.number == expected
        assert (cell.values == expected).all()
        assert cell.region == source.grid.region(expected)
        np.testing.assert_array_equal(cell.row_index(), source.grid.row_index(expected))


def test_one_cell_is_read_ahead_and_no_more():
    source = Slow()
    cells = read_cells(source, range(6))
    for number in range(6):
        assert next(cells).number == number
        assert len(source.read_cells) <= number + 2
    assert source.read_cells == list(range(6))
    assert threading.current_thread() not in source.threads


def test_a_single_cell_needs_no_helper():
    source = Slow()
    assert [cell.number for cell in read_cells(source, [4])] == [4]
    assert source.threads == {threading.current_thread()}


def test_an_error_comes_when_its_cell_is_asked_for():
    cells = read_cells(Slow(bad=2), range(6))
    assert [next(cells).number, next(cells).number] == [0, 1]
    with pytest.raises(ValueError, match="cell 2"):
        next(cells)


def test_a_reader_that_is_left_ends_its_helper():
    before = threading.active_count()
    cells = read_cells(Slow(), range(6))
    next(cells)
    assert threading.active_count() == before + 1
    cells.close()
    assert threading.active_count() == before
