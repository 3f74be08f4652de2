"""Choosing a model and nothing more: the stages of a run up to selection; nothing is written."""

from __future__ import annotations

from typing import Any

from dask_gmm.engine.cluster import Workers
from dask_gmm.engine.passes import Passes, one_blas_thread
from dask_gmm.errors import ConfigurationError
from dask_gmm.fit.compression import readings_for_fit
from dask_gmm.run.clock import Clock
from dask_gmm.run.config import Config
from dask_gmm.run.job import Job, plan_configured
from dask_gmm.run.progress import Callback, Tracker
from dask_gmm.run.record import selection_of
from dask_gmm.run.scoring import with_scores
from dask_gmm.run.stages import (
    Selected,
    fit_stage,
    negligible_gain,
    select_stage,
    start_stage,
    survey_stage,
)
from dask_gmm.run.work import rows_of_leaves, start_workers


def select_configured(
    config: Config,
    log_settings: dict[str, Any] | None = None,
    progress: Callback | None = None,
) -> dict[str, Any]:
    """Fit all candidates of a configuration and compare them.

    Parameters
    ----------
    config : Config
    log_settings : dict, optional
        Where log lines go, see :func:`dask_gmm.run.logs.settings`.
    progress : callable, optional
        See :func:`dask_gmm.run.job.run_configured`.

    Returns
    -------
    dict
        What a run's manifest holds under ``selection``; and ``passes``, the readings it took.

    Raises
    ------
    ConfigurationError
        If there is one candidate alone, or what is to be done would not fit the workers' memory.
    """
    if len(config.model.kinds) == 1:
        raise ConfigurationError(
            "model.n_components and model.covariance_type name one candidate, so that there is "
            "nothing to choose from; give a list, such as --set model.n_components=[2,3,4]"
        )
    job = plan_configured(config)
    with start_workers(config, log_settings) as workers:
        job.plan.on(workers.memory_limit, workers.threads).require_fit()
        tracker = None if progress is None else Tracker(progress)
        selected, n_passes = fit_candidates(job, workers, Clock(tracker=tracker))
    compared = selection_of(config, selected)
    assert compared is not None
    return {**compared, "passes": n_passes}


def fit_candidates(job: Job, workers: Workers, clock: Clock) -> tuple[Selected, int]:
    """Survey, start, fit and choose; return what was found, and how often the data were read."""
    config, tracker = job.config, clock.tracker
    if tracker is not None:
        tracker.knows(rows_of_leaves(job), job.plan.manifest.row_bytes)
    job, n_scoring = with_scores(
        job,
        lambda raw: Passes.over_source(raw, job.plan.leaves, workers.scheduler, watcher=tracker),
    )
    passes = Passes.over_source(job.source, job.plan.leaves, workers.scheduler, watcher=tracker)
    passes.n_passes = n_scoring
    with clock.step("survey"):
        seen = survey_stage(config, job.source, job.plan, passes)
    with clock.step("starts on the sample"):
        started = start_stage(config, job.source, passes, seen, job.start)
    with clock.step("EM and what it has led to"), one_blas_thread():
        rows = readings_for_fit(seen, passes)
        if tracker is not None:
            most = config.model.max_iter
            tracker.expects(negligible_gain(config, seen, job.plan.n_features), most)
        finishers = fit_stage(config, rows, seen, started, clock.reading)
        selected = select_stage(config, rows, seen, finishers)
    return selected, passes.n_passes
