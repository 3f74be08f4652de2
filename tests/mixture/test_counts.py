"""Distinct rows with their counts: a monoid, exact for every type, whatever the cut into blocks."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture import counting, keys
from dask_gmm.mixture.counts import Counts, most_distinct
from dask_gmm.mixture.keys import keys_are_rows, packed_rows, row_keys, rows_of_keys
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey

DTYPES = ["u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", "u8", "<f2", "<f4", ">f4", "<f8", ">f8"]


def repetitive(seed, n, D, dtype, levels=4):
    """Draw rows of few distinct values, negative ones where the type has them; -0.0 among them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels, size=(n, D)).astype(float)
    kind = np.dtype(dtype).kind
    if kind in "if":
        values -= levels // 2
    if kind == "f":
        values *= np.where(values == 0, -0.25, 0.25)
        values[rng.random((n, D)) < 0.1] = 0.0
    return values.astype(dtype)


def counted(values, weights=None, valid=None, limit=10_000, cuts=()):
    edges = [0, *sorted(cuts), len(values)]
    blocks = [
        Rows(
            values[a:b],
            None if weights is None else weights[a:b],
            None if valid is None else valid[a:b],
            a,
        )
        for a, b in pairwise(edges)
        if b > a
    ]
    D = values.shape[1]
    return survey(blocks, SurveyPlan(D, 0, 0, most_distinct=limit))


def as_table(counts):
    """Return {row: weight}, which knows of no order."""
    pairs = zip(counts.rows.tolist(), counts.weights.tolist(), strict=True)
    return {tuple(row): weight for row, weight in pairs}


def by_unique(values, weights=None):
    rows, place = np.unique(np.asarray(values, float) + 0.0, axis=0, return_inverse=True)
    sums = np.bincount(place.ravel(), weights, len(rows))
    return {tuple(row): weight for row, weight in zip(rows.tolist(), sums.tolist(), strict=True)}


sizes = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 11))


@given(sizes, st.sampled_from(DTYPES), st.data())
def test_counts_are_those_of_unique_for_every_type_and_cut(size, dtype, data):
    seed, n, D = size
    values = repetitive(seed, n, D, dtype)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=4))
    seen = counted(values, cuts=cuts)
    assert as_table(seen.counts) == by_unique(values)
    assert seen.counts.rows.dtype == values.dtype.newbyteorder("=")
    assert (np.diff(seen.counts.keys.astype(object)) > 0).all()


@given(sizes, st.sampled_from(["u1", "<f4", "<f8"]))
def test_weights_are_added_and_masked_and_invalid_rows_are_not_counted(size, dtype):
    seed, n, D = size
    rng = np.random.default_rng(seed)
    values = repetitive(seed, n, D, dtype)
    weights = rng.integers(0, 4, n) / 4
    valid = rng.random(n) < 0.8
    finite = np.ones(n, bool)
    if values.dtype.kind == "f":
        finite = rng.random(n) < 0.8
        values[~finite, 0] = rng.choice([np.nan, np.inf, -np.inf], (~finite).sum())
    taken = valid & finite & (weights > 0)
    seen = counted(values, weights, valid)
    assert as_table(seen.counts) == by_unique(values[taken], weights[taken])
    assert seen.n_used == taken.sum()
    assert seen.n_invalid == (valid & (weights > 0) & ~finite).sum()


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 30)), min_size=3, max_size=3), sizes)
def test_counts_are_a_monoid_in_which_too_many_absorbs(parts, size):
    _, limit, D = size
    a, b, c = (
        counted(repetitive(seed, n, D, "u1", levels=3), limit=limit).counts if n else Counts(limit)
        for seed, n in parts
    )
    zero = Counts(limit)
    for left, right in (((a + b) + c, a + (b + c)), (a + b, b + a), (a + zero, a), (zero + a, a)):
        assert left.too_many == right.too_many
        assert as_table(left) == as_table(right)
    distinct = set().union(*(by_unique(repetitive(s, n, D, "u1", 3)) for s, n in parts if n))
    assert (a + b + c).too_many == (len(distinct) > limit)


