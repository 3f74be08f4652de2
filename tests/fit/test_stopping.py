"""When EM stops: scikit-learn's rule, and a prediction of what is still to gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_gmm.fit.stopping import (
    LOSSES,
    NEGLIGIBLE,
    SLOWEST_RATE,
    Negligible,
    Tolerance,
    predicted_gain,
)


def along_one_direction(rate, distance, n):
    """Return means and step gains of EM on a parabola: h = 1 - rate, in the complete data's units.

    The error shrinks by ``rate`` a step; what remains is h e^2 / 2, a step gains (h e)^2 / 2 of
    the expected log-likelihood.
    """
    h, e = 1.0 - rate, distance * rate ** np.arange(n)
    return -1.0 - 0.5 * h * e**2, 0.5 * (h * e) ** 2


@given(
    rate=st.floats(0.0, SLOWEST_RATE),
    distance=st.floats(0.1, 10.0),
    weight=st.floats(1e2, 1e9),
    n_parameters=st.integers(2, 1000),
    share=st.sampled_from([1.0, 0.1]),
)
def test_negligible_leaves_less_than_is_allowed(rate, distance, weight, n_parameters, share):
    rule = Negligible(weight, n_parameters, share)
    means, gains = along_one_direction(rate, distance, 2000)
    stopped = next(i for i in range(1, 2001) if rule.reached(means[:i], gains[:i]))
    rounding = 64 * np.finfo(float).eps / (1 - rate)
    assert -1.0 - means[stopped - 1] <= share * NEGLIGIBLE * n_parameters / weight + rounding


@given(distance=st.floats(0.1, 10.0))
def test_the_prediction_is_exact_at_the_slowest_rate(distance):
    means, gains = along_one_direction(SLOWEST_RATE, distance, 1)
    assert predicted_gain(gains[0]) == pytest.approx(-1.0 - means[0], rel=1e-6)


@pytest.mark.parametrize("growth", [1.01, 1.5, 10.0])
def test_gains_that_grow_are_no_convergence(growth):
    """EM that leaves a saddle gains little, then more: every step is larger than the last."""
    gains = 1e-9 * growth ** np.arange(12)
    assert Negligible(1000.0, 100).reached(-1.0 + gains.cumsum(), gains) is None


def test_one_step_says_nothing_yet():
    rule = Negligible(1000.0, 10)
    assert rule.reached([-1.0], [1e-9]) is None
    assert rule.reached([-1.0, -1.0], [1e-9, 1e-9])


@pytest.mark.parametrize("level", [0.0, -1e-9, 1e-3, -5.0, 700.0])
def test_noise_at_rounding_is_the_end(level):
    """A mean near zero rounds no finer than a nat per row: its terms do not cancel exactly."""
    eps = np.finfo(float).eps * max(1.0, abs(level))
    for noise in ([0, 0], [0, 1], [1, 3], [0, -3]):
        assert Negligible(1e9, 3).reached([level, level], [each * eps for each in noise])


def test_a_fall_under_a_floor_ends_the_fit_only_where_it_is_small():
    rule = Negligible(weight=100.0, n_parameters=10)  # 0.5 nats in total, 0.005 a row
    assert rule.reached([-1.0, -1.0001], [-1e-4, -1.1e-4])
    assert rule.reached([-1.0, -1.01], [-0.01, -0.011]) is None


def test_steps_that_only_lose_are_the_end():
    rule = Negligible(weight=1e8, n_parameters=100)
    gains = [1e-2, *[-1e-4] * LOSSES]
    means = list(np.cumsum(gains))
    assert rule.reached(means[:-1], gains[:-1]) is None
    assert "reg_covar" in rule.reached(means, gains)
    gains[-2] = 1e-6  # one of them still gained
    assert rule.reached(means, gains) is None


def test_the_reason_is_in_words():
    reason = Negligible(100.0, 10).reached([-1.0, -1.0], [1e-3, 1e-5])
    assert "0.02 nats in total is below 0.5 (0.05 per free parameter)" in reason
    reason = Tolerance(1e-3).reached([-1.0, -0.9999], [0.1, 0.1])
    assert "0.0001 < tol = 0.001" in reason


@given(
    means=st.lists(st.floats(-10, 10), min_size=1, max_size=6),
    tol=st.sampled_from([0.0, 1e-3, 1.0]),
    previous=st.one_of(st.none(), st.floats(-10, 10)),
)
def test_tolerance_is_scikit_learns_rule(means, tol, previous):
    before = [-np.inf if previous is None else previous, *means][-2]
    reason = Tolerance(tol, previous).reached(means, [1.0] * len(means))
    assert bool(reason) == (abs(means[-1] - before) < tol)
