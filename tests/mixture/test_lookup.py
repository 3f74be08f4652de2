"""A look-up says what the kernel says, of rows that were counted and of those that were not."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.counts import Counts
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.keys import packed_rows
from dask_gmm.mixture.lookup import LookUp, finder_bytes, look_up_bytes
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from tests.mixture.problems import FAMILIES, random_mixture

EVERYTHING = Wanted(labels=True, probabilities=True, uncertainty=True, log_density=True)
TYPES = ["u1", "<u2", "<f4", ">f8"]


def problem(seed, n, D, dtype, family, K=3):
    """Return rows that repeat themselves, some of them invalid, and a mixture over them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (n, D)).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(n) < 0.1] = np.nan
    valid = rng.random(n) < 0.9
    return Rows(values, None, valid), Kernel.in_own_frame(random_mixture(family, K, D, rng))


def counts_of(values):
    finite = np.isfinite(values.astype(float)).all(axis=1)
    return Counts.of(packed_rows(values[finite]), None, 10**6)


def assert_same(found, expected, wanted):
    taken = expected.valid
    np.testing.assert_array_equal(found.valid, taken)
    for name in ("labels", "probabilities", "uncertainty", "log_density"):
        one, other = getattr(found, name), getattr(expected, name)
        if not getattr(wanted, name):
            assert one is None
            continue
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one[taken], other[taken], rtol=1e-12, atol=1e-12)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(30, 200), st.integers(1, 5)),
    st.sampled_from(TYPES),
    st.sampled_from(FAMILIES),
    st.sampled_from([EVERYTHING, Wanted(labels=True), Wanted(labels=True, uncertainty=True)]),
)
def test_a_look_up_says_what_the_kernel_says(size, dtype, family, wanted):
    block, kernel = problem(*size, dtype, family)
    known = counts_of(block.values[: len(block.values) // 2])  # the others were never counted
    if not len(known):
        return
    table = pickle.loads(pickle.dumps(LookUp.of(known, kernel, wanted)))
    assert_same(table.predict(kernel, block, wanted), predict(kernel, block, wanted), wanted)


@pytest.mark.parametrize("dtype", ["<u2", "<f8"])
def test_every_one_of_many_keys_is_found(dtype):
    rng = np.random.default_rng(0)
    values = np.unique(rng.integers(0, 60_000, (40_000, 2)), axis=0).astype(dtype)
    kernel = Kernel.in_own_frame(random_mixture("full", 4, 2, rng))
    counts = counts_of(values)
    table = LookUp.of(counts, kernel, EVERYTHING)
    places = table._finder.places(counts.keys)
    np.testing.assert_array_equal(places, np.arange(1, len(counts) + 1))
    strangers = counts_of((values + 60_000).astype(dtype)).keys
    strange = ~np.isin(strangers, counts.keys)
    assert (table._finder.places(strangers[strange]) == 0).all()


def test_what_a_process_makes_for_itself_is_not_sent():
    block, kernel = problem(0, 500, 3, "u1", "full")
    table = LookUp.of(counts_of(block.values), kernel, EVERYTHING)
    before = len(pickle.dumps(table))
    table.predict(kernel, block, EVERYTHING)
    assert len(pickle.dumps(table)) == before < 20_000


def test_the_bytes_that_were_said_are_the_bytes():
    block, kernel = problem(1, 400, 3, "<f4", "full")
    as_written = Wanted(True, True, True, True, dtype=np.float32)
    table = LookUp.of(counts_of(block.values), kernel, as_written)
    names = ("labels", "probabilities", "uncertainty", "log_density", "valid")
    held = table.keys.nbytes + sum(getattr(table.said, name).nbytes for name in names)
    assert look_up_bytes(len(table.keys), kernel.K) == held + 8  # place 0 has no key
    finder = table._finder
    assert finder._keys.nbytes + finder._places.nbytes == finder_bytes(len(table.keys), 12)


def test_a_table_of_other_rows_is_refused():
    block, kernel = problem(2, 50, 3, "u1", "full")
    table = LookUp.of(counts_of(block.values), kernel, EVERYTHING)
    with pytest.raises(ValueError, match="3 uint8, these are 3 float32"):
        table.predict(kernel, Rows(block.values.astype("f4")), EVERYTHING)
