"""Where EM begins: responsibilities that respect weights and units, seeds that can be repeated."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from dask_gmm.fit.loop import Solution
from dask_gmm.fit.sample import FittedStart, StartPlan, fit_start, ranking, start_parameters
from dask_gmm.fit.starts import STARTS, start_responsibilities
from dask_gmm.mixture.frame import Frame
from tests.mixture.problems import FAMILIES, draw, random_mixture, step_error

ONE_ROW_EACH = ["k-means++", "random_from_data"]


def best_start(fitted):
    return fitted[ranking(fitted)[0]]


def rows(n=200, D=2):
    rng = np.random.default_rng(0)
    return draw(random_mixture("full", 3, D, rng, apart=4.0), n, rng)


def plan(X, covariance_type="full", method="kmeans", unit=None):
    isotropic = covariance_type == "spherical"
    frame = Frame.of_sample(X, unit=unit, isotropic=isotropic)
    return StartPlan(covariance_type, 3, method, frame, frame.floor(1e-6), 50)


def dense(method, X, w, K, random_state):
    """All of a start's responsibilities at once, (n, K)."""
    R = np.zeros((len(X), K))
    for where, share in start_responsibilities(method, X, w, K, random_state):
        R[where] += share
    return R


@pytest.mark.parametrize("method", STARTS)
def test_responsibilities_are_shares_of_the_rows_weights(method):
    X = rows()
    w = np.random.default_rng(1).integers(0, 5, len(X)).astype(float)
    plain = dense(method, X, None, 3, np.random.RandomState(0))
    weighted = dense(method, X, w, 3, np.random.RandomState(0))
    assert plain.shape == weighted.shape == (200, 3)
    if method in ONE_ROW_EACH:
        assert ((plain == 0) | (plain == 1)).all()
        np.testing.assert_array_equal(plain.sum(axis=0), 1)
        taken = weighted.argmax(axis=0)
        np.testing.assert_array_equal(weighted[taken, np.arange(3)], w[taken])
        assert (w[taken] > 0).all()
    else:
        np.testing.assert_allclose(plain.sum(axis=1), 1)
        np.testing.assert_allclose(weighted.sum(axis=1), w)


@pytest.mark.parametrize("method", STARTS)
@pytest.mark.parametrize("seed", range(5))
def test_a_row_of_weight_zero_is_never_a_start(method, seed):
    X = rows()
    w = np.zeros(len(X))
    w[[3, 50, 120, 199]] = 1.0
    R = dense(method, X, w, 3, np.random.RandomState(seed))
    assert not R[w == 0].any()
    assert (R.sum(axis=0) > 0).all()


def test_kmeans_is_scikit_learns_with_weights():
    X = rows()
    w = np.random.default_rng(1).uniform(0.1, 5, len(X))
    R = dense("kmeans", X, w, 3, np.random.RandomState(4))
    found = KMeans(3, n_init=1, random_state=np.random.RandomState(4)).fit(X, sample_weight=w)
    np.testing.assert_array_equal(R.argmax(axis=1), found.labels_)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_start_has_the_moments_of_its_responsibilities(covariance_type):
    X = rows()
    w = np.random.default_rng(1).uniform(0.1, 5, len(X))
    given = plan(X, covariance_type, "random")
    start = start_parameters(given, X, w, np.random.RandomState(2)).outside(given.frame)
    R = dense("random", X, w, 3, np.random.RandomState(2))
    np.testing.assert_allclose(start.weights, R.sum(axis=0) / w.sum())
    for k, r in enumerate(R.T):
        mean = np.average(X, axis=0, weights=r)
        np.testing.assert_allclose(start.means[k], mean)
        if covariance_type == "full":
            expected = np.cov(X.T, aweights=r, ddof=0) + 1e-6 * np.eye(2)
            np.testing.assert_allclose(start.covariances[k], expected, rtol=1e-9)


def test_distances_are_those_of_the_model_frame():
    """In original units the last feature alone decides; in z-scores the groups do."""
    rng = np.random.default_rng(5)
    group = np.repeat([[0.0], [10.0]], 100, axis=0)
    X = np.hstack([group + rng.normal(size=(200, 3)), 1e4 * rng.normal(size=(200, 1))])
    frame = Frame.of_sample(X, isotropic=False)
    raw = StartPlan("full", 2, "kmeans", frame, frame.floor(1e-6), 10)
    scored = Frame.of_sample(X, unit=X.std(axis=0), isotropic=False)
    scored = StartPlan("full", 2, "kmeans", scored, scored.floor(1e-6), 10)
    apart = {}
    for name, each in {"raw": raw, "scored": scored}.items():
        start = start_parameters(each, X, None, np.random.RandomState(0)).outside(each.frame)
        apart[name] = abs(np.diff(start.means, axis=0)[0])
    assert apart["raw"][3] > 1e4
    assert apart["scored"][0] > 8


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 7, 2**63])
def test_a_seed_can_be_repeated(seed):
    X = rows()
    first, again = (fit_start(seed, plan(X), X, None) for _ in range(2))
    assert first.seed == again.seed == seed
    assert step_error(first.solution.parameters, again.solution.parameters) == 0.0
    assert first.solution.history == again.solution.history
    assert first.solution.converged


def test_integer_weights_fit_as_repeated_rows():
    X = rows()
    w = np.random.default_rng(1).integers(1, 4, len(X)).astype(float)
    weighted = fit_start(0, plan(X), X, w).solution
    repeated = fit_start(0, plan(X), np.repeat(X, w.astype(int), axis=0), None).solution
    # The starts are drawn by chance; well apart, they lead to one optimum.
    assert weighted.lower_bound == pytest.approx(repeated.lower_bound, abs=1e-5)


def test_a_collapsed_component_wins_nothing():
    """Four rows in a plane have any likelihood; many rows of one value are what data look like."""
    mixture = random_mixture("full", 2, 3, np.random.default_rng(0))
    mixture = type(mixture).of("full", [0.96, 0.04], mixture.means, mixture.covariances)

    def fitted(seed, likelihood, narrow, weight):
        return FittedStart(seed, Solution(mixture, (likelihood,), True, "", narrow), weight=weight)

    sound = fitted(2, -5.0, (), 100.0)
    assert best_start([fitted(1, -1.0, (1,), 100.0), sound]) is sound
    held_by_many = fitted(1, -1.0, (1,), 100_000.0)
    assert best_start([held_by_many, fitted(2, -5.0, (), 100_000.0)]) is held_by_many
    two = [fitted(1, -1.0, (0, 1), 200.0), fitted(2, -2.0, (1,), 200.0)]
    assert best_start(two).seed == 1, "where all have collapsed, by likelihood"


def test_among_equal_likelihoods_the_lowest_seed_wins():
    mixture = random_mixture("full", 1, 1, np.random.default_rng(0))

    def fitted(seed, likelihood):
        return FittedStart(seed, Solution(mixture, (likelihood,), True, "", ()))

    equal = [fitted(3, -1.0), fitted(1, -1.0 - 5e-10), fitted(2, -1.0 + 2e-10), fitted(0, -1.1)]
    assert best_start(equal).seed == 1
    assert best_start(equal[::-1]).seed == 1
    assert best_start([fitted(5, -2.0), fitted(4, -3.0)]).seed == 5
