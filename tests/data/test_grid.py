from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.grid import Grid, RowGroups


@st.composite
def grids(draw):
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    chunks = tuple(draw(st.integers(1, n + 2)) for n in shape)
    return Grid(shape, chunks)


@given(grids())
def test_every_row_lies_in_exactly_one_cell(grid):
    index = np.concatenate([grid.row_index(cell) for cell in range(len(grid))])
    assert index.dtype == np.uint64
    np.testing.assert_array_equal(np.sort(index), np.arange(grid.n_rows_total))


@given(grids())
def test_row_index_numbers_the_rows_of_the_region(grid):
    numbers = np.arange(math.prod(grid.shape)).reshape(grid.shape)
    for cell in range(len(grid)):
        expected = numbers[grid.region(cell)].ravel()
        np.testing.assert_array_equal(grid.row_index(cell), expected)
        assert grid.n_rows(cell) == grid.rows_per_cell[cell] == expected.size
    assert grid.rows_per_cell.shape == (len(grid),)


def test_row_index_passes_32_bits():
    grid = Grid((100_000, 100_000), (100_000, 3))
    assert grid.row_index(len(grid) - 1)[-1] == 10**10 - 1


@pytest.mark.parametrize("cell", [-1, 6])
def test_no_cell_outside_the_grid(cell):
    with pytest.raises(IndexError, match="6 cells"):
        Grid((5, 4), (2, 2)).region(cell)


@pytest.mark.parametrize(
    ("shape", "chunks", "names"),
    [((), (), None), ((3,), (1, 1), None), ((0, 2), (1, 1), None), ((3,), (0,), None),
     ((3,), (1,), ("y", "x"))],
)  # fmt: skip
def test_impossible_grids_are_refused(shape, chunks, names):
    with pytest.raises(ValueError, match="a grid needs"):
        Grid(shape, chunks, names)


@settings(deadline=None)
@given(grid=grids())
def test_every_row_of_a_grid_is_in_the_cell_that_says_so(grid):
    for cell in range(len(grid)):
        assert {grid.cell_of(int(row)) for row in grid.row_index(cell)} == {cell}
    np.testing.assert_array_equal(
        grid.rows_per_cell, [grid.n_rows(cell) for cell in range(len(grid))]
    )
    assert grid.largest >= grid.rows_per_cell.max()


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), data=st.data())
def test_row_groups_hold_every_row_once_and_in_order(lengths, data):
    table = RowGroups.of_lengths(lengths)
    assert table.shape == (sum(lengths),)
    assert table.rows_per_cell.tolist() == lengths
    assert table.largest == max(lengths)
    index = np.concatenate([table.row_index(cell) for cell in range(len(table))])
    np.testing.assert_array_equal(index, np.arange(table.n_rows_total))
    first = data.draw(st.integers(0, len(lengths) - 1))
    last = data.draw(st.integers(first, len(lengths) - 1))
    part = table.part(range(first, last + 1))
    assert len(part) == last - first + 1
    for cell in range(first, last + 1):  # under their own numbers
        np.testing.assert_array_equal(part.row_index(cell), table.row_index(cell))
        assert part.n_rows(cell) == table.n_rows(cell) == lengths[cell]
        assert {part.cell_of(int(row)) for row in part.row_index(cell)} == {cell}
        (rows,) = part.region(cell)
        assert index[rows].tolist() == part.row_index(cell).tolist()
    for outside in (first - 1, last + 1):
        with pytest.raises(IndexError):
            part.n_rows(outside)


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 2], [-1]])
def test_row_groups_without_rows_are_no_cells(lengths):
    with pytest.raises(ValueError, match="borders that rise"):
        RowGroups.of_lengths(lengths)
