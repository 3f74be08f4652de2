"""Where EM is not robust the estimator is: finite parameters, and a status that names them."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES


def fitted(X, K, covariance_type, *, sample_weight=None, **arguments):
    known = {"random_state": 0, "max_iter": 30}
    estimator = GaussianMixture(K, covariance_type=covariance_type, **known | arguments)
    with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, sample_weight=sample_weight)


def assert_sound(found, X):
    """Hold parameters to be finite and definite, and everything that they say of X."""
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert np.isfinite(getattr(found, name)).all(), name
    assert found.weights_.sum() == pytest.approx(1.0)
    assert (found.weights_ >= 0).all()
    assert np.isfinite(found.lower_bounds_).all()
    if found.covariance_type in ("full", "tied"):
        np.linalg.cholesky(found.covariances_)
    else:
        assert (found.covariances_ > 0).all()
    P = found.predict_proba(X)
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    assert np.isfinite(found.score_samples(X)).all()
    assert set(np.unique(found.predict(X))) <= set(range(found.n_components))
    assert np.isfinite([found.bic(X), found.aic(X), found.icl(X)]).all()
    assert set(found.narrow_components_) <= set(range(found.n_components))
    assert len(found.component_status_) == found.n_components
    for k in found.narrow_components_:
        assert found.component_status_[k] != "ok"


def colours(rng, n=600):
    """Integer colours, a third of them one and the same."""
    X = np.clip(rng.normal(120, 40, (n, 3)), 0, 255).astype(np.uint8)
    X[: n // 3] = (2, 5, 20)
    return rng.permutation(X)


def cases():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(300, 2))
    few = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    yield "repeated colours", colours(rng), 4
    yield "more components than distinct rows", np.repeat(few, 20, axis=0), 7
    yield "one distinct row", np.ones((50, 2)), 3
    yield "duplicated column", normal[:, [0, 0, 1]], 3
    yield "constant column", np.column_stack([normal, np.full(300, 7.0)]), 3
    yield "all columns constant but one row", np.vstack([np.zeros((99, 2)), [[1.0, 1.0]]]), 2
    yield "one feature", normal[:, :1], 3
    yield "as many components as rows", normal[:8], 8
    yield "one component", normal, 1
    yield "two rows", normal[:2], 1
    yield "one giant cluster", np.vstack([rng.normal(size=(5000, 2)), normal[:3] + 50]), 4
    yield "integers beside 1e-9", np.column_stack([rng.integers(0, 9, 300), normal * 1e-9]), 3
    yield "integers beside 1e-170", np.column_stack([rng.integers(0, 9, 300), normal * 1e-170]), 3
    yield "outliers", np.vstack([normal, [[1e12, 1e12], [-1e12, 1e12]]]), 4
    yield "outliers of all sizes", np.vstack([normal, 10.0 ** np.arange(99)[:, None] * [1, 1]]), 3
    yield "more features than rows", rng.normal(size=(6, 20)), 2
    yield "a line far away", np.arange(100.0)[:, None] * [1, 1e-3] + 1e9, 3


CASES = [name for name, _, _ in cases()]


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("name", CASES)
def test_awkward_data_give_sound_parameters(name, covariance_type, reg_covar):
    X, K = {case: rest for case, *rest in cases()}[name]
    for standardize in (False, True):
        found = fitted(X, K, covariance_type, reg_covar=reg_covar, standardize=standardize)
        assert_sound(found, X)
    chunks = (max(1, len(X) // 3), X.shape[1])
    lazy = fitted(da.from_array(X, chunks=chunks), K, covariance_type, reg_covar=reg_covar)
    assert_sound(lazy, X)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_every_start_on_repeated_rows(covariance_type, init_params):
    X = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], 20, axis=0)
    assert_sound(fitted(X, 5, covariance_type, init_params=init_params), X)
    w = np.tile([1.0, 0.0], 30)
    assert_sound(fitted(X, 5, covariance_type, init_params=init_params, sample_weight=w), X)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    covariance_type=st.sampled_from(FAMILIES),
    init_params=st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"]),
    standardize=st.booleans(),
    reg_covar=st.sampled_from([0.0, 1e-6, 1.0]),
)
def test_whatever_the_rows_parameters_are_sound(
    data, covariance_type, init_params, standardize, reg_covar
):
    D = data.draw(st.integers(1, 3), label="D")
    values = st.sampled_from([0.0, 1.0, 2.0, 255.0, -1e-9, 1e12, 0.1])
    distinct = data.draw(st.lists(st.tuples(*[values] * D), min_size=1, max_size=6))
    picks = data.draw(st.lists(st.integers(0, len(distinct) - 1), min_size=2, max_size=40))
    X = np.array(distinct)[picks]
    K = data.draw(st.integers(1, min(5, len(X))), label="K")
    found = fitted(
        X,
        K,
        covariance_type,
        init_params=init_params,
        standardize=standardize,
        reg_covar=reg_covar,
        max_iter=10,
    )
    assert_sound(found, X)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_the_status_names_a_component_that_collapsed_onto_one_colour(covariance_type):
    X = colours(np.random.default_rng(1))
    found = fitted(X, 4, covariance_type, max_iter=200)
    one_colour = found.predict([[2, 5, 20]])[0]
    assert found.narrow_components_ == (one_colour,)
    np.testing.assert_allclose(found.means_[one_colour], (2, 5, 20), atol=1e-6)
    assert found.weights_[one_colour] == pytest.approx(1 / 3, abs=0.01)
    wide = fitted(X, 4, covariance_type, max_iter=200, reg_covar=1 / 12)
    assert wide.narrow_components_ == (wide.predict([[2, 5, 20]])[0],)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_the_status_names_what_a_constant_or_duplicated_column_makes_singular(covariance_type):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 2))
    constant = np.column_stack([X, np.full(400, 3.0)])
    everyone = (0, 1)
    named = everyone if covariance_type != "spherical" else ()
    for reg_covar in (0.0, 1e-6):
        found = fitted(constant, 2, covariance_type, reg_covar=reg_covar)
        assert found.narrow_components_ == named
        duplicated = fitted(X[:, [0, 1, 1]], 2, covariance_type, reg_covar=reg_covar)
        assert duplicated.narrow_components_ == (
            everyone if covariance_type in ("full", "tied") else ()
        )
    assert fitted(X, 2, covariance_type).narrow_components_ == ()


FAR_START = {
    "weights_init": [0.5, 0.5],
    "means_init": [[0.0, 0.0], [1e8, 1e8]],
}
UNIT = {
    "full": np.tile(np.eye(2), (2, 1, 1)),
    "tied": np.eye(2),
    "diag": np.ones((2, 2)),
    "spherical": np.ones(2),
}


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_that_starts_far_from_every_row_is_put_among_them(covariance_type, lazy):
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal(size=(200, 2)), rng.normal(size=(100, 2)) + 12])
    given = da.from_array(X, chunks=(70, 2)) if lazy else X
    start = FAR_START | {"precisions_init": UNIT[covariance_type]}
    found = fitted(given, 2, covariance_type, **start)
    assert_sound(found, X)
    assert found.component_status_ == ("ok", "re-seeded")
    assert found.converged_
    if covariance_type == "tied":
        # The one covariance, wide after the first step, lets EM crawl: it has its worst rows.
        assert found.weights_[1] > 1 / len(X)
        return
    order = np.argsort(-found.weights_)
    np.testing.assert_allclose(found.weights_[order], [2 / 3, 1 / 3], atol=1e-3)
    true_means = [X[:200].mean(axis=0), X[200:].mean(axis=0)]
    np.testing.assert_allclose(found.means_[order], true_means, atol=1e-3)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_that_nothing_needs_stays_where_it_was_without_weight(covariance_type):
    X = np.repeat([[0.0, 0.0], [1.0, 0.0]], 50, axis=0)
    start = {"means_init": [[0.5, 0.0], [1e8, 1e8]], "precisions_init": 4 * UNIT[covariance_type]}
    start |= {"weights_init": [0.5, 0.5], "reg_covar": 1.0}
    found = fitted(X, 2, covariance_type, **start)
    assert_sound(found, X)
    assert found.component_status_[1] == "empty"
    assert found.weights_[1] < 1e-12
    np.testing.assert_allclose(found.means_, [[0.5, 0.0], [1e8, 1e8]], rtol=1e-9)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_more_components_than_distinct_rows_are_named(covariance_type):
    X = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], 20, axis=0)
    found = fitted(X, 5, covariance_type)
    said = found.component_status_
    assert len(said) == 5
    for k, weight in enumerate(found.weights_):
        assert (said[k] == "empty") == (weight < 1e-12), said
    assert said.count("empty") == 2
    assert all("at floor" in each or "singular" in each for each in said if each != "empty")


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_sound_fit_says_so(covariance_type):
    X = np.vstack([np.random.default_rng(3).normal(size=(200, 2)) + k for k in (0, 12)])
    assert fitted(X, 2, covariance_type).component_status_ == ("ok", "ok")
    assert fitted(X, 2, covariance_type, max_iter=0).component_status_ == ("ok", "ok")


@pytest.mark.parametrize("K", [2, 5])
def test_more_components_than_rows_is_scikit_learns_error(K):
    X = np.random.default_rng(0).normal(size=(K, 2))
    message = f"Expected n_samples >= n_components but got n_components = {K + 1}, n_samples = {K}"
    for given_X in (X, da.from_array(X, chunks=(1, 2))):
        with pytest.raises(ValueError, match=message):
            fitted(given_X, K + 1, "full")
    with pytest.raises(ValueError, match=f"n_samples = {K - 1}"):
        fitted(X, K, "full", sample_weight=[0.0] + [1.0] * (K - 1))


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf, 1e200])
def test_invalid_rows_are_refused(hole):
    X = np.random.default_rng(0).normal(size=(60, 2))
    found = fitted(X, 2, "full")
    X[17, 1] = hole
    lazy = da.from_array(X, chunks=(25, 2))
    for given_X in (X, lazy):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            fitted(given_X, 2, "full")
        for ask in (found.predict, found.predict_proba, found.score_samples):
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                np.asarray(ask(given_X))
        for ask in (found.score, found.bic, found.aic, found.icl):
            with pytest.raises(ValueError, match=r"NaN|infinity"):
                ask(given_X)
