"""Fits that share their readings are each what they are alone; who leaves, and when, is stated."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from dask_gmm.fit.loop import Rules, fit_em
from dask_gmm.fit.race import Entry, Race, begin_race, race_step, run_race
from dask_gmm.fit.readings import MemoryReadings, expectation_over, expectations_over
from dask_gmm.fit.stopping import Negligible
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import FAMILIES, draw, nudged, random_mixture


class Course:
    """Rows, a frame for all families, and entries: two starts for each family and K = 1, 2, 3."""

    def __init__(self, accelerate):
        rng = np.random.default_rng(0)
        self.X = draw(random_mixture("full", 3, 2, rng, apart=1.5), 800, rng)
        self.frame = Frame.of_sample(self.X, isotropic=True)
        moments = survey([Rows(self.X)], SurveyPlan(2, 0, 0)).moments
        self.scatter = moments.total_scatter(self.frame)
        self.entries = []
        for name in FAMILIES:
            for K in (1, 2, 3):
                mixture = random_mixture(name, K, 2, rng, apart=1.5)
                rule = Negligible(float(len(self.X)), mixture.family.n_parameters(K, 2))
                rules = Rules(self.frame.floor(1e-6), rule, 60, accelerate)
                for _ in range(2):
                    start = nudged(mixture, rng).inside(self.frame)
                    self.entries.append(Entry((name, K), start, rules))

    def raced(self, **options):
        readings = MemoryReadings(Rows(self.X))
        expectations = expectations_over(readings, self.frame, self.scatter)
        return run_race(expectations, self.entries, **options), readings

    def alone(self, entry):
        readings = MemoryReadings(Rows(self.X))
        expectation = expectation_over(readings, self.frame, self.scatter)
        return fit_em(expectation, entry.start, entry.rules)


def same_bits(raced, alone):
    assert raced.history == alone.history
    assert raced.stopped_by == alone.stopped_by
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(raced.parameters, name), getattr(alone.parameters, name))


@pytest.mark.parametrize("accelerate", [False, True], ids=["plain", "accelerated"])
def test_fits_in_company_are_what_they_are_alone_to_the_last_bit(accelerate):
    course = Course(accelerate)
    solutions, readings = course.raced(halving=False)
    assert readings.n_passes == max(each.n_iter for each in solutions)
    for entry, found in zip(course.entries, solutions, strict=True):
        same_bits(found, course.alone(entry))


def test_the_worse_half_leaves_and_survivors_are_unchanged():
    course = Course(accelerate=False)
    all_the_way, whole = course.raced(halving=False)
    halved, fewer = course.raced(halving=True)
    assert fewer.n_passes <= whole.n_passes
    left = [i for i, each in enumerate(halved) if "better starts" in each.stopped_by]
    for i in left:
        entry, found = course.entries[i], halved[i]
        rivals = [j for j, e in enumerate(course.entries) if e.group == entry.group and j != i]
        n = found.n_iter
        assert n in (1, 2, 4, 8, 16, 32)
        assert max(all_the_way[j].history[:n][-1] for j in rivals) >= found.history[-1]
    for group in {entry.group for entry in course.entries}:
        members = [i for i, entry in enumerate(course.entries) if entry.group == group]
        stayed = [i for i in members if i not in left]
        assert stayed, "one of each kind stays"
        for i in stayed:
            same_bits(halved[i], all_the_way[i])
    assert len(left) >= len(course.entries) / 4


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_race_goes_on_from_its_states(stop):
    course = Course(accelerate=True)
    expectations = expectations_over(MemoryReadings(Rows(course.X)), course.frame, course.scatter)
    whole, _ = course.raced(halving=True)
    race = begin_race(course.entries)
    for _ in range(stop):
        found = expectations([race.states[i].parameters for i in race.running])
        race = race_step(race, found, course.entries, halving=True)
    again = Race(tuple(copy.deepcopy(state) for state in race.states))
    resumed = run_race(expectations, course.entries, halving=True, race=again)
    for a, b in zip(whole, resumed, strict=True):
        assert (a.history, a.stopped_by) == (b.history, b.stopped_by)
        np.testing.assert_array_equal(a.parameters.means, b.parameters.means)
