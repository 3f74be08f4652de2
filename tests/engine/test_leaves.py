"""Leaves: all cells in order, cut by the data alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dask_gmm.engine.leaves import LARGEST, SMALLEST, cut_leaves

SIZES = st.lists(st.integers(1, 3 * LARGEST), min_size=1, max_size=300)


@given(SIZES)
def test_every_cell_is_in_one_leaf_in_order(sizes):
    leaves = cut_leaves(sizes)
    assert [cell for leaf in leaves for cell in leaf] == list(range(len(sizes)))
    assert all(len(leaf) for leaf in leaves)


@given(SIZES)
def test_a_leaf_is_full_but_not_too_full(sizes):
    total = sum(sizes)
    target = np.clip(max(total // 256, min(total // 16, 16 << 20)), SMALLEST, LARGEST)
    leaves = cut_leaves(np.asarray(sizes))
    for leaf in leaves:
        held = sum(sizes[cell] for cell in leaf)
        assert held <= target or len(leaf) == 1
    for leaf, after in pairwise(leaves):
        assert sum(sizes[cell] for cell in leaf) + sizes[after[0]] > target


def test_a_hundred_thousand_chunks_are_a_few_hundred_tasks():
    leaves = cut_leaves([1 << 20] * 100_000)
    assert 250 <= len(leaves) <= 300


def test_little_data_are_leaves_enough_for_a_few_workers():
    for mebibytes in (64, 128, 256, 1024):
        leaves = cut_leaves([1 << 20] * mebibytes)
        assert 8 <= len(leaves) <= 64, (mebibytes, len(leaves))


def test_nothing_is_cut_into_nothing():
    assert cut_leaves([]) == ()
