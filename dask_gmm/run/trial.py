"""How long a run may take: one leaf is read and worked on here, and the rest is arithmetic.

What is told is a guess that says how it was made. Of a pass it knows the pace; how many passes EM
will take nobody knows before, so the usual number is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dask_gmm.data.grid import Grid
from dask_gmm.data.sources.several import members_of
from dask_gmm.engine.cluster import fitting_workers
from dask_gmm.engine.machine import cores
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.reading import Cell, read_cells
from dask_gmm.engine.threads import one_blas_thread
from dask_gmm.errors import InputDataError
from dask_gmm.fit.sample import StartPlan, affordable_steps, start_parameters
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.families import family
from dask_gmm.mixture.field import inside, planes_for, smooth
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.several import e_steps
from dask_gmm.mixture.survey import Survey, SurveyPlan, survey
from dask_gmm.run.job import Job
from dask_gmm.run.progress import USUAL_PASSES
from dask_gmm.run.scoring import with_scores
from dask_gmm.run.showing import duration
from dask_gmm.run.smoothed import tile_shape

#: Rows that are worked on at most, and cells of the leaf that are read for them.
MOST_ROWS = 4_000_000
#: Starting workers, writing model and report: seconds, on the machines that this was tried on.
AROUND = 4.0


@dataclass(frozen=True)
class Trial:
    """What one leaf has told.

    Attributes
    ----------
    rows : int
        That were read and worked on.
    read, survey, step : float
        Nanoseconds of one core for a row: to read it, to survey it, for a step of EM of all
        candidates that may share a reading.
    field : float
        The same of smoothing, where that is asked for.
    starts : float
        Seconds for the starts on the sample, on one core.
    n_rows : int
        Of all of the data.
    passes : int
        Readings that are assumed.
    scoring : int
        Those among them that quantiles of features take.
    at_a_time : int
        Tasks that are assumed to run at a time.
    seconds : float
        What all of it comes to.
    """

    rows: int
    read: float
    survey: float
    step: float
    field: float
    starts: float
    n_rows: int
    passes: int
    scoring: int
    at_a_time: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, and how they were come by."""
        return {**asdict(self), "said": self.sentence()}

    def sentence(self) -> str:
        """Say what the time is made of, and what it does not know."""
        smoothed = f", smoothing {self.field:,.0f}" if self.field else ""
        before = "quantiles and survey" if self.scoring else "the survey"
        return (
            f"about {duration(self.seconds)}: {self.rows:,} rows were read here at "
            f"{self.read:,.0f} ns a row and surveyed at {self.survey:,.0f}; a step of EM took "
            f"{self.step:,.0f} ns a row{smoothed}; {self.passes} readings of {self.n_rows:,} rows "
            f"by {self.at_a_time} task{'s' if self.at_a_time > 1 else ''} at a time ({before}, "
            f"{self.passes - self.scoring - 2} of EM as is usual, one to write), "
            f"{duration(self.starts)} for the starts. EM may take more readings or fewer, other "
            "machines another pace"
        )


def try_one_leaf(job: Job) -> Trial:
    """Read a leaf from the middle of the data and work on it, in this process.

    Raises
    ------
    InputDataError
        If it cannot be read, or holds no rows that could take part.
    """
    config, plan = job.config, job.plan
    cells, rows = _cells_tried(job)
    with one_blas_thread():
        # Quantiles of these cells alone: to apply them takes what those of all the data would.
        job, n_scoring = with_scores(
            job, lambda source: Passes.over_source(source, [cells], "synchronous")
        )
        source = job.source
        read = _timed(lambda: _pass(job, cells, _look))
        drawn = SurveyPlan(plan.n_features, plan.sample_rows, 0, plan.n_rows, 0)
        _pass(job, cells[:1], survey, drawn)  # what is compiled at first use is not the pace
        seen: list[Survey] = []
        surveyed = _timed(lambda: seen.append(_pass(job, cells, survey, drawn)))
        sample = seen[0].sample
        largest = max(K for _, K in config.model.kinds)
        if len(sample.rows) < largest:
            raise InputDataError(
                f"{source.where(cells[0], cells[-1])}: fewer than {largest} rows of it take part, "
                "so that nothing can be tried on it; leave out --trial"
            )
        unit = seen[0].moments.deviations if config.standardize else np.ones(plan.n_features)
        unit = np.where(unit > 0, unit, 1.0)
        isotropic = any(family(name).isotropic for name, _ in config.model.kinds)
        frame = Frame.of_sample(sample.rows, unit=unit, isotropic=isotropic)
        began = time.perf_counter()
        starts = [_start(job, frame, name, K, sample) for name, K in config.model.kinds]
        per_start = (time.perf_counter() - began) / len(starts)
        mixtures = tuple(starts)
        _pass(job, cells[:1], e_step, mixtures[0], frame)
        if len(mixtures) == 1:
            step = _timed(lambda: _pass(job, cells, e_step, mixtures[0], frame))
        else:
            step = _timed(lambda: _pass(job, cells, e_steps, mixtures, frame))
        pace = _Pace(rows, read, surveyed, step, _field(job, largest), per_start)
    return _together(job, pace, min(n_scoring, 1))


