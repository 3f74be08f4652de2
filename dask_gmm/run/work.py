"""The work of a run: the stages in their order, and everything that is written of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.engine.cluster import Workers, local_workers, thread_workers
from dask_gmm.engine.dask_log import with_dask
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.remote import remote_workers
from dask_gmm.engine.threads import one_blas_thread
from dask_gmm.fit.compression import readings_for_fit, repeats_enough
from dask_gmm.fit.loop import Solution
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.survey import Survey
from dask_gmm.mixture.views import views_of
from dask_gmm.model_file import Model
from dask_gmm.run import record
from dask_gmm.run.checkpoint import Checkpoint
from dask_gmm.run.clock import DRAWING, Clock
from dask_gmm.run.compression import compression_of, look_up, profile_of_counts
from dask_gmm.run.config import Config
from dask_gmm.run.config.yaml_writer import to_yaml
from dask_gmm.run.directory import CHECKPOINT, disk_errors
from dask_gmm.run.flushing import flush
from dask_gmm.run.job import FILES, Job
from dask_gmm.run.outputs import journal_of, sweep_outputs
from dask_gmm.run.predicting import Applied, apply
from dask_gmm.run.records import write_record
from dask_gmm.run.scoring import needs_scores, with_scores
from dask_gmm.run.segmented import Segmented
from dask_gmm.run.stages import (
    Selected,
    Started,
    final_mixture,
    fit_stage,
    negligible_gain,
    select_stage,
    start_stage,
    survey_stage,
)
from dask_gmm.run.writing import Written, segment_and_write

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """What the stages have found, one after the other.

    Attributes
    ----------
    seen : Survey
    started : Started
    selected : Selected
    mixture : Parameters
        The solution in original units and label order.
    narrow : sequence of int
        Labels as narrow as their floor.
    status : tuple of str
        What was done about each class, label 1 first.
    written : Written
        What came of the segmentation.
    passes : mapping of str to int
        Readings of all of the data, by stage.
    compression : mapping
        Whether distinct rows took the place of all rows, and how many there are.
    """

    seen: Survey
    started: Started
    selected: Selected
    mixture: Parameters
    narrow: Sequence[int]
    status: tuple[str, ...]
    written: Written
    passes: dict[str, int]
    compression: dict[str, Any]

    @property
    def segmented(self) -> Segmented:
        """What the segmentation has counted."""
        return self.written.segmented

    def model(self, job: Job) -> Model:
        """Return the model that is saved."""
        return record.model_of(job, self)

    def history(self, clock: Clock) -> list[dict[str, Any]]:
        """Return an entry per evaluation."""
        return record.history_of(self, clock.readings)

    def manifest(self, job: Job, clock: Clock) -> dict[str, Any]:
        """Return the manifest, with the timings so far."""
        return record.manifest_of(job, self, clock)

    @property
    def solution(self) -> Solution:
        """Where EM has led the winner, in the frame of ``started``."""
        return self.selected.winner.solution


def carry_out(
    job: Job,
    folder: Path,
    clock: Clock,
    checkpoint: Checkpoint,
    log_settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Do all that ``job`` says, write it below ``folder``, and return the manifest.

    Parameters
    ----------
    job : Job
    folder : Path
        Exists; holds what an interrupted run has written, if there was one.
    clock : Clock
    checkpoint : Checkpoint
        What was computed earlier, and is not computed again.
    log_settings : dict, optional
        Where log lines go, see :func:`dask_gmm.run.logs.settings`.
    """
    with ExitStack() as stack:
        with clock.step("start workers"):
            workers = stack.enter_context(start_workers(job.config, log_settings))
        if (dashboard := workers.dashboard) is not None:
            log.info("Dask's dashboard: %s", dashboard)
        if clock.tracker is not None:
            clock.tracker.knows(rows_of_leaves(job), job.plan.manifest.row_bytes)
        job.plan.on(workers.memory_limit, workers.threads).require_fit()
        found: Findings | Applied
        if job.given is None:
            job, n_scoring = _scored(job, clock, checkpoint, workers)
            found = go_through_stages(job, folder, clock, checkpoint, workers, n_scoring)
        else:
            found = apply(job, job.given, folder, clock, checkpoint, workers)
        # What processes take to end is spent drawing.
        with clock.step(DRAWING), ThreadPoolExecutor(1) as aside:
            stopped = aside.submit(stack.pop_all().close)
            manifest = _write(job, found, clock, folder)
            with disk_errors(folder):
                sweep_outputs(folder, job, found.written.segmented.failures.keys())
                checkpoint.write_journal(journal_of(found.written.segmented))
                flush(folder)
            stopped.result()
    manifest |= {"finished": record.now(), "timings": list(clock.timings)}
    return manifest | {"files": file_checksums(folder, job.config)}


def rows_of_leaves(job: Job) -> npt.NDArray[np.int64]:
    """Return how many rows every leaf of the plan has, (n,)."""
    rows = job.source.grid.rows_per_cell
    return np.add.reduceat(rows, [cells[0] for cells in job.plan.leaves])


