"""Looks ahead: the sample tells where EM over all rows ends, and how far it still is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.fit.ahead import Guide
from dask_gmm.fit.loop import Rules, begin, fit_em, solution, step
from dask_gmm.fit.readings import expectation_in_memory
from dask_gmm.fit.stopping import Negligible, Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import about, implied, m_step
from tests.mixture.problems import FAMILIES, draw, nudged, random_mixture, step_error


class Problem:
    """Rows of a mixture, a tenth of them in a sample, and where EM on the sample ends."""

    def __init__(self, covariance_type, *, apart=3.0, n=20_000, K=3, D=2, seed=0):
        rng = np.random.default_rng(seed)
        mixture = random_mixture(covariance_type, K, D, rng, apart=apart)
        self.X = draw(mixture, n, rng)
        sample = Rows(self.X[: n // 10], np.ones(n // 10))
        self.frame = Frame.of_sample(self.X, isotropic=mixture.family.isotropic)
        self.floor = self.frame.floor(1e-9)
        self.expectation, _ = expectation_in_memory(Rows(self.X), self.frame)
        self.guide = Guide(sample, self.frame, self.floor, n)
        own, _ = expectation_in_memory(sample, self.frame)
        tight = Rules(self.floor, Tolerance(1e-11), 2000, accelerate=True)
        self.start = fit_em(own, nudged(mixture, rng).inside(self.frame), tight).parameters
        self.best = fit_em(self.expectation, self.start, tight)
        self.n_parameters = mixture.family.n_parameters(K, D)

    def mean(self, parameters):
        return self.expectation(parameters).mean_log_likelihood


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_one_look_goes_nearly_all_the_way_and_tells_how_far_it_is(covariance_type):
    problem = Problem(covariance_type)
    found = problem.expectation(problem.start)
    ahead = problem.guide.look(problem.start, found)
    there = problem.mean(ahead.parameters)
    missing = problem.best.lower_bound - found.mean_log_likelihood
    assert missing > 0
    assert ahead.gain == pytest.approx(missing, rel=0.2)
    assert problem.best.lower_bound - there < 0.2 * missing
    plain = problem.mean(m_step(found, problem.floor))
    assert there > plain


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_at_the_optimum_there_is_nothing_ahead(covariance_type):
    problem = Problem(covariance_type)
    best = problem.best.parameters
    ahead = problem.guide.look(best, problem.expectation(best))
    assert abs(ahead.gain) * len(problem.X) < 1e-3 * problem.n_parameters


def test_guided_fits_take_few_readings_of_a_slow_mixture():
    problem = Problem("full", apart=0.7, n=50_000, K=4, D=2, seed=4)
    rule = Negligible(float(len(problem.X)), problem.n_parameters)
    rules = Rules(problem.floor, rule, 200, accelerate=True)
    state = begin(problem.start, rules)
    while state.running:
        found = problem.expectation(state.parameters)
        state = step(state, found, rules, problem.guide.look(state.parameters, found))
    guided = solution(state, rules)
    alone = fit_em(problem.expectation, problem.start, rules)
    assert guided.converged
    assert guided.falls == ()
    assert 2 * guided.n_iter <= alone.n_iter
    # What was predicted to be left is what the fit to the last digit still finds.
    missing = (problem.best.lower_bound - guided.lower_bound) * len(problem.X)
    assert missing < 2 * 0.05 * problem.n_parameters
    assert problem.mean(guided.parameters) >= guided.lower_bound - 1e-9


def test_a_look_that_leads_down_is_refused_and_the_fit_goes_on_alone():
    problem = Problem("full")
    rules = Rules(problem.floor, Tolerance(1e-9), 100, accelerate=True)
    state = begin(problem.start, rules)
    found = problem.expectation(problem.start)
    ahead = problem.guide.look(problem.start, found)
    elsewhere = type(ahead)(ahead.parameters.reordered([1, 2, 0]), ahead.gain)
    wrong = type(ahead.parameters).of(
        "full", ahead.parameters.weights, elsewhere.parameters.means, ahead.parameters.covariances
    )
    state = step(state, found, rules, type(ahead)(wrong, ahead.gain))
    plain = m_step(found, problem.floor, previous=problem.start)
    assert step_error(state.memory.fallback, plain) == 0.0
    state = step(state, problem.expectation(state.parameters), rules)
    assert state.refused == (1,)
    assert step_error(state.parameters, plain) == 0.0


def test_there_is_no_look_where_it_would_cost_more_than_it_spares():
    problem = Problem("diag")
    few = Guide(problem.guide.rows, problem.frame, problem.floor, len(problem.guide.rows.values))
    assert problem.guide.n_steps == 40
    assert few.n_steps < 5


cases = given(
    D=st.integers(1, 4), K=st.integers(1, 4), floor=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 999),
)  # fmt: skip


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@cases
def test_an_m_step_leads_from_the_implied_statistics_back(covariance_type, D, K, floor, seed):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, K, D, rng)
    frame = Frame.of_sample(draw(mixture, 50 * K * D, rng), isotropic=mixture.family.isotropic)
    inside = mixture.inside(frame)
    floors = np.full(D, floor) * inside.variances.min() / 2
    sums = implied(inside, floors, 1234.5, frame)
    assert sums.weight == pytest.approx(sums.N.sum())
    assert step_error(m_step(sums, floors), inside) < 1e-9


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@cases
def test_parts_taken_off_leave_the_rest_wherever_sums_are_taken_about(
    covariance_type, D, K, floor, seed
):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, K, D, rng)
    X = draw(mixture, 60 * K * D, rng)
    frame = Frame.of_sample(X, isotropic=mixture.family.isotropic)
    inside, n = mixture.inside(frame), len(X) // 3
    whole, part, rest = (
        expectation_in_memory(Rows(rows), frame)[0](inside) for rows in (X, X[:n], X[n:])
    )
    elsewhere = about(whole, rng.normal(size=(K, D)))
    left = elsewhere.without(part)
    floors = np.full(D, floor)
    assert left.log_likelihood == pytest.approx(rest.log_likelihood)
    assert step_error(m_step(left, floors), m_step(rest, floors)) < 1e-8
