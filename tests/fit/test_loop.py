"""The iteration: monotone without a floor, falls recorded with one, the sentence as it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.fit.loop import Rules, Solution, fit_em
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.fit.stopping import Negligible, Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import FAMILIES, draw, nudged, own_step, random_mixture, step_error


def fitted(X, start, *, reg_covar=0.0, stopping=None, max_iter=15, accelerate=False, observe=None):
    """Fit rows in memory; return the readings and the solution."""
    frame = Frame.of_sample(X, isotropic=start.family.isotropic)
    readings = MemoryReadings(Rows(X))
    moments = readings.run("survey", survey, SurveyPlan(X.shape[1], 0, 0)).moments
    solution = fit_em(
        expectation_over(readings, frame, moments.total_scatter(frame)),
        start.inside(frame),
        Rules(
            frame.floor(np.full(X.shape[1], reg_covar)),
            stopping or Tolerance(0.0),
            max_iter,
            accelerate,
        ),
        observe,
    )
    return readings, frame, solution


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(
    D=st.integers(1, 4),
    K=st.integers(1, 5),
    apart=st.sampled_from([0.0, 0.5, 3.0]),
    tails=st.sampled_from(["normal", "heavy", "integers"]),
    offset=st.sampled_from([0.0, 1e4]),
    seed=st.integers(0, 2**16),
)
def test_the_likelihood_never_falls_without_a_floor(
    covariance_type, D, K, apart, tails, offset, seed
):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, K, D, rng, apart=apart)
    X = draw(mixture, 60 * K * D, rng)
    if tails == "heavy":
        X = X * rng.chisquare(3, (len(X), 1)) ** -0.5
    elif tails == "integers":
        X = np.round(4 * X)
    start = nudged(mixture, rng, by=0.5)
    _, _, solution = fitted(X + offset, nudged_by(start, offset), max_iter=20)
    if solution.narrow:
        return  # a component on repeated rows has no finite likelihood to rise to
    assert solution.falls == ()
    steps = np.diff(solution.history)
    assert (steps >= -1e-9 * np.maximum(1.0, np.abs(solution.history[1:]))).all()


def nudged_by(mixture, offset):
    return type(mixture).of(
        mixture.family, mixture.weights, mixture.means + offset, mixture.covariances
    )


def test_a_fall_under_a_floor_is_recorded():
    """The floor moves the covariances off their optimum: the likelihood falls from the optimum."""
    rng = np.random.default_rng(0)
    mixture = random_mixture("full", 1, 2, rng)
    X = draw(mixture, 500, rng)
    best, _ = own_step(X, mixture)
    _, _, solution = fitted(X, best, reg_covar=0.5, max_iter=3)
    assert solution.falls == (2,)
    assert solution.history[1] < solution.history[0]


@pytest.mark.parametrize(
    ("history", "falls"),
    [
        ((), ()),
        ((-1.0,), ()),
        ((-1.0, -0.5, -0.5), ()),
        ((-1.0, -1.1, -1.0, -1.2), (2, 4)),
        ((0.0, -1e-15, 1e-15), ()),
        ((-1.0, -1.0 - 1e-14), ()),
    ],
)
def test_falls_are_told_from_rounding(history, falls):
    rng = np.random.default_rng(0)
    solution = Solution(random_mixture("full", 1, 1, rng), history, False, "", ())
    assert solution.falls == falls
    assert solution.n_iter == len(history)
    assert solution.lower_bound == (history[-1] if history else -np.inf)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_iterations_are_steps_one_after_the_other(covariance_type):
    rng = np.random.default_rng(4)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    X, start = draw(mixture, 400, rng), nudged(mixture, rng)
    seen = []
    readings, frame, solution = fitted(
        X, start, max_iter=5, observe=lambda number, mean: seen.append((number, mean))
    )
    by_hand, history = start, []
    for _ in range(5):
        by_hand, statistics = own_step(X, by_hand, frame=frame)
        history.append(statistics.mean_log_likelihood)
    assert step_error(solution.parameters.outside(frame), by_hand) < 1e-12
    np.testing.assert_allclose(solution.history, history, rtol=1e-13)
    assert seen == list(enumerate(solution.history, start=1))
    assert (solution.n_iter, solution.converged) == (5, False)
    assert "limit of 5 iterations" in solution.stopped_by
    assert readings.n_passes == 6, "the survey and one reading per iteration"


def test_no_iteration_returns_the_start():
    rng = np.random.default_rng(4)
    mixture = random_mixture("full", 2, 2, rng)
    readings, frame, solution = fitted(draw(mixture, 100, rng), mixture, max_iter=0)
    assert step_error(solution.parameters.outside(frame), mixture) < 1e-14
    assert (solution.history, solution.lower_bound, readings.n_passes) == ((), -np.inf, 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_tol_auto_ends_where_little_is_left(covariance_type, seed):
    """What EM still gains after ``Negligible`` said stop is inside the sampling error."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, 3, 2, rng, apart=1.5)
    X, start = draw(mixture, 2000, rng), nudged(mixture, rng)
    n_parameters = mixture.family.n_parameters(3, 2)
    rule = Negligible(float(len(X)), n_parameters)
    _, _, stopped = fitted(X, start, stopping=rule, max_iter=2000)
    _, _, onward = fitted(X, start, max_iter=min(4000, 20 * stopped.n_iter))
    assert stopped.converged
    left = (onward.lower_bound - stopped.lower_bound) * len(X)
    assert left < 0.5 * n_parameters
