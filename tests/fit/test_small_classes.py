"""A class of which the sample holds a few rows, or none, is found by the first reading of EM."""

from __future__ import annotations

import numpy as np
import pytest

from dask_gmm.fit import finishers
from dask_gmm.fit.candidates import fit_starts, going_on
from dask_gmm.fit.finishers import best_of_each_kind, race
from dask_gmm.fit.readings import MemoryReadings
from dask_gmm.fit.sample import StartPlan
from dask_gmm.fit.stopping import Negligible
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey

D, SHARE, PLACE = 3, 1e-3, 12.0


def rows(seed, n=100_000, share=SHARE, place=PLACE):
    """Three groups, and a small class, by default ten standard deviations from the nearest."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]])
    X = means[rng.integers(0, 3, n)] + rng.normal(size=(n, D))
    small = rng.uniform(size=n) < share
    X[small] = [0.0, 0.0, place] + 0.7 * rng.normal(size=(small.sum(), D))
    return X


def fitted(X, seed, K, sample_rows=1500, covariance_type="full"):
    readings = MemoryReadings(Rows(X))
    seen = readings.run("survey", survey, SurveyPlan(D, sample_rows, seed))
    frame = Frame.of_sample(seen.sample.rows, isotropic=covariance_type == "spherical")
    plan = StartPlan(covariance_type, K, "kmeans", frame, frame.floor(1e-6), 500)
    starts = fit_starts(readings, [plan], [seed, seed + 1], seen.sample)
    finished = race(
        readings,
        going_on(starts, seen.sample, halving=True),
        seen,
        seed,
        lambda plan: Negligible(seen.moments.weight, plan.n_parameters),
        max_iter=50,
        halving=True,
    )
    (best,) = best_of_each_kind(finished)
    return best.solution.parameters.outside(frame), finished, readings


def holds_the_class(mixture, share=SHARE, place=PLACE):
    away = np.linalg.norm(mixture.means - [0.0, 0.0, place], axis=1)
    k = int(away.argmin())
    return away[k] < 0.5 and abs(mixture.weights[k] / share - 1) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_a_class_with_a_row_or_two_in_the_sample_is_found(seed):
    mixture, finished, readings = fitted(rows(seed), seed, K=4)
    assert holds_the_class(mixture)
    assert readings.n_passes <= 8
    assert readings.n_passes == 1 + max(f.joined + f.solution.n_iter for f in finished)


@pytest.mark.parametrize("seed", range(5))
def test_a_start_that_has_joined_is_not_compared_before_a_reading_has_led_it_on(seed):
    """At six deviations the likelihood tells two starts apart only after a step of both."""
    mixture, finished, _ = fitted(rows(seed, place=6.0), seed, K=4)
    assert holds_the_class(mixture, place=6.0)
    for each in finished:
        assert not each.joined or each.solution.n_iter > 1 or each.solution.converged


@pytest.mark.parametrize("covariance_type", ["tied", "diag", "spherical"])
def test_every_family_finds_it(covariance_type):
    mixture, *_ = fitted(rows(1), 1, K=4, covariance_type=covariance_type)
    assert holds_the_class(mixture)


def test_without_the_second_draw_it_is_lost(monkeypatch):
    monkeypatch.setattr(finishers, "LARGEST_SHARE", 0.0)
    found = [holds_the_class(fitted(rows(seed), seed, K=4)[0]) for seed in range(5)]
    assert sum(found) <= 2


def test_a_needed_component_is_not_given_up_for_it():
    """Three groups and K = 3: the small class would cost more than it gains."""
    mixture, finished, _ = fitted(rows(0), 0, K=3)
    assert not holds_the_class(mixture)
    assert not any(f.joined for f in finished)


def test_where_there_is_none_no_start_joins_and_nothing_is_read_for_it():
    _, finished, readings = fitted(rows(2, share=0.0), 2, K=3)
    assert not any(f.joined for f in finished)
    assert readings.n_passes <= 4
