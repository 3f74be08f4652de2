"""Dask in, lazy Dask out: the same chunks and leading axes, the same scheduler and numbers."""

from __future__ import annotations

import sys
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES, draw, estimator_start, nudged, random_mixture

QUESTIONS = ["predict", "predict_proba", "score_samples"]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def problem(covariance_type="full", n=720, D=3):
    rng = np.random.default_rng(0)
    mixture = random_mixture(covariance_type, 3, D, rng, apart=4.0)
    return draw(mixture, n, rng), nudged(mixture, rng)


def fitted(X, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**{"n_components": 3, "random_state": 0} | arguments).fit(X)


def counting(array, counter):
    """Return the array, every read of one of whose blocks is counted."""

    def touch(block):
        counter.append(block.shape)
        return block

    return array.map_blocks(touch, dtype=array.dtype, meta=np.empty((0,) * array.ndim))


@pytest.mark.parametrize("question", QUESTIONS)
@settings(max_examples=8, deadline=None)
@given(
    data=st.data(),
    shape=st.sampled_from([(720,), (24, 30), (4, 6, 30), (2, 3, 4, 30)]),
)
def test_answers_keep_chunks_and_leading_axes(question, data, shape):
    X, start = problem()
    found = fitted(X, max_iter=2, **estimator_start(start))
    chunks = tuple(data.draw(st.integers(1, n), label="chunk") for n in shape)
    features = data.draw(st.integers(1, 3), label="features per chunk")
    lazy = da.from_array(X.reshape(*shape, 3), chunks=(*chunks, features))
    answer, expected = getattr(found, question)(lazy), getattr(found, question)(X)
    assert isinstance(answer, da.Array)
    assert answer.chunks[: len(shape)] == lazy.chunks[:-1]
    assert answer.shape == shape + expected.shape[1:]
    assert answer.dtype == expected.dtype
    computed = answer.compute()
    assert computed.dtype == answer.dtype
    np.testing.assert_allclose(computed.reshape(expected.shape), expected, rtol=1e-12, atol=1e-15)


def test_nothing_is_read_until_it_is_asked_for():
    X, start = problem()
    reads = []
    lazy = counting(da.from_array(X, chunks=(100, 3)), reads)
    found = fitted(lazy, max_iter=4, tol=0.0, **estimator_start(start))
    n_chunks = len(lazy.chunks[0])
    assert found.n_passes_ == 5
    assert len(reads) == 5 * n_chunks
    reads.clear()
    answer = found.predict(lazy)
    assert reads == []
    answer[:50].compute()
    assert reads == [(100, 3)], "one chunk of labels costs one chunk of rows"
    reads.clear()
    found.bic(lazy)
    assert len(reads) == n_chunks


def test_starts_are_fitted_on_a_sample_and_full_passes_are_few():
    X, _ = problem(n=3000)
    reads = []
    lazy = counting(da.from_array(X, chunks=(500, 3)), reads)
    found = fitted(lazy, n_init=4, tol=1e-5, max_iter=500)
    assert found.n_passes_ == 1 + found.n_iter_ == len(reads) / 6
    assert found.n_iter_ <= 3
    assert found.converged_
    in_memory = fitted(X, n_init=4, tol=1e-5, max_iter=500)
    assert found.lower_bound_ == pytest.approx(in_memory.lower_bound_, abs=1e-3)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_other_chunks_give_the_same_fit(covariance_type):
    X, _ = problem(covariance_type)
    fits = [
        fitted(da.from_array(given_X, chunks=chunks), covariance_type=covariance_type, tol=1e-6)
        for given_X, chunks in [
            (X, (720, 3)),
            (X, (53, 2)),
            (X.reshape(24, 30, 3), (7, 11, 3)),
            (X.reshape(2, 12, 30, 3), (1, 5, 30, 1)),
        ]
    ]
    for other in fits[1:]:
        assert other.n_iter_ == fits[0].n_iter_
        for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
            expected = getattr(fits[0], name)
            np.testing.assert_allclose(getattr(other, name), expected, rtol=1e-9, atol=1e-12)


