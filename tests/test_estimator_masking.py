"""on_invalid='mask': a row that is not finite is as if removed, and says that it was."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES, draw, estimator_start, nudged, random_mixture

CHUNKS = (101, 3)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def problem(covariance_type="full"):
    """Return rows with holes, which of them are whole, and a start."""
    rng = np.random.default_rng(0)
    mixture = random_mixture(covariance_type, 3, 3, rng)
    X, start = draw(mixture, 700, rng), nudged(mixture, rng)
    holes = rng.choice(700, 60, replace=False)
    X[holes, rng.integers(0, 3, 60)] = rng.choice([np.nan, np.inf, -np.inf, 1e200], 60)
    whole = np.ones(700, bool)
    whole[holes] = False
    return X, whole, start


def after_steps(start, X, sample_weight=None, **arguments):
    family = start.family.name
    estimator = GaussianMixture(3, covariance_type=family, max_iter=3, **estimator_start(start))
    with pytest.warns(ConvergenceWarning):
        return estimator.set_params(tol=0.0, **arguments).fit(X, sample_weight=sample_weight)


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weighted"])
@pytest.mark.parametrize("as_dask", [False, True], ids=["memory", "dask"])
@pytest.mark.parametrize("standardize", [False, True], ids=["plain", "standardized"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_fits_and_criteria_are_those_of_the_whole_rows(
    covariance_type, standardize, as_dask, weighted
):
    X, whole, start = problem(covariance_type)
    w = np.random.default_rng(1).integers(0, 3, 700).astype(float) if weighted else None
    given = da.from_array(X, chunks=CHUNKS) if as_dask else X
    expected_w = w[whole] if weighted else None
    found = after_steps(start, given, w, on_invalid="mask", standardize=standardize)
    expected = after_steps(start, X[whole], expected_w, standardize=standardize)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        wanted = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=1e-9, atol=1e-12)
    for criterion in ("score", "bic", "aic", "icl"):
        said = getattr(found, criterion)(given, sample_weight=w)
        wanted = getattr(expected, criterion)(X[whole], sample_weight=expected_w)
        assert said == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("as_dask", [False, True], ids=["memory", "dask"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_predictions_mark_what_they_leave_out(covariance_type, as_dask):
    X, whole, start = problem(covariance_type)
    given = da.from_array(X, chunks=CHUNKS) if as_dask else X
    found = after_steps(start, given, on_invalid="mask")
    labels, P, density = (
        np.asarray(ask(given)) for ask in (found.predict, found.predict_proba, found.score_samples)
    )
    np.testing.assert_array_equal(labels[~whole], -1)
    assert np.isnan(P[~whole]).all()
    assert np.isnan(density[~whole]).all()
    np.testing.assert_array_equal(labels[whole], found.predict(X[whole]))
    np.testing.assert_array_equal(P[whole], found.predict_proba(X[whole]))
    np.testing.assert_array_equal(density[whole], found.score_samples(X[whole]))


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("as_dask", [False, True], ids=["memory", "dask"])
def test_starts_are_drawn_from_whole_rows(as_dask, init_params):
    X, whole, _ = problem()
    given = da.from_array(X, chunks=CHUNKS) if as_dask else X
    arguments = {"init_params": init_params, "random_state": 0, "on_invalid": "mask"}
    found = GaussianMixture(3, max_iter=300, **arguments).fit(given)
    assert np.isfinite(found.means_).all()
    if not as_dask:
        plain = GaussianMixture(3, max_iter=300, **arguments).fit(X[whole])
        np.testing.assert_array_equal(found.means_, plain.means_)


@pytest.mark.parametrize("as_dask", [False, True], ids=["memory", "dask"])
def test_too_few_whole_rows_are_too_few_rows(as_dask):
    X = np.full((50, 2), np.nan)
    for n_whole in (0, 2):
        X[:n_whole] = np.arange(2 * n_whole).reshape(-1, 2)
        given = da.from_array(X, chunks=(7, 2)) if as_dask else X
        with pytest.raises(ValueError, match=f"n_samples = {n_whole}"):
            GaussianMixture(3, on_invalid="mask").fit(given)


def test_nothing_whole_is_nothing_to_score():
    X, whole, start = problem()
    found = after_steps(start, X[whole], on_invalid="mask")
    for given in (np.full((9, 3), np.nan), da.full((9, 3), np.nan, chunks=2)):
        with pytest.raises(ValueError, match="no row"):
            found.score(given)
        assert (np.asarray(found.predict(given)) == -1).all()
