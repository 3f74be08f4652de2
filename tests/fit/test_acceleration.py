"""Acceleration: far fewer readings where EM is slow, none more where it is not, never a fall."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.fit.acceleration import coordinates, from_coordinates
from dask_gmm.fit.loop import Rules, begin, solution, step
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.fit.stopping import Negligible, Tolerance
from dask_gmm.mixture.families import IllConditionedError
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import expected_log_likelihood, m_step
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.fit.test_loop import fitted
from tests.mixture.problems import FAMILIES, draw, nudged, random_mixture, step_error


def overlapping(n=20_000, seed=0):
    """Three groups in one dimension, two standard deviations apart: EM takes thousands of steps."""
    rng = np.random.default_rng(seed)
    X = (2.0 * rng.integers(0, 3, n) + rng.normal(size=n))[:, None]
    start = Parameters.of("full", np.full(3, 1 / 3), [[0.0], [2.5], [4.0]], np.ones((3, 1, 1)))
    return X, start


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(
    D=st.integers(1, 5),
    K=st.integers(1, 4),
    floor=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 99),
)
def test_free_coordinates_lead_there_and_back(covariance_type, D, K, floor, seed):
    mixture = random_mixture(covariance_type, K, D, np.random.default_rng(seed))
    floor = np.full(D, floor)
    above = mixture.family.add_floor(mixture.covariances, floor)
    mixture = Parameters.of(mixture.family, mixture.weights, mixture.means, above)
    there = coordinates(mixture, floor)
    assert step_error(from_coordinates(there, mixture, floor), mixture) < 1e-9
    moved = from_coordinates(
        there + np.random.default_rng(seed).normal(size=there.shape), mixture, floor
    )
    assert moved.weights.sum() == pytest.approx(1.0)
    assert (moved.family.smallest_variances(moved.covariances, np.ones(D), K) > floor[0]).all()


def test_a_component_at_its_floor_has_no_free_coordinates():
    floor = np.full(2, 0.1)
    at_floor = Parameters.of("diag", [0.5, 0.5], np.zeros((2, 2)), [[1.0, 1.0], [0.1, 1.0]])
    with pytest.raises(IllConditionedError):
        coordinates(at_floor, floor)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=10, deadline=None)
@given(D=st.integers(1, 3), K=st.integers(2, 4), seed=st.integers(0, 2**16))
def test_the_kept_likelihoods_never_fall(covariance_type, D, K, seed):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, K, D, rng, apart=0.5)
    X, start = draw(mixture, 60 * K * D, rng), nudged(mixture, rng, by=0.5)
    _, _, found = fitted(X, start, max_iter=40, accelerate=True)
    if found.narrow:
        return
    assert found.falls == ()
    assert found.lower_bound == pytest.approx(max(found.history), abs=1e-12)


def test_a_slow_mixture_takes_a_fifth_of_the_readings():
    X, start = overlapping(5000, seed=2)
    tight = Tolerance(1e-12)
    readings, _, fast = fitted(X, start, stopping=tight, max_iter=8000, accelerate=True)
    _, _, plain = fitted(X, start, stopping=tight, max_iter=max(300, 5 * fast.n_iter))
    assert fast.converged
    assert not plain.converged
    assert fast.lower_bound >= plain.lower_bound - 1e-6
    assert readings.n_passes == 1 + fast.n_iter, "every evaluation is a reading and is counted"


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_an_easy_mixture_takes_no_more_readings(covariance_type):
    rng = np.random.default_rng(1)
    mixture = random_mixture(covariance_type, 3, 3, rng, apart=5.0)
    X, start = draw(mixture, 2000, rng), nudged(mixture, rng)
    rule = Negligible(float(len(X)), mixture.family.n_parameters(3, 3))
    _, _, plain = fitted(X, start, stopping=rule, max_iter=200)
    _, _, fast = fitted(X, start, stopping=rule, max_iter=200, accelerate=True)
    assert fast.n_iter <= plain.n_iter
    assert fast.lower_bound == pytest.approx(plain.lower_bound, abs=1e-4)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_step_gains_what_the_gradient_says(covariance_type):
    """The slope of the expected log-likelihood is that of the likelihood itself (Fisher)."""
    rng = np.random.default_rng(2)
    mixture = random_mixture(covariance_type, 3, 2, rng, apart=1.0)
    X = draw(mixture, 2000, rng)
    frame = Frame.of_sample(X, isotropic=mixture.family.isotropic)
    readings, none = MemoryReadings(Rows(X)), np.zeros(2)
    scatter = survey([Rows(X)], SurveyPlan(2, 0, 0)).moments.total_scatter(frame)
    expectation = expectation_over(readings, frame, scatter)
    start = nudged(mixture, rng).inside(frame)
    statistics = expectation(start)
    here, there = (coordinates(each, none) for each in (start, m_step(statistics, none)))

    def slope(value, h=1e-4):
        ends = [from_coordinates(here + t * (there - here), start, none) for t in (-h, h)]
        return (value(ends[1]) - value(ends[0])) / (2 * h)

    by_sums = slope(lambda each: expected_log_likelihood(statistics, each))
    by_rows = slope(lambda each: expectation(each).mean_log_likelihood)
    assert by_sums == pytest.approx(by_rows, rel=1e-4)
    assert by_sums > 0


@pytest.mark.parametrize("stop", [1, 2, 5, 9, 14, 23])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_going_on_from_a_state_is_not_having_stopped(covariance_type, stop):
    rng = np.random.default_rng(3)
    mixture = random_mixture(covariance_type, 4, 2, rng, apart=0.7)
    X, start = draw(mixture, 600, rng), nudged(mixture, rng, by=0.5)
    frame = Frame.of_sample(X, isotropic=mixture.family.isotropic)
    scatter = survey([Rows(X)], SurveyPlan(2, 0, 0)).moments.total_scatter(frame)
    expectation = expectation_over(MemoryReadings(Rows(X)), frame, scatter)
    rules = Rules(frame.floor(1e-6), Tolerance(1e-12), 25, accelerate=True)
    whole = resumed = begin(start.inside(frame), rules)
    for i in range(25):
        if i == stop:
            resumed = copy.deepcopy(resumed)
        if whole.running:
            whole = step(whole, expectation(whole.parameters), rules)
            resumed = step(resumed, expectation(resumed.parameters), rules)
    a, b = solution(whole, rules), solution(resumed, rules)
    assert a.history == b.history
    assert (a.refused, a.stopped_by) == (b.refused, b.stopped_by)
    np.testing.assert_array_equal(a.parameters.covariances, b.parameters.covariances)


def test_the_limit_ends_on_a_plain_step():
    """However few readings are allowed, the result is at least as good as what was evaluated."""
    X, start = overlapping(2000)
    frame = Frame.of_sample(X, isotropic=False)
    expectation = expectation_over(MemoryReadings(Rows(X)), frame, None)
    for most in range(1, 25):
        _, _, found = fitted(X, start, max_iter=most, accelerate=True)
        assert found.n_iter == most
        assert expectation(found.parameters).mean_log_likelihood >= found.lower_bound - 1e-12