def test_unknown_chunk_sizes():
    X, start = problem()
    kept = X[:, 0] > 0
    known = da.from_array(X, chunks=(100, 3))
    unknown = known[known[:, 0] > 0]
    assert np.isnan(unknown.shape[0])
    arguments = {"max_iter": 3, "tol": 0.0} | estimator_start(start)
    found, expected = fitted(unknown, **arguments), fitted(X[kept], **arguments)
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-9)
    np.testing.assert_array_equal(found.predict(unknown).compute(), expected.predict(X[kept]))
    assert found.predict_proba(unknown).compute().shape == (kept.sum(), 3)
    assert found.score(unknown) == pytest.approx(expected.score(X[kept]), rel=1e-9)
    weights = da.from_array(np.arange(720.0), chunks=100)[known[:, 0] > 0]
    weighted = GaussianMixture(3, **arguments)
    with pytest.warns(ConvergenceWarning):
        weighted.fit(unknown, sample_weight=weights)
    with pytest.warns(ConvergenceWarning):
        expected = GaussianMixture(3, **arguments).fit(X[kept], None, np.arange(720.0)[kept])
    np.testing.assert_allclose(weighted.means_, expected.means_, rtol=1e-9)
    assert np.isfinite(fitted(unknown).means_).all(), "and a start drawn on the sample"
    with pytest.raises(ValueError, match=r"rows and \d+ weights"):
        GaussianMixture(3).fit(unknown, sample_weight=da.ones(720, chunks=100)[da.ones(720) > 0])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (da.zeros(10), "features last"),
        (da.zeros((10, 2), dtype=complex), "real numbers"),
        (da.zeros((10, 2), dtype="M8[s]"), "real numbers"),
        (da.zeros((10, 2)).astype("S3"), "real numbers"),
        (da.zeros((0, 2)), "n_samples = 0"),
        (da.zeros((2, 2)), "n_samples = 2"),
        (da.zeros((10, 0)), "known D"),
        (da.zeros((4, 10))[da.ones(4) > 0].T, "known D"),
        (da.ma.masked_greater(da.arange(40).reshape(20, 2), 5), "masked"),
    ],
    ids=[
        "one axis",
        "complex",
        "dates",
        "text",
        "no rows",
        "two rows",
        "no features",
        "unknown features",
        "masked",
    ],
)
def test_arrays_that_are_no_rows_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(X)


def test_other_features_than_fitted_are_refused_before_anything_is_computed():
    X, _ = problem()
    found = fitted(X)
    for question in [*QUESTIONS, "score", "bic", "aic", "icl"]:
        with pytest.raises(ValueError, match="expecting 3 features"):
            getattr(found, question)(da.zeros((100, 4), chunks=10))


def test_masked_values_are_no_data():
    X, _ = problem()
    found = fitted(X)
    nothing_masked = da.ma.masked_greater(da.from_array(X, chunks=(100, 3)), 1e9)
    np.testing.assert_array_equal(found.predict(nothing_masked).compute(), found.predict(X))
    with pytest.raises(ValueError, match="masked"):
        found.predict(da.ma.masked_greater(da.from_array(X, chunks=(100, 3)), 0.0)).compute()


def test_an_error_in_a_block_is_the_users_to_see():
    def fails(block):
        if block.size:  # Dask tries functions on empty blocks
            raise OSError("disk on fire")
        return block

    broken = da.zeros((100, 2), chunks=(10, 2)).map_blocks(fails, meta=np.empty((0, 2)))
    with pytest.raises(OSError, match="disk on fire"):
        GaussianMixture(2).fit(broken)


@pytest.mark.parametrize("dtype", ["f4", "f2", ">f8", "u1", ">i2", "?"])
def test_dtypes(dtype):
    X, _ = problem()
    X = (X > 0 if dtype == "?" else np.abs(X) * 10).astype(dtype)
    lazy = da.from_array(X, chunks=(100, 3))
    plain = X.astype(np.float64)
    found = fitted(lazy, reg_covar=1e-3)
    np.testing.assert_allclose(
        found.predict_proba(lazy).compute(), found.predict_proba(plain), atol=1e-12
    )
    same = fitted(lazy.astype(np.float64), reg_covar=1e-3)
    np.testing.assert_array_equal(same.means_, found.means_)


def test_the_active_scheduler_is_used_and_no_client_is_made():
    X, start = problem()
    lazy = da.from_array(X, chunks=(100, 3))
    calls = []

    def scheduler(graph, keys, **options):
        calls.append(keys)
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        found = fitted(lazy, max_iter=3, tol=0.0, **estimator_start(start))
        assert len(calls) == found.n_passes_ == 4
        found.score(lazy)
        found.predict(lazy).compute()
    assert len(calls) == 6
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with pytest.raises(ValueError, match="No"):
            distributed.get_client()


def test_masked_and_filtered_graphs_behind_the_array_do_not_matter():
    """Rows may come from any graph: sliced, stacked, of mixed dtypes, of shuffled axes."""
    X, start = problem()
    arguments = {"max_iter": 3, "tol": 0.0, **estimator_start(start)}
    expected = fitted(X, **arguments)
    columns = [da.from_array(X[:, i].copy(), chunks=101 + i) for i in range(3)]
    forms = {
        "stacked columns": da.stack(columns, axis=-1),
        "concatenated": da.concatenate([da.from_array(X[:100]), da.from_array(X[100:], chunks=70)]),
        "transposed": da.from_array(np.ascontiguousarray(X.T), chunks=(2, 99)).T,
        "moved axis": da.moveaxis(da.from_array(X.T.reshape(3, 24, 30), chunks=(1, 5, 30)), 0, -1),
        "sliced": da.from_array(np.repeat(X, 2, axis=0), chunks=(111, 3))[::2],
    }
    for name, lazy in forms.items():
        found = fitted(lazy, **arguments)
        np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-11, err_msg=name)
        labels = found.predict(lazy).compute().ravel()
        np.testing.assert_array_equal(labels, expected.predict(X), name)