@dataclass(frozen=True)
class _Pace:
    """Seconds of one core: for the rows, the field's for one row, and for a start."""

    rows: int
    read: float
    surveyed: float
    step: float
    field: float
    start: float


def _cells_tried(job: Job) -> tuple[range, int]:
    """Return cells of the leaf in the middle, and their rows: at most so many, but one cell."""
    leaf = job.plan.leaves[len(job.plan.leaves) // 2]
    n_cells = rows = 0
    for cell in leaf:
        n = job.source.grid.n_rows(cell)
        if n_cells and rows + n > MOST_ROWS:
            break
        n_cells, rows = n_cells + 1, rows + n
    return leaf[:n_cells], rows


def _together(job: Job, pace: _Pace, n_scoring: int) -> Trial:
    config, plan, rows = job.config, job.plan, pace.rows
    several = len(config.model.kinds) > 1
    em = min(USUAL_PASSES, config.model.max_iter)
    passes = n_scoring + 2 + em + several
    if config.fit.max_passes is not None:
        passes = min(passes, config.fit.max_passes)
    at_a_time = min(_tasks_at_a_time(job), len(plan.leaves))
    n_starts = 0 if job.start is not None else len(config.model.kinds) * config.model.n_init
    # EM on the sample takes some tens of steps; a start's own cost is that of k-means.
    starts = n_starts * (pace.start + 30 * pace.step * plan.sample_rows / rows) / at_a_time
    # The segmentation's arithmetic is a step's, and it writes.
    one_core = (1 + n_scoring) * pace.surveyed + (passes - n_scoring - 1) * pace.step
    one_core += pace.field * rows
    seconds = one_core * plan.n_rows / rows / at_a_time + starts + AROUND
    nano = 1e9 / rows
    return Trial(
        rows=rows,
        read=pace.read * nano,
        survey=max(pace.surveyed - pace.read, 0.0) * nano,
        step=max(pace.step - pace.read, 0.0) * nano,
        field=pace.field * 1e9,
        starts=starts,
        n_rows=plan.n_rows,
        passes=passes,
        scoring=n_scoring,
        at_a_time=at_a_time,
        seconds=seconds,
    )


def _tasks_at_a_time(job: Job) -> int:
    """Return how many tasks will run at a time, as far as the configuration says."""
    cluster = job.config.cluster
    n = getattr(cluster, "n_workers", None)
    threads = 1 if cluster.kind == "threads" else cluster.tasks_per_worker
    if cluster.kind not in ("local", "threads"):
        return threads * (n if isinstance(n, int) else 1)
    if not isinstance(n, int):
        limit = cluster.memory_per_worker if cluster.kind == "local" else None
        n = fitting_workers(threads, limit)
    # More tasks than cores of one machine are no quicker.
    return min(n * threads, cores())


def _pass(job: Job, cells: Sequence[int], function: Callable[..., Any], *arguments: Any) -> Any:
    with closing(read_cells(job.source, cells)) as blocks:
        return function(blocks, *arguments)


def _field(job: Job, K: int) -> float:
    """Return the seconds of one core in which a pixel is smoothed; 0 where none is.

    A tile of noise is, of which no part comes to rest before the last iteration.
    """
    asked, member = job.plan.smoothing, members_of(job.source)[0]
    if asked is None or not isinstance(member.grid, Grid):
        return 0.0
    field, grid = asked.field_of(member), member.grid
    halo = field.halo(len(grid.shape))
    cell = [min(c, n) for c, n in zip(grid.chunks, grid.shape, strict=True)]
    tile = tile_shape(cell, halo, K)
    outer = [min(t + 2 * h, n) for t, h, n in zip(tile, halo, grid.shape, strict=True)]
    planes = planes_for(K, outer, field)
    noise = np.random.default_rng(0).dirichlet(np.ones(K), outer)
    inside(planes, field)[...] = np.moveaxis(noise, -1, 0)
    smooth(planes[..., :4, :4], field)  # what is compiled at first use is not the pace
    return _timed(lambda: smooth(planes, field)) / math.prod(tile)


def _look(blocks: Iterable[Cell]) -> int:
    return sum(len(block.values) for block in blocks)


def _start(job: Job, frame: Frame, name: str, K: int, sample: Any) -> Any:
    floor = frame.floor(np.full(frame.D, 1e-6))
    steps = affordable_steps(family(name), K, frame.D, len(sample.rows))
    drawn = job.config.model.init
    # Where a model is gone on from, any mixture tells what a step takes.
    plan = StartPlan(name, K, drawn if isinstance(drawn, str) else "kmeans", frame, floor, steps)
    return start_parameters(plan, sample.rows, sample.weights, np.random.RandomState(0))


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
