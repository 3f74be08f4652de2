"""Clusters far from the origin, far apart, with collinear features: the digits are still right.

The oracle is EM in long double. Covariances are measured whitened, as ||L^-1 (C' - C) L^-T||_2.
"""

from __future__ import annotations

import numpy as np
import pytest

from dask_gmm.fit.loop import Rules, fit_em
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture import kernel as kernel_module
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import (
    FAMILIES,
    covariance_error,
    draw,
    matrices,
    nudged,
    own_step,
    random_mixture,
    reference_step,
    step_error,
)

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="the oracle needs more digits than a double has"
)

OFFSETS = [1e3, 1e5, 1e7]
WITH_CROSS_TERMS = ["full", "tied"]


def jointly(mixture, offset):
    """Move all components by ``offset`` standard deviations of the first."""
    step = offset * np.sqrt(mixture.variances[0])
    return Parameters.of(mixture.family, mixture.weights, mixture.means + step, mixture.covariances)


def apart(mixture, offset):
    """Move the second half of the components away, so that pairs still overlap."""
    far = (np.arange(mixture.K) >= mixture.K // 2)[:, None]
    step = offset * np.sqrt(mixture.variances[0]) * far
    return Parameters.of(mixture.family, mixture.weights, mixture.means + step, mixture.covariances)


def collinear(mixture, distance):
    """Give every pair of features the correlation 1 - distance."""
    K, D = mixture.K, mixture.D
    correlation = np.full((D, D), 1 - distance) + distance * np.eye(D)
    roots = np.sqrt(np.diagonal(matrices(mixture), axis1=1, axis2=2))
    covariances = correlation * roots[:, :, None] * roots[:, None, :]
    if mixture.family.shares_scatter:
        covariances = covariances[0]
    assert mixture.family.covariance_shape(K, D) == covariances.shape
    return Parameters.of(mixture.family, mixture.weights, mixture.means, covariances)


def overlapping(covariance_type, D, rng, K=4):
    """Draw components so alike that responsibilities are in doubt, also at D = 40."""
    drawn = random_mixture(covariance_type, K, D, rng, apart=0.5 / np.sqrt(D))
    if drawn.family.shares_scatter:
        return drawn
    likeness = 1 + 0.05 * np.arange(K).reshape(K, *[1] * (drawn.covariances.ndim - 1))
    return Parameters.of(drawn.family, drawn.weights, drawn.means, drawn.covariances[:1] * likeness)


@pytest.mark.parametrize("D", [1, 3, 40])
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("moved", [jointly, apart])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_far_clusters(covariance_type, moved, offset, D):
    rng = np.random.default_rng(D)
    mixture = moved(overlapping(covariance_type, D, rng), offset)
    X = draw(mixture, 800, rng)
    start = nudged(mixture, rng, by=0.1)
    expected = reference_step(X, start)
    own, statistics = own_step(X, start)
    assert step_error(own, expected) < 1e-6
    assert statistics.mean_log_likelihood == pytest.approx(expected.mean_log_likelihood, rel=1e-9)

    said = predict(Kernel.in_own_frame(start), Rows(X), Wanted(probabilities=True))
    R = np.float64(expected.responsibilities)
    assert ((R > 0.01) & (R < 0.99)).mean() > 0.1, "the problem has no doubt to be right about"
    np.testing.assert_allclose(said.probabilities, R, atol=1e-6)


@pytest.mark.parametrize("D", [2, 5, 40])
@pytest.mark.parametrize("move", [lambda m: m, lambda m: jointly(m, 1e3), lambda m: apart(m, 1e3)])
@pytest.mark.parametrize("covariance_type", WITH_CROSS_TERMS)
def test_collinear_features(covariance_type, move, D):
    rng = np.random.default_rng(D)
    mixture = move(collinear(overlapping(covariance_type, D, rng), 1e-6))
    X = draw(mixture, 800, rng)
    start = Parameters.of(
        mixture.family, np.full(4, 0.25), mixture.means, 1.1 * mixture.covariances
    )
    expected = reference_step(X, start)
    own, _ = own_step(X, start)
    assert covariance_error(own, expected.covariances) < 1e-6
    said = predict(Kernel.in_own_frame(start), Rows(X), Wanted(probabilities=True))
    np.testing.assert_allclose(said.probabilities, np.float64(expected.responsibilities), atol=1e-6)


def forced(monkeypatch, tolerance, X, start):
    monkeypatch.setattr(kernel_module, "TOLERATED_ERROR", tolerance)
    monkeypatch.setattr(kernel_module, "centred_is_cheaper", lambda *_: False)
    own, statistics = own_step(X, start)
    said = predict(
        Kernel.in_own_frame(start), Rows(X), Wanted(probabilities=True, log_density=True)
    )
    return own, statistics, said


@pytest.mark.parametrize(("D", "K"), [(1, 1), (2, 3), (3, 8), (7, 5), (34, 3), (66, 2)])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_kernels_agree(covariance_type, D, K, monkeypatch):
    rng = np.random.default_rng([K, D])
    mixture = random_mixture(covariance_type, K, D, rng)
    X, start = draw(mixture, 3000, rng), nudged(mixture, rng)
    centred, by_centred, said_centred = forced(monkeypatch, -1.0, X, start)
    phi, by_phi, said_phi = forced(monkeypatch, np.inf, X, start)
    assert np.array_equal(by_centred.origins != 0, np.ones((K, D)))
    assert not by_phi.origins.any()
    assert step_error(phi, centred) < 1e-11
    assert by_phi.mean_log_likelihood == pytest.approx(by_centred.mean_log_likelihood, rel=1e-12)
    np.testing.assert_allclose(said_phi.probabilities, said_centred.probabilities, atol=1e-11)
    np.testing.assert_allclose(said_phi.log_density, said_centred.log_density, rtol=1e-11)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_only_the_offending_component_is_centred(covariance_type):
    rng = np.random.default_rng(0)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    shrink = np.array([1.0, 1e-14, 1.0]).reshape(3, *[1] * (mixture.covariances.ndim - 1))
    mixture = Parameters.of(
        mixture.family, [0.4, 0.2, 0.4], mixture.means, mixture.covariances * shrink
    )
    X = draw(mixture, 2000, rng)
    own, statistics = own_step(X, mixture)
    assert statistics.origins.any(axis=1).tolist() == [False, True, False]
    assert step_error(own, reference_step(X, mixture)) < 1e-8


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_error_stays_below_the_stated_multiple_of_kappa(covariance_type, monkeypatch):
    """DESIGN: with phi, whitened covariances err by at most 3.5 kappa eps."""
    rng = np.random.default_rng(3)
    monkeypatch.setattr(kernel_module, "TOLERATED_ERROR", np.inf)
    for offset in (1.0, 1e2, 1e4):
        mixture = apart(overlapping(covariance_type, 3, rng), offset)
        X = draw(mixture, 800, rng)
        expected = reference_step(X, mixture)
        own, statistics = own_step(X, mixture)
        inside = own.inside(statistics.frame)
        a = np.sqrt(inside.means**2 + inside.variances)
        kappa = inside.family.conditioning(inside.factors, a).max()
        eps = np.finfo(np.float64).eps
        assert covariance_error(own, expected.covariances) <= 3.5 * kappa * eps + 50 * eps


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_start_too_broad_for_its_clusters_is_forgotten_at_once(covariance_type, offset):
    """phi suits the broad start, not the narrow result: its lost digits are back one step later."""
    rng = np.random.default_rng(1)
    mixture = apart(random_mixture(covariance_type, 2, 3, rng), offset)
    X = draw(mixture, 800, rng)
    broad = Parameters.of(
        mixture.family, [0.5, 0.5], mixture.means, mixture.covariances * (0.1 * offset) ** 2
    )
    first, _ = own_step(X, broad)
    second, _ = own_step(X, first)
    third, _ = own_step(X, second)
    assert step_error(third, reference_step(X, second)) < 1e-8
    assert step_error(third, reference_step(X, third)) < 1e-6


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_fit_does_not_end_with_lost_digits_or_says_so(covariance_type, offset):
    rng = np.random.default_rng(1)
    mixture = apart(random_mixture(covariance_type, 2, 3, rng), offset)
    X = draw(mixture, 800, rng)
    broad = Parameters.of(
        mixture.family, [0.5, 0.5], mixture.means, mixture.covariances * (0.1 * offset) ** 2
    )
    frame = Frame.of_sample(X, isotropic=mixture.family.isotropic)
    readings = MemoryReadings(Rows(X))
    moments = readings.run("survey", survey, SurveyPlan(3, 0, 0)).moments
    expectation = expectation_over(readings, frame, moments.total_scatter(frame))

    def fitted(start, max_iter):
        # A rule that would always stop at once.
        rule = Tolerance(np.inf, previous=0.0)
        return fit_em(expectation, start, Rules(frame.floor(0.0), rule, max_iter))

    cut_short, ended = fitted(broad.inside(frame), 1), fitted(broad.inside(frame), 50)
    lost = step_error(cut_short.parameters.outside(frame), reference_step(X, broad)) > 1e-6
    named = any("rounded" in each for each in cut_short.status)
    assert named >= lost
    assert named == (ended.n_iter > 1)
    assert ended.n_iter <= 3
    assert ended.converged
    assert ended.status == ("ok", "ok")
    sound = fitted(ended.parameters, 1)
    assert (sound.n_iter, sound.status) == (1, ("ok", "ok")), "no step is taken that gains nothing"