def start_workers(
    config: Config, log_settings: dict[str, Any] | None = None
) -> AbstractContextManager[Workers]:
    """Start what the configuration's ``cluster`` section names."""
    kind, options = config.cluster.kind, config.cluster.arguments(config.directory)
    if kind == "threads":
        return thread_workers(options["n_workers"])
    told = None if log_settings is None else with_dask(log_settings, "stderr")
    if kind == "local":
        return local_workers(**options, log_settings=told)
    return remote_workers(kind, options, told)


def _scored(job: Job, clock: Clock, checkpoint: Checkpoint, workers: Workers) -> tuple[Job, int]:
    """Return the job with the quantiles of its features, and how often that read the data."""
    if not needs_scores(job):
        return job, 0
    with clock.step("quantiles"):
        return with_scores(
            job,
            lambda raw: Passes.over_source(
                raw, job.plan.leaves, workers.scheduler, checkpoint, watcher=clock.tracker
            ),
        )


def go_through_stages(
    job: Job,
    folder: Path,
    clock: Clock,
    checkpoint: Checkpoint,
    workers: Workers,
    n_scoring: int = 0,
) -> Findings:
    """Survey, start, fit and segment; outputs are written below ``folder``.

    The data have been read ``n_scoring`` times before.
    """
    config, source, plan = job.config, job.source, job.plan
    tracker = clock.tracker
    passes = Passes.over_source(source, plan.leaves, workers.scheduler, checkpoint, watcher=tracker)
    passes.n_passes = n_scoring
    clock.is_recalled = lambda: passes.recalled
    with clock.step("survey"):
        seen = survey_stage(config, source, plan, passes)
    n_survey = passes.n_passes
    with clock.step("starts on the sample"):
        started = start_stage(config, source, passes, seen, job.start)
    repeats = repeats_enough(seen)
    # On distinct rows EM runs in this process: one thread, as on the workers, for the same bits.
    with clock.step("EM over distinct rows" if repeats else "EM over all rows"), one_blas_thread():
        rows = readings_for_fit(seen, passes)
        if tracker is not None:
            tracker.expects(negligible_gain(config, seen, plan.n_features), config.model.max_iter)
        finishers = fit_stage(config, rows, seen, started, clock.reading)
        if tracker is not None:
            tracker.em_is_over()
        n_em = passes.n_passes - n_survey
        selected = select_stage(config, rows, seen, finishers)
    n_select = passes.n_passes - n_survey - n_em
    mixture, narrow, status = final_mixture(selected, job.numbering)
    extrema = (seen.moments.low, seen.moments.high)
    views = views_of(mixture, source.feature_steps, extrema, plan.n_rows)
    with clock.step("segment and write"):
        written = segment_and_write(
            job,
            folder,
            checkpoint,
            workers,
            mixture,
            None if repeats else views,
            lambda sinks: look_up(seen, mixture, sinks, smoothed=config.smoothing is not None),
            watcher=tracker,
        )
    if repeats:
        written = written.profiled(profile_of_counts(seen, mixture, views))
    counted = {"survey": n_survey, "em": n_em, "select": n_select, "predict": 1}
    compression = compression_of(seen, plan.compression, by_look_up=written.by_look_up)
    return Findings(seen, started, selected, mixture, narrow, status, written, counted, compression)


def file_checksums(folder: Path, config: Config) -> dict[str, str]:
    """Return the SHA-256 of every file of a run, by path, but not of arrays of checked chunks."""
    whole = [each.path for each in config.written().values() if each.kind != "zarr"]
    tops = [folder / name for name in {*FILES, *whole} - {CHECKPOINT}]
    paths = [path for top in tops for path in (top, *top.rglob("*")) if path.is_file()]
    found = {}
    for path in sorted(paths):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def _write(job: Job, found: Findings | Applied, clock: Clock, folder: Path) -> dict[str, Any]:
    """Write what is not an output; return the manifest, the page's step not timed yet."""
    from dask_gmm.run.report import FIGURES, MODEL, PROFILE, REPORT, draw
    from dask_gmm.run.report.figures import write_figures

    model_file = folder / MODEL
    with disk_errors(model_file):
        found.model(job).save(model_file)
    history, manifest = found.history(clock), found.manifest(job, clock)
    texts = {
        "config.yaml": to_yaml(job.config.redacted()),
        "history.jsonl": "".join(json.dumps(each, allow_nan=False) + "\n" for each in history),
    }
    for name, text in texts.items():
        with disk_errors(folder / name):
            (folder / name).write_text(text, encoding="utf-8")
    with disk_errors(folder / FIGURES):
        (folder / FIGURES).mkdir(exist_ok=True)
        manifest["pictures"] = write_figures(
            folder / FIGURES, manifest, history, found.written.quicklooks
        )
        write_record(folder / FIGURES / PROFILE, found.written.segmented.profile)
    with disk_errors(folder / REPORT):
        (folder / REPORT).write_text(draw(folder, manifest), encoding="utf-8")
    return manifest
