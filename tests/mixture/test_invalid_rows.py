"""Rows that are not finite, masked or absurdly far take no part, and do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.prediction import Wanted, predict, score
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import FAMILIES, draw, nudged, own_step, random_mixture, step_error

HOLES = [np.nan, np.inf, -np.inf, 1e200, -1e308]
EVERYTHING = Wanted(labels=True, probabilities=True, uncertainty=True, log_density=True)


def problem(covariance_type, n=400):
    rng = np.random.default_rng(21)
    mixture = random_mixture(covariance_type, 3, 3, rng)
    X = draw(mixture, n, rng)
    return X, nudged(mixture, rng), Frame.of_sample(X, isotropic=mixture.family.isotropic)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(
    holes=st.lists(
        st.tuples(st.integers(0, 399), st.integers(0, 2), st.sampled_from(HOLES)), max_size=30
    ),
    masked=st.sets(st.integers(0, 399), max_size=30),
)
def test_invalid_rows_are_as_if_removed(covariance_type, holes, masked):
    X, start, frame = problem(covariance_type)
    X = X.copy()
    for row, feature, hole in holes:
        X[row, feature] = hole
    valid = np.ones(len(X), bool)
    valid[list(masked)] = False
    broken = np.zeros(len(X), bool)
    broken[[row for row, _, _ in holes]] = True
    kept = valid & ~broken

    expected, by_kept = own_step(X[kept], start, frame=frame)
    found, statistics = own_step([Rows(X, valid=valid)], start, frame=frame)
    assert step_error(found, expected) < 1e-12
    assert statistics.weight == kept.sum()
    assert statistics.log_likelihood == pytest.approx(by_kept.log_likelihood, rel=1e-13)

    seen = survey([Rows(X, valid=valid)], SurveyPlan(3, 400, 0))
    assert (seen.n_rows, seen.n_masked) == (len(X), len(masked))
    assert seen.n_invalid == (broken & valid).sum()
    first = np.flatnonzero(broken & valid)
    assert seen.first_invalid == (int(first[0]) if len(first) else None)
    assert len(seen.sample.rows) == kept.sum()

    found_score = score([Rows(X, valid=valid)], start)
    assert found_score.n_invalid == (~kept).sum()
    assert found_score.weight == kept.sum()

    kernel = Kernel.in_own_frame(start)
    said, alone = (
        predict(kernel, Rows(X, valid=valid), EVERYTHING),
        predict(kernel, Rows(X[kept]), EVERYTHING),
    )
    np.testing.assert_array_equal(said.valid, kept)
    for name in ("labels", "probabilities", "uncertainty", "log_density"):
        np.testing.assert_array_equal(getattr(said, name)[kept], getattr(alone, name))


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_no_valid_row_at_all(covariance_type):
    X, start, frame = problem(covariance_type)
    found, statistics = own_step([Rows(np.full_like(X, np.nan))], start, frame=frame)
    assert (statistics.weight, statistics.log_likelihood) == (0.0, 0.0)
    np.testing.assert_allclose(found.means, start.means, rtol=1e-12)
    np.testing.assert_allclose(found.weights, 1 / 3)
    seen = survey([Rows(np.full_like(X, np.inf))], SurveyPlan(3, 10, 0))
    assert (seen.n_used, seen.n_invalid, seen.first_invalid) == (0, len(X), 0)


def test_integers_need_no_look_at_each_value():
    X = np.full((10, 2), np.iinfo(np.int64).max)
    X[5] = np.iinfo(np.int64).min
    seen = survey([Rows(X)], SurveyPlan(2, 10, 0))
    assert seen.n_invalid == 0
    np.testing.assert_allclose(seen.moments.mean, 0.8 * 2.0**63)


def test_one_row_at_1e12_is_an_outlier_and_not_invalid():
    X, start, frame = problem("full")
    X = np.vstack([X, np.full(3, 1e12)])
    _, statistics = own_step(X, start, frame=frame)
    assert statistics.weight == len(X)
    assert np.isfinite(statistics.log_likelihood)