@settings(max_examples=25)
@given(sizes, st.sampled_from(["u1", "<f4"]), st.booleans())
def test_a_leaf_longer_than_what_is_sorted_counts_the_same(size, dtype, weighted):
    """With few rows sorted at a time short keys are counted by table, long ones in parts."""
    seed, n, D = size
    values = repetitive(seed, 20 * n, D, dtype, levels=2)
    weights = np.random.default_rng(seed).integers(1, 5, len(values)) / 4 if weighted else None
    before = counting._SORTED
    counting._SORTED = 16
    try:
        seen = counted(values, weights, cuts=range(10, len(values), 10))
    finally:
        counting._SORTED = before
    if seen.counts.known:
        assert as_table(seen.counts) == by_unique(values, weights)
    plain = counted(values, weights, limit=0)
    for name in ("weight", "mean", "scatter", "low", "high"):
        found, expected = (getattr(each.moments, name) for each in (seen, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * n)


@given(sizes)
def test_moments_of_rows_are_complete_when_counting_gave_up(size):
    seed, n, D = size
    values = np.random.default_rng(seed).normal(size=(n, D))
    seen, plain = counted(values, limit=max(1, n // 2)), counted(values, limit=0)
    assert seen.counts.too_many == (n > max(1, n // 2))
    assert seen.counts.known != seen.counts.too_many
    np.testing.assert_allclose(seen.moments.mean, plain.moments.mean, rtol=1e-12, atol=1e-14)
    assert seen.moments.weight == plain.moments.weight == n


def test_rows_that_do_not_repeat_are_given_up_after_a_first_look():
    rng = np.random.default_rng(0)
    n = counting.FIRST_LOOK
    for values, limit in ((rng.random((n, 3)), 10 * n), (rng.random((n, 1)), 10 * n)):
        counter = counting.Counter(limit, values.shape[1])
        counter.add(values, None)
        assert not counter.counting
        assert counter.finished().too_many
        assert counter.moments.weight == n
    # As many distinct rows as are allowed, evenly drawn: these go on.
    counter = counting.Counter(n, 1)
    for _ in range(20):
        counter.add(rng.integers(0, n, (n, 1)).astype("f8"), None)
        assert counter.counting
    assert counter.finished().weights.sum() == 20 * n


def test_two_rows_with_one_hash_end_the_counting(monkeypatch):
    """No two of 64 bits are known to collide: the hash is made a bad one."""
    monkeypatch.setattr(keys, "mixed", lambda z: z & np.uint64(1))
    values = np.arange(60.0).reshape(20, 3)
    seen = counted(values, limit=100)
    assert seen.counts.too_many
    assert seen.moments.weight == 20
    np.testing.assert_allclose(seen.moments.mean, values.mean(axis=0))


def test_keys_of_short_rows_are_the_rows():
    rng = np.random.default_rng(3)
    for dtype in DTYPES:
        for D in range(1, 9):
            if not keys_are_rows(dtype, D):
                continue
            rows = packed_rows(rng.integers(0, 100, (50, D)).astype(dtype))
            keys = row_keys(rows)
            np.testing.assert_array_equal(rows_of_keys(keys, rows.dtype, D), rows)
            for n in range(9):
                np.testing.assert_array_equal(row_keys(rows[:n]), keys[:n])


def test_rows_in_any_layout_have_the_same_keys():
    values = np.random.default_rng(1).integers(0, 255, (101, 3)).astype(np.uint8)
    expected = row_keys(packed_rows(values))
    for other in (np.asfortranarray(values), np.repeat(values, 2, axis=0)[::2], values[::-1]):
        order = slice(None, None, -1) if other.base is values else slice(None)
        np.testing.assert_array_equal(row_keys(packed_rows(other)), expected[order])


def test_counts_of_other_limits_or_types_are_not_added():
    a = counted(repetitive(0, 9, 2, "u1")).counts
    with pytest.raises(ValueError, match="limits"):
        a + Counts(5)
    with pytest.raises(ValueError, match="types"):
        a + counted(repetitive(0, 9, 2, "<f4")).counts


def test_the_budget_bounds_rows_by_their_width_and_by_what_is_worth_it():
    assert most_distinct(10**12, 3) * 19 <= 16 << 20 < (most_distinct(10**12, 3) + 1) * 19
    assert most_distinct(10**12, 512) < most_distinct(10**12, 3)
    assert most_distinct(800, 3) == 100


def test_a_tree_of_leaves_counts_what_one_leaf_does():
    values = repetitive(5, 5000, 3, "u1", levels=9)
    whole = counted(values).counts
    leaves = [counted(values[i : i + 617]).counts for i in range(0, 5000, 617)]
    summed = reduce(add, leaves)
    for name in ("keys", "rows", "weights"):
        np.testing.assert_array_equal(getattr(summed, name), getattr(whole, name))
