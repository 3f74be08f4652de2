"""Weights are frequencies: two is a repeated row, zero is no row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.prediction import score
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import (
    FAMILIES,
    draw,
    nudged,
    own_step,
    random_mixture,
    reference_step,
    step_error,
)

weights_of_rows = st.lists(st.integers(0, 5), min_size=1, max_size=60)


def problem(covariance_type, n=300):
    rng = np.random.default_rng(11)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    X = draw(mixture, n, rng)
    return X, nudged(mixture, rng), Frame.of_sample(X, isotropic=mixture.family.isotropic)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=20, deadline=None)
@given(some=weights_of_rows)
def test_integer_weights_are_repeated_rows(covariance_type, some):
    X, start, frame = problem(covariance_type)
    w = np.ones(len(X))
    w[: len(some)] = some
    repeated = np.repeat(X, w.astype(int), axis=0)
    weighted, by_weight = own_step([Rows(X, w)], start, frame=frame)
    plain, by_rows = own_step(repeated, start, frame=frame)
    assert step_error(weighted, plain) < 1e-11
    assert by_weight.weight == by_rows.weight == len(repeated)
    assert by_weight.log_likelihood == pytest.approx(by_rows.log_likelihood, rel=1e-12)

    a, b = score([Rows(X, w)], start), score([Rows(repeated)], start)
    assert a.weight == b.weight
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-12)
    assert a.entropy == pytest.approx(b.entropy, rel=1e-11)

    plan = SurveyPlan(2, 0, 0)
    seen, expected = survey([Rows(X, w)], plan), survey([Rows(repeated)], plan)
    np.testing.assert_allclose(seen.moments.mean, expected.moments.mean, rtol=1e-12)
    np.testing.assert_allclose(seen.moments.scatter, expected.moments.scatter, rtol=1e-11)
    assert seen.n_masked == (w == 0).sum()
    assert seen.n_used == (w > 0).sum()


@pytest.mark.parametrize("hole", [0.0, 1e30, 1e200, np.nan, np.inf])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_row_of_weight_zero_is_absent_whatever_it_holds(covariance_type, hole):
    X, start, frame = problem(covariance_type)
    w = np.random.default_rng(0).uniform(0.1, 3.0, len(X))
    gone = np.arange(len(X)) % 5 == 2
    present, expected = own_step([Rows(X[~gone], w[~gone])], start, frame=frame)
    X, w = X.copy(), w.copy()
    X[gone], w[gone] = hole, 0.0
    found, statistics = own_step([Rows(X, w)], start, frame=frame)
    assert step_error(found, present) < 1e-12
    assert statistics.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-13)
    assert statistics.weight == pytest.approx(w.sum(), rel=1e-13)
    seen = survey([Rows(X, w)], SurveyPlan(2, 1000, 0))
    assert (seen.n_masked, seen.n_invalid, seen.n_used) == (gone.sum(), 0, (~gone).sum())
    assert np.isfinite(seen.sample.rows).all()
    assert (seen.sample.weights > 0).all()
    assert score([Rows(X, w)], start).log_likelihood == pytest.approx(
        score([Rows(X[~gone], w[~gone])], start).log_likelihood, rel=1e-12
    )


@pytest.mark.parametrize("unit", [1e-12, 0.3, 1e12])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_any_weights_equal_long_double_and_their_unit_cancels(covariance_type, unit):
    X, start, _ = problem(covariance_type)
    w = np.random.default_rng(2).lognormal(sigma=2.0, size=len(X))
    expected = reference_step(X, start, row_weights=w)
    found, statistics = own_step([Rows(X, w * unit)], start)
    # scikit-learn's guard of 10 eps, kept in the M-step, is felt where all weights are tiny.
    tolerance = 1e-11 if unit > 1e-6 else 1e-3
    assert step_error(found, expected) < tolerance
    assert statistics.mean_log_likelihood == pytest.approx(expected.mean_log_likelihood, rel=1e-12)
