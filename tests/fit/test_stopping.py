"""When EM stops: scikit-learn's rule, and Aitken's prediction of what is still to gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_gmm.fit.stopping import NEGLIGIBLE, Negligible, Tolerance, predicted_gain

rates = st.floats(0.01, 0.99)


def geometric(limit, first_gap, rate, n):
    """Return a sequence that converges linearly to ``limit``."""
    return [limit - first_gap * rate**i for i in range(n)]


@given(limit=st.floats(-100, 100), gap=st.floats(1e-2, 1e2), rate=rates, n=st.integers(4, 12))
def test_the_prediction_is_exact_on_a_geometric_sequence(limit, gap, rate, n):
    means = geometric(limit, gap, rate, n)
    remaining = gap * rate ** (n - 1)
    # The steps are differences of numbers near the limit: they round there.
    if means[-1] - means[-2] < 1e-6 * max(abs(limit), 1.0):
        return
    assert predicted_gain(means) == pytest.approx(remaining, rel=1e-3)


@given(
    gap=st.floats(0.1, 1e3),
    rate=st.floats(0.3, 0.99),
    weight=st.floats(1e2, 1e9),
    n_parameters=st.integers(2, 1000),
    share=st.sampled_from([1.0, 0.1]),
)
def test_negligible_stops_where_the_true_remaining_gain_is_below_the_bound(
    gap, rate, weight, n_parameters, share
):
    rule = Negligible(weight, n_parameters, share)
    allowed = share * NEGLIGIBLE * n_parameters / weight
    means = geometric(-1.0, gap / weight, rate, 4000)
    stopped = next(i for i in range(1, 4001) if rule.reached(means[:i]))
    # Four values are needed to tell a rate, and a step at rounding tells none.
    rounding = 64 * np.finfo(float).eps / (1 - rate)
    assert -1.0 - means[stopped - 1] < 1.01 * allowed + rounding
    if stopped > 4:
        assert -1.0 - means[stopped - 2] > 0.99 * allowed - rounding


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_no_rate_can_be_told_from_fewer_than_four_values(n):
    assert predicted_gain([-1.0] * n) is None
    assert Negligible(1000.0, 10).reached([-1.0] * n) is None


@pytest.mark.parametrize("growth", [1.01, 1.5, 10.0])
def test_a_plateau_with_growing_gains_is_no_convergence(growth):
    """EM that leaves a saddle gains little, then more: every step is larger than the last."""
    means = list(-1.0 + 1e-9 * growth ** np.arange(12))
    assert predicted_gain(means) is None
    assert Negligible(1000.0, 100).reached(means) is None


def test_the_slower_of_the_last_two_rates_counts():
    slow_then_fast = [0.0, 1.0, 1.9, 1.91]
    assert predicted_gain(slow_then_fast) == pytest.approx(0.01 * 0.9 / 0.1)


@pytest.mark.parametrize("level", [0.0, -1e-9, 1e-3, -5.0, 700.0])
def test_noise_at_rounding_is_the_end(level):
    """A mean near zero rounds no finer than a nat per row: its terms do not cancel exactly."""
    eps = np.finfo(float).eps * max(1.0, abs(level))
    for noise in ([0, 0, 0, 0], [0, 1, 0, 1], [2, 1, 2, 1], [0, -3, -1, -2]):
        means = [level + each * eps for each in noise]
        assert predicted_gain(means) == 0.0
        assert Negligible(1e9, 3).reached(means)


def test_a_rise_after_falls_says_nothing():
    assert predicted_gain([-1.0, -1.1, -1.2, -1.1]) is None
    assert predicted_gain([-1.0, -0.9, -1.0, -0.9]) is None


def test_falls_end_the_fit_only_where_they_are_small():
    rule = Negligible(weight=100.0, n_parameters=10)  # 0.5 nats in total, 0.005 a row
    assert rule.reached([-1.0, -1.0001, -1.0002, -1.0003])
    assert rule.reached([-1.0, -1.01, -1.02, -1.03]) is None


def test_the_reason_is_in_words():
    reason = Negligible(100.0, 10).reached(geometric(-1.0, 1.0, 0.1, 6))
    assert reason
    assert "nats in total" in reason
    assert "0.05 per free parameter" in reason
    reason = Tolerance(1e-3).reached([-1.0, -0.9999])
    assert reason
    assert "0.0001 < tol = 0.001" in reason


@given(
    means=st.lists(st.floats(-10, 10), min_size=1, max_size=6),
    tol=st.sampled_from([0.0, 1e-3, 1.0]),
    previous=st.one_of(st.none(), st.floats(-10, 10)),
)
def test_tolerance_is_scikit_learns_rule(means, tol, previous):
    before = [-np.inf if previous is None else previous, *means][-2]
    assert bool(Tolerance(tol, previous).reached(means)) == (abs(means[-1] - before) < tol)
