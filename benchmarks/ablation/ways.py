"""Ways to fit a mixture: as a run does it, with one part switched off, and plain EM.

Every way leaves a trace: how many readings of the data, and how many seconds, it took to know a
mixture of what mean log-likelihood.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import sklearn.cluster

from dask_gmm.data.stored import step_of
from dask_gmm.fit.candidates import fit_starts, going_on
from dask_gmm.fit.compression import CountedReadings, repeats_enough
from dask_gmm.fit.finishers import best_of_each_kind, race
from dask_gmm.fit.loop import Rules, Solution, fit_em
from dask_gmm.fit.race import Entry, run_race
from dask_gmm.fit.readings import MemoryReadings, Readings, expectation_over, expectations_over
from dask_gmm.fit.sample import StartPlan, affordable_steps, start_parameters
from dask_gmm.fit.stopping import Negligible, StoppingRule, Tolerance
from dask_gmm.mixture.counts import most_distinct
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Survey, SurveyPlan, sample_capacity, survey
from dask_gmm.run.stages import floor_in_model_frame

#: Starts of every way but plain EM.
N_INIT = 4
#: The change of the mean log-likelihood, in nats per row, at which plain EM ends.
TOL = 1e-7
MAX_ITER = 500
#: Switched off, and what is done instead.
INSTEAD = {
    "ours": "nothing is switched off",
    "without sample start": "k-means starts on all rows, EM over all rows from each of them",
    "without acceleration": "plain steps of EM, on the sample and over all rows; no look ahead",
    "without compression": "every step reads all rows, and not the distinct ones",
    "without sharing": "each start that goes on reads for itself, one after the other",
    "without stopping rule": f"EM ends where a step changes less than {TOL:g} nats per row",
    "plain EM": "one k-means start on all rows, steps of EM over all rows, to that change",
}


@dataclass
class Trace:
    """What one fit knew when.

    Attributes
    ----------
    points : list of (readings, seconds, mean log-likelihood)
        The best mixture known so far, at every reading of EM.
    extra : int
        Readings that no pass counts: those of k-means over all rows.
    """

    began: float = field(default_factory=time.process_time)
    points: list[tuple[int, float, float]] = field(default_factory=list)
    extra: int = 0

    def note(self, readings: Readings, mean: float) -> None:
        """Remember that a mixture of this mean log-likelihood is known."""
        best = max(mean, self.points[-1][2]) if self.points else mean
        took = time.process_time() - self.began
        self.points.append((readings.n_passes + self.extra, took, best))


class Data:
    """Rows in memory, what every way shares of them, and the starts on their sample by seed.

    Parameters
    ----------
    rows : (n, D)
    K : int
    """

    def __init__(self, rows: np.ndarray, K: int) -> None:
        unit = rows.std(axis=0, dtype=np.float64)
        self.rows, self.K, self.D = rows, K, rows.shape[1]
        frame = Frame.of_sample(rows[:: max(1, len(rows) // 100_000)], unit=unit, isotropic=False)
        steps = [step_of(rows.dtype)] * self.D
        floor = frame.floor(floor_in_model_frame("auto", steps, unit))
        self.capacity = min(
            sample_capacity(family("full").n_parameters(K, self.D), self.D), len(rows) // 4
        )
        most = affordable_steps(family("full"), K, self.D, self.capacity)
        self.plan = StartPlan("full", K, "kmeans", frame, floor, most)

    def survey(self, readings: Readings, seed: int) -> Survey:
        """Read once."""
        n, width = self.rows.shape[0], self.rows.itemsize * self.D
        most = most_distinct(n, width) if self.rows.dtype.kind in "iu" else 0
        plan = SurveyPlan(self.D, self.capacity, seed, n, most)
        return readings.run("survey", survey, plan)

    @property
    def ways(self) -> list[str]:
        """Those that differ here: rows of floats are not compressed."""
        return [way for way in INSTEAD if self.compresses or way != "without compression"]

    @property
    def compresses(self) -> bool:
        """Whether rows repeat."""
        return repeats_enough(self.survey(MemoryReadings(Rows(self.rows)), 0))

    def fit(self, way: str, seed: int) -> tuple[Trace, Solution]:
        """Fit in one of the ways."""
        if way == "plain EM":
            return self._plain(seed)
        if way == "without sample start":
            return self._without_sample(seed)
        return self._from_sample(
            seed,
            accelerate=way != "without acceleration",
            compress=way != "without compression",
            share=way != "without sharing",
            stops=way != "without stopping rule",
        )

    def likelihood(self, solution: Solution) -> float:
        """Return what a mixture comes to over all rows, nats per row."""
        return self._expectation(solution.parameters).mean_log_likelihood

    def collapsed(self, solution: Solution) -> bool:
        """Tell whether a component is at its floor and holds no more rows than it has parameters.

        A narrow component of many rows, a sea of one colour, is none of these.
        """
        own = self.plan.family.n_parameters(1, self.D)
        weights = solution.parameters.weights
        return any(weights[k] * len(self.rows) <= own for k in solution.narrow)

    def polished(self, solution: Solution) -> Solution:
        """Go on from a solution to its optimum."""
        rules = Rules(self.plan.floor, Tolerance(1e-10), 200, accelerate=True)
        return fit_em(self._expectation, solution.parameters, rules)

    @property
    def _expectation(self) -> Any:
        return expectation_over(MemoryReadings(Rows(self.rows)), self.plan.frame, None)

    def _rule(self, stops: bool, seen: Survey, plan: StartPlan) -> StoppingRule:
        return Negligible(seen.moments.weight, plan.n_parameters) if stops else Tolerance(TOL)

    def _from_sample(
        self, seed: int, *, accelerate: bool, compress: bool, share: bool, stops: bool
    ) -> tuple[Trace, Solution]:
        readings: Readings = MemoryReadings(Rows(self.rows))
        trace, plan = Trace(), replace(self.plan, accelerate=accelerate)
        seen = self.survey(readings, seed)
        seeds = range(1000 * seed, 1000 * seed + N_INIT)
        contenders = going_on(
            fit_starts(readings, [plan], seeds, seen.sample), seen.sample, halving=True
        )
        if compress and repeats_enough(seen):
            readings = CountedReadings(seen.counts, readings)
        fits = [contenders] if share else [[each] for each in contenders]
        finishers = [
            finisher
            for together in fits
            for finisher in race(
                readings,
                together,
                seen,
                seed,
                partial(self._rule, stops, seen),
                max_iter=MAX_ITER,
                halving=share,
                observe=lambda race: trace.note(readings, race.best_mean),
            )
        ]
        return trace, best_of_each_kind(finishers)[0].solution

    def _without_sample(self, seed: int) -> tuple[Trace, Solution]:
        readings, trace = MemoryReadings(Rows(self.rows)), Trace()
        seen = self.survey(readings, seed)
        drawn = [self._start(each) for each in range(1000 * seed, 1000 * seed + N_INIT)]
        trace.extra = max(n for _, n in drawn)  # they could read together
        rules = Rules(self.plan.floor, self._rule(True, seen, self.plan), MAX_ITER, accelerate=True)
        entries = [Entry("full", start, rules) for start, _ in drawn]
        counted = CountedReadings(seen.counts, readings) if repeats_enough(seen) else readings
        solutions = run_race(
            expectations_over(counted, self.plan.frame, None),
            entries,
            halving=True,
            observe=lambda race: trace.note(counted, race.best_mean),
        )
        return trace, max(solutions, key=lambda each: each.lower_bound)

    def _plain(self, seed: int) -> tuple[Trace, Solution]:
        readings, trace = MemoryReadings(Rows(self.rows)), Trace()
        start, trace.extra = self._start(seed)
        expectation = expectation_over(readings, self.plan.frame, None)
        rules = Rules(self.plan.floor, Tolerance(TOL), MAX_ITER)
        found = fit_em(expectation, start, rules, lambda _, mean: trace.note(readings, mean))
        return trace, found

    def _start(self, seed: int) -> tuple[Any, int]:
        """Draw a start by k-means over all rows; return it and how often k-means read them."""
        with _k_means_counted() as n_iter:
            start = start_parameters(self.plan, self.rows, None, np.random.RandomState(seed))
        return start, sum(n_iter)


@contextmanager
def _k_means_counted() -> Iterator[list[int]]:
    """Keep the iterations of every k-means: each of them reads all rows."""
    n_iter: list[int] = []

    class Counted(sklearn.cluster.KMeans):
        def fit(self, *arguments: Any, **settings: Any) -> Any:
            found = super().fit(*arguments, **settings)
            n_iter.append(int(found.n_iter_))
            return found

    with patch.object(sklearn.cluster, "KMeans", Counted):
        yield n_iter
