"""sample_weight: frequencies, in memory and lazy; what is no weight is refused."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES, draw, estimator_start, nudged, random_mixture


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def problem(covariance_type="full"):
    rng = np.random.default_rng(0)
    mixture = random_mixture(covariance_type, 3, 3, rng, apart=4.0)
    return draw(mixture, 720, rng), nudged(mixture, rng)


def after_steps(start, X, sample_weight=None):
    """Fit three steps from a given start."""
    family = start.family.name
    estimator = GaussianMixture(3, covariance_type=family, max_iter=3, **estimator_start(start))
    with pytest.warns(ConvergenceWarning):
        return estimator.set_params(tol=0.0).fit(X, sample_weight=sample_weight)


def assert_same_fit(found, expected):
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        wanted = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["rows", "one chunk", "chunks", "leading axes", "own chunks"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_integer_weights_are_repeated_rows_and_zero_is_none(covariance_type, form):
    X, start = problem(covariance_type)
    w = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    repeated = np.repeat(X, w.astype(int), axis=0)
    given_X, given_w = {
        "rows": (X, w),
        "one chunk": (da.from_array(X), w),
        "chunks": (da.from_array(X, chunks=(100, 3)), list(w)),
        "leading axes": (da.from_array(X.reshape(24, 30, 3), chunks=(5, 7, 3)), w.reshape(24, 30)),
        "own chunks": (da.from_array(X, chunks=(100, 2)), da.from_array(w, chunks=7)),
    }[form]
    found = after_steps(start, given_X, given_w)
    assert_same_fit(found, after_steps(start, repeated))
    for criterion in ("score", "bic", "aic", "icl"):
        ask = getattr(found, criterion)
        assert ask(given_X, sample_weight=given_w) == pytest.approx(ask(repeated), rel=1e-11)


@pytest.mark.parametrize("as_dask", [False, True], ids=["rows", "dask"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_row_of_weight_zero_may_hold_anything(covariance_type, as_dask):
    X, start = problem(covariance_type)
    w = np.ones(len(X))
    w[::9] = 0.0
    broken = X.copy()
    broken[::9] = np.nan
    given_X = da.from_array(broken, chunks=(100, 3)) if as_dask else broken
    found, kept = after_steps(start, given_X, w), X[w > 0]
    assert_same_fit(found, after_steps(start, kept))
    for ask in (found.score, found.bic, found.aic, found.icl):
        assert ask(given_X, sample_weight=w) == pytest.approx(ask(kept), rel=1e-12)
        with pytest.raises(ValueError, match="NaN"):
            ask(given_X)
    w[0] = 1e-300
    for ask in (GaussianMixture(3).fit, found.score):
        with pytest.raises(ValueError, match="NaN"):
            ask(given_X, sample_weight=w)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_rows_of_weight_zero_change_no_start(init_params):
    X, _ = problem()
    w = np.ones(len(X))
    w[::9] = 0.0
    known = {"init_params": init_params, "random_state": 0, "max_iter": 200}
    found = GaussianMixture(3, **known).fit(X, sample_weight=w)
    expected = GaussianMixture(3, **known).fit(X[w > 0], sample_weight=w[w > 0])
    np.testing.assert_array_equal(found.means_, expected.means_)


@pytest.mark.parametrize("as_dask", [False, True], ids=["rows", "dask"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.where(np.arange(720) == 5, -1.0, 1.0), "[Nn]egative"),
        (np.where(np.arange(720) == 5, np.nan, 1.0), "NaN"),
        (np.where(np.arange(720) == 5, np.inf, 1.0), "infinity"),
        (np.ones(719), "shape"),
        (np.ones((720, 1)), "shape|1D"),
        (np.zeros(720), "non-zero|n_samples = 0"),
    ],
    ids=["negative", "NaN", "infinite", "too few", "a column", "all zero"],
)
def test_bad_weights_are_refused(bad, message, as_dask):
    X, _ = problem()
    given_X = da.from_array(X, chunks=(100, 3)) if as_dask else X
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(given_X, sample_weight=bad)


def test_weights_of_zero_leave_nothing_to_score():
    X, start = problem()
    found = after_steps(start, X)
    with pytest.raises(ValueError, match="positive sample_weight"):
        found.score(da.from_array(X), sample_weight=np.zeros(len(X)))
