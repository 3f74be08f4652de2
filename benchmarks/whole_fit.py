"""A whole fit with the defaults of a run, and what it knew when: survey, starts, EM."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from dask_gmm.fit.candidates import fit_starts, going_on
from dask_gmm.fit.finishers import best_of_each_kind, race
from dask_gmm.fit.race import Race
from dask_gmm.fit.readings import Readings
from dask_gmm.fit.sample import StartPlan, affordable_steps
from dask_gmm.fit.stopping import Negligible
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import score
from dask_gmm.mixture.survey import SurveyPlan, sample_capacity, survey

STARTS = 4


@dataclass(frozen=True)
class Fitted:
    """What a fit has reached, and when.

    Attributes
    ----------
    seconds : float
        Of the whole fit.
    readings : int
    course : list of (float, float)
        Seconds since its beginning and the highest mean log-likelihood then known, nats per row,
        after every reading of EM.
    plan : StartPlan
        Of its starts, with the frame and the floor.
    parameters : Parameters
        In original units.
    """

    seconds: float
    readings: int
    course: list[tuple[float, float]]
    plan: StartPlan
    parameters: Parameters


def whole_fit(readings: Readings, D: int, K: int, seed: int) -> Fitted:
    """Fit K full covariances with the defaults of a run."""
    began, before, kind = time.perf_counter(), readings.n_passes, family("full")
    course: list[tuple[float, float]] = []

    def observe(run: Race) -> None:
        course.append((time.perf_counter() - began, run.best_mean))

    capacity = sample_capacity(kind.n_parameters(K, D), D)
    seen = readings.run("survey", survey, SurveyPlan(D, capacity, seed))
    frame = Frame.of_sample(seen.sample.rows, isotropic=False)
    steps = affordable_steps(kind, K, D, len(seen.sample.rows))
    plan = StartPlan("full", K, "kmeans", frame, frame.floor(1e-6), steps)
    contenders = fit_starts(readings, [plan], range(seed, seed + STARTS), seen.sample)
    finishers = race(
        readings,
        going_on(contenders, seen.sample, halving=True),
        seen,
        seed,
        lambda plan: Negligible(seen.moments.weight, plan.n_parameters),
        max_iter=200,
        halving=True,
        observe=observe,
    )
    found = best_of_each_kind(finishers)[0].solution.parameters.outside(frame)
    took = time.perf_counter() - began
    return Fitted(took, readings.n_passes - before, course, plan, found)


def mean_log_likelihood(readings: Readings, parameters: Parameters) -> float:
    """Return what all rows have under parameters in original units, in nats per row."""
    found = readings.run("score", score, parameters)
    return float(np.divide(found.log_likelihood, found.weight))
