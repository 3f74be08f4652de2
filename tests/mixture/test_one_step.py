"""One EM step is scikit-learn's, for every family, shape of input, dtype and layout."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from dask_gmm import GaussianMixture
from dask_gmm.mixture import kernel as kernel_module
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from tests.mixture.problems import (
    FAMILIES,
    draw,
    estimator_start,
    nudged,
    own_step,
    random_mixture,
    reference_step,
    step_error,
)

SHAPES = [(1, 1), (1, 4), (2, 3), (3, 8), (6, 16), (16, 5), (33, 2), (64, 1), (70, 3)]
REG_COVAR = 1e-6


def problem(covariance_type, D, K, n=1500):
    rng = np.random.default_rng([D, K])
    mixture = random_mixture(covariance_type, K, D, rng)
    return draw(mixture, n, rng), nudged(mixture, rng)


def one_iteration(estimator, X, reg_covar=REG_COVAR):
    with pytest.warns(ConvergenceWarning):
        return estimator.set_params(max_iter=1, tol=0.0, reg_covar=reg_covar).fit(X)


def sklearn_step(X, start, reg_covar=REG_COVAR):
    covariance_type = start.family.name
    fitted = one_iteration(
        SklearnMixture(start.K, covariance_type=covariance_type, **estimator_start(start)),
        np.asarray(X, np.float64),
        reg_covar,
    )
    return Parameters.of(
        covariance_type, fitted.weights_, fitted.means_, fitted.covariances_
    ), fitted.lower_bound_


def assert_same_step(own, mean_log_likelihood, X, start):
    expected, expected_mean = sklearn_step(X, start)
    assert step_error(own, expected) < 1e-10
    assert mean_log_likelihood == pytest.approx(expected_mean, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("D", "K"), SHAPES)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_step_equals_sklearn(covariance_type, D, K):
    X, start = problem(covariance_type, D, K)
    own, statistics = own_step(X, start, reg_covar=REG_COVAR)
    assert_same_step(own, statistics.mean_log_likelihood, X, start)


@pytest.mark.parametrize(("D", "K"), SHAPES)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_statistics_equal_long_double(covariance_type, D, K):
    X, start = problem(covariance_type, D, K, n=400)
    own, statistics = own_step(X, start, reg_covar=REG_COVAR)
    expected = reference_step(X, start, reg_covar=REG_COVAR)
    assert step_error(own, expected) < 1e-11
    assert statistics.weight == len(X)
    np.testing.assert_allclose(
        statistics.N, np.float64(expected.responsibilities.sum(axis=0)), rtol=1e-11
    )
    assert statistics.mean_log_likelihood == pytest.approx(expected.mean_log_likelihood, rel=1e-12)


@pytest.mark.parametrize("centred", [False, True], ids=["phi", "centred"])
@pytest.mark.parametrize(("D", "K"), [(2, 3), (16, 2), (65, 2)])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_many_micro_blocks_the_last_one_padded(covariance_type, D, K, centred, monkeypatch):
    monkeypatch.setattr(kernel_module, "TOLERATED_ERROR", -1.0 if centred else np.inf)
    X, start = problem(covariance_type, D, K, n=20_011)
    w = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    valid = np.arange(len(X)) % 11 != 3
    whole = [Rows(X, w, valid)]
    own, statistics = own_step(whole, start)
    kept = np.repeat(X[valid], w[valid].astype(int), axis=0)
    expected, _ = sklearn_step(kept, start, reg_covar=0.0)
    assert step_error(own, expected) < 1e-10
    assert statistics.weight == len(kept)
    said = predict(Kernel.in_own_frame(start), Rows(X), Wanted(labels=True, log_density=True))
    few = predict(Kernel.in_own_frame(start), Rows(X[-9:]), Wanted(labels=True, log_density=True))
    np.testing.assert_array_equal(said.labels[-9:], few.labels)
    np.testing.assert_array_equal(said.log_density[-9:], few.log_density)


def inputs(X):
    """Yield the same rows (1500, D) in every form that the estimator takes."""
    D = X.shape[1]
    deep = X.reshape(10, 15, 10, D)
    yield "array", X
    yield "one chunk", da.from_array(X, chunks=-1)
    yield "odd chunks", da.from_array(X, chunks=(97, D))
    yield "split features", da.from_array(X, chunks=(400, 1))
    yield "uneven chunks", da.from_array(X, chunks=((1, 1000, 7, 492), D))
    yield "an empty chunk", da.from_array(X, chunks=((700, 0, 800), D))
    yield "two leading axes", da.from_array(X.reshape(50, 30, D), chunks=(7, 11, D))
    yield "three leading axes", da.from_array(deep, chunks=(3, 15, 4, D))
    yield "unknown sizes", da.from_array(X, chunks=(500, D))[da.ones(1500, chunks=500) > 0]


FORMS = [name for name, _ in inputs(np.zeros((1500, 2)))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_estimator_step_equals_sklearn(covariance_type, form):
    X, start = problem(covariance_type, 3, 4)
    given = dict(inputs(X))[form]
    estimator = GaussianMixture(4, covariance_type=covariance_type, **estimator_start(start))
    with dask.config.set(scheduler="synchronous"):
        fitted = one_iteration(estimator, given)
    own = Parameters.of(covariance_type, fitted.weights_, fitted.means_, fitted.covariances_)
    assert_same_step(own, fitted.lower_bound_, X, start)
    assert (fitted.n_iter_, fitted.lower_bounds_) == (1, [fitted.lower_bound_])
    assert fitted.n_passes_ == 2
    assert fitted.converged_ is False


LAYOUTS = {
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "uint8": lambda X: np.clip(10 * X + 100, 0, 255).astype(np.uint8),
    "int64": lambda X: (100 * X).astype(np.int64),
    "bool": lambda X: X > 0,
    "big-endian float": lambda X: X.astype(">f8"),
    "big-endian integer": lambda X: (100 * X).astype(">i2"),
    "Fortran order": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 3, axis=0), 2, axis=1)[::3, ::2],
    "reversed": lambda X: X[::-1, ::-1],
    "broadcast": lambda X: np.broadcast_to(X[:, :1] + X, X.shape),
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
}


@pytest.mark.parametrize("as_dask", [False, True], ids=["rows", "dask"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_dtype_and_layout_change_nothing(covariance_type, layout, as_dask):
    rng = np.random.default_rng(5)
    X = LAYOUTS[layout](draw(random_mixture("full", 3, 4, rng), 600, rng))
    spread = np.asarray(X, np.float64)
    centre, variance = spread.mean(axis=0), spread.var(axis=0)
    means = centre + rng.normal(size=(3, 4)) * np.sqrt(variance)
    start = Parameters.of("diag", np.full(3, 1 / 3), means, np.tile(variance, (3, 1)))
    covariances = {
        "full": np.tile(np.diag(variance), (3, 1, 1)),
        "tied": np.diag(variance),
        "diag": start.covariances,
        "spherical": np.full(3, variance.mean()),
    }[covariance_type]
    start = Parameters.of(covariance_type, start.weights, means, covariances)
    if as_dask:
        estimator = GaussianMixture(3, covariance_type=covariance_type, **estimator_start(start))
        with dask.config.set(scheduler="synchronous"):
            fitted = one_iteration(estimator, da.from_array(X, chunks=(250, 4)))
        own = Parameters.of(covariance_type, fitted.weights_, fitted.means_, fitted.covariances_)
        mean_log_likelihood = fitted.lower_bound_
    else:
        own, statistics = own_step([Rows(X)], start, reg_covar=REG_COVAR)
        mean_log_likelihood = statistics.mean_log_likelihood
    assert_same_step(own, mean_log_likelihood, spread, start)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_prediction_equals_sklearn(covariance_type):
    X, start = problem(covariance_type, 4, 5)
    theirs = one_iteration(
        SklearnMixture(5, covariance_type=covariance_type, **estimator_start(start)), X
    )
    ours = one_iteration(
        GaussianMixture(5, covariance_type=covariance_type, **estimator_start(start)), X
    )
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-12)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-12)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-12)
