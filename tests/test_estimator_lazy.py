"""Lazy data as they come: empty blocks and partitions, unknown lengths, columns of objects."""

from __future__ import annotations

import itertools

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm import GaussianMixture

ARGUMENTS = {"n_components": 2, "tol": 1e-10, "max_iter": 50, "means_init": [[0, 0], [8, 8]]}


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def rows(n=400):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) + 8.0 * rng.integers(0, 2, n)[:, None]


def assert_same(found, X, lazy, weights=None):
    """Hold a fit to lazy data, and its answers, to those of the dense array."""
    expected = GaussianMixture(**ARGUMENTS).fit(X, sample_weight=weights)
    np.testing.assert_allclose(found.weights_, expected.weights_, rtol=1e-9)
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-9)
    np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-9)
    np.testing.assert_array_equal(found.predict(lazy).compute(), expected.predict(X))
    proba = found.predict_proba(lazy).compute()
    np.testing.assert_allclose(proba, expected.predict_proba(X), atol=1e-9)
    assert found.score(lazy) == pytest.approx(expected.score(X), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_empty_blocks_of_known_and_unknown_length_do_not_matter(data):
    X = rows()
    lengths = data.draw(st.lists(st.sampled_from([0, 0, 17, 60]), min_size=3, max_size=7))
    lengths = [0, *lengths, 400 - sum(lengths) % 400, 0]
    borders = np.cumsum([0, *lengths])
    values = np.resize(X, (borders[-1], 2))
    dropped = {i for i in range(len(lengths) - 2) if data.draw(st.booleans(), f"drop block {i}")}
    blocks = [
        dask.delayed(values[a:b] if i not in dropped else values[:0])
        for i, (a, b) in enumerate(itertools.pairwise(borders))
    ]
    unknown = da.concatenate(
        [da.from_delayed(block, (np.nan, 2), dtype=float) for block in blocks],
        allow_unknown_chunksizes=True,
    )
    kept = np.concatenate(dask.compute(*blocks))
    assert_same(GaussianMixture(**ARGUMENTS).fit(unknown), kept, unknown)


def test_unknown_lengths_of_several_leading_axes():
    X = rows().reshape(20, 20, 2)
    lazy = da.from_array(X, chunks=(7, 9, 2))
    unknown = lazy[da.from_array(np.arange(20) > 7, chunks=7)]
    found = GaussianMixture(**ARGUMENTS).fit(unknown)
    expected = GaussianMixture(**ARGUMENTS).fit(X[8:].reshape(-1, 2))
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-9)
    labels = found.predict(unknown).compute()
    assert labels.shape == (12, 20)
    np.testing.assert_array_equal(labels.ravel(), expected.predict(X[8:].reshape(-1, 2)))


def test_empty_partitions_of_a_frame_and_weights_in_the_same_partitions():
    X = rows()
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "w": np.arange(400) % 5, "i": np.arange(400)})
    lazy = dd.from_pandas(frame, npartitions=8)
    kept = lazy[(lazy.i >= 120) & (lazy.i < 300)]  # two empty partitions in front, two behind
    data, weights = kept[["a", "b"]], kept["w"]
    assert_same(GaussianMixture(**ARGUMENTS).fit(data), frame[["a", "b"]][120:300], data)
    found = GaussianMixture(**ARGUMENTS).fit(data, sample_weight=weights)
    expected = GaussianMixture(**ARGUMENTS).fit(
        frame[["a", "b"]][120:300], sample_weight=frame["w"][120:300]
    )
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-9)
    with pytest.raises(ValueError, match="give weights in the same partitions"):
        GaussianMixture(**ARGUMENTS).fit(data, sample_weight=np.ones(180))


def test_nothing_at_all_is_refused():
    X = da.from_array(rows(), chunks=(50, 2))
    with pytest.raises(ValueError, match="n_samples = 0"):
        GaussianMixture(2).fit(X[X[:, 0] > 1e9])


def test_objects_that_are_numbers_are_numbers():
    X = rows()
    lazy = da.from_array(X.astype(object), chunks=(90, 2))
    assert_same(GaussianMixture(**ARGUMENTS).fit(lazy), X, lazy)
    frame = pd.DataFrame({"a": np.rint(X[:, 0]), "b": X[:, 1]}).astype({"a": "Int64"})
    frame.loc[5, "a"] = pd.NA
    lazy = dd.from_pandas(frame, npartitions=3)
    masking = GaussianMixture(**ARGUMENTS, on_invalid="mask")
    found = masking.fit(lazy).means_
    dense = frame.astype("float64").to_numpy()
    np.testing.assert_allclose(
        found, GaussianMixture(**ARGUMENTS, on_invalid="mask").fit(dense).means_
    )
    assert masking.predict(lazy).compute()[5] == -1
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixture(**ARGUMENTS).fit(lazy)


def test_objects_that_are_no_numbers_are_refused():
    text = rows().astype(object)
    text[250, 1] = "x"
    with pytest.raises(ValueError, match=r"no real number .*'x'.*: convert that column"):
        GaussianMixture(**ARGUMENTS).fit(da.from_array(text, chunks=(90, 2)))
