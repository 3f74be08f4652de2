"""Components that lost their rows: put where they gain, left empty where nothing is to gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.fit.loop import Rules, fit_em
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import score
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import FAMILIES, draw, random_mixture

FAR = 1e9


def with_lost_components(mixture, lost):
    """Return the mixture with some of its components far from every row, and without weight."""
    weights, means = np.array(mixture.weights), np.array(mixture.means)
    means[list(lost)] = FAR
    weights[list(lost)] = 1e-300
    return Parameters.of(mixture.family, weights / weights.sum(), means, mixture.covariances)


def reseeding(X, family, w=None):
    frame = Frame.of_sample(X, isotropic=family.isotropic)
    return frame, Reseeding(Rows(X, w), frame, frame.floor(0.0))


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    K=st.integers(2, 5),
    D=st.integers(1, 3),
    tails=st.booleans(),
    weighted=st.booleans(),
)
def test_the_likelihood_of_the_rows_does_not_fall(covariance_type, seed, K, D, tails, weighted):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, K, D, rng, apart=4.0)
    X = draw(mixture, 300, rng)
    X = X * rng.chisquare(2, (len(X), 1)) ** -0.5 if tails else X
    w = rng.uniform(0.1, 3.0, len(X)) if weighted else None
    lost = set(rng.choice(K, rng.integers(1, K), replace=False).tolist())
    frame, reseed = reseeding(X, mixture.family, w)
    start = with_lost_components(mixture, lost)
    found, seeded = reseed(start.inside(frame), lost)
    assert seeded <= lost
    before, after = (score([Rows(X, w)], each) for each in (start, found.outside(frame)))
    assert after.log_likelihood >= before.log_likelihood - 1e-9 * abs(before.log_likelihood)
    if not seeded:
        assert after.log_likelihood == pytest.approx(before.log_likelihood, rel=1e-12)
    assert found.weights.sum() == pytest.approx(1.0)
    for k in range(K):
        if k in seeded:
            assert found.weights[k] > 0
            assert np.isclose(found.outside(frame).means[k], X).all(axis=1).any()
        elif k in lost:
            assert found.weights[k] < 1e-200


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**16), K=st.integers(2, 5), D=st.integers(1, 3), accelerate=st.booleans()
)
def test_a_fit_that_re_seeds_is_monotone_without_a_floor(covariance_type, seed, K, D, accelerate):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, K, D, rng, apart=4.0)
    X = draw(mixture, 400, rng)
    frame, reseed = reseeding(X, mixture.family)
    readings = MemoryReadings(Rows(X))
    moments = readings.run("survey", survey, SurveyPlan(D, 0, 0)).moments
    solution = fit_em(
        expectation_over(readings, frame, moments.total_scatter(frame)),
        with_lost_components(mixture, {0}).inside(frame),
        Rules(reseed.floor, Tolerance(1e-6), 40, accelerate, reseed),
    )
    if not solution.narrow:
        assert solution.falls == ()


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_groups_that_no_component_describes_are_found(covariance_type):
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]])
    X = np.vstack([rng.normal(size=(200, 2)) + centre for centre in centres])
    known = random_mixture(covariance_type, 3, 2, rng)
    start = Parameters.of(known.family, [0.4, 0.3, 0.3], centres, known.covariances)
    frame, reseed = reseeding(X, known.family)
    found, seeded = reseed(with_lost_components(start, {1, 2}).inside(frame), {1, 2})
    assert seeded == {1, 2}
    nearest = np.linalg.norm(found.outside(frame).means[:, None] - centres, axis=2).argmin(axis=1)
    assert set(nearest) == {0, 1, 2}


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_is_tried_once(covariance_type):
    rng = np.random.default_rng(0)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    X = draw(mixture, 200, rng)
    frame, _ = reseeding(X, mixture.family)
    readings = MemoryReadings(Rows(X))
    moments = readings.run("survey", survey, SurveyPlan(2, 0, 0)).moments
    asked = []

    def nothing(parameters, empty):
        asked.append(set(empty))
        return parameters, frozenset()

    solution = fit_em(
        expectation_over(readings, frame, moments.total_scatter(frame)),
        with_lost_components(mixture, {2}).inside(frame),
        Rules(frame.floor(0.0), Tolerance(0.0), 5, reseed=nothing),
    )
    assert asked == [{2}]
    assert solution.status == ("ok", "ok", "empty")
