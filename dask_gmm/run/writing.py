"""Segmenting: outputs are created or gone on with, written, and seen to be complete.

Of many inputs each has its own results. One that cannot be read does not keep the others from
theirs: it is named, and has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources.several import SeveralSource, members_of, place_of
from dask_gmm.engine.cluster import Workers
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import InputDataError
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.run.checkpoint import Checkpoint
from dask_gmm.run.directory import disk_errors
from dask_gmm.run.forms import forms_of
from dask_gmm.run.job import Job
from dask_gmm.run.outputs import (
    create_sinks,
    finish_outputs,
    leave_out,
    require_complete,
)
from dask_gmm.run.quicklook import Quicklook, QuicklookPlan
from dask_gmm.run.segment import PICTURED, Segmentation, Segmented
from dask_gmm.run.stages import segment_stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What segmenting has come to.

    Attributes
    ----------
    segmented : Segmented
        Without what was written of inputs that failed later.
    quicklook : Quicklook or None
        The report's picture.
    by_look_up : bool
        Whether distinct rows were predicted, and the others looked up.
    """

    segmented: Segmented
    quicklook: Quicklook | None
    by_look_up: bool


def segment_and_write(
    job: Job,
    folder: Path,
    checkpoint: Checkpoint,
    workers: Workers,
    mixture: Parameters,
    table_for: Callable[[Mapping[str, Sink]], LookUp | None] = lambda sinks: None,
) -> Written:
    """Read everything once; label it, count it, and write it below ``folder``.

    Parameters
    ----------
    job : Job
    folder : Path
    checkpoint : Checkpoint
    workers : Workers
    mixture : Parameters
        In original units and label order.
    table_for : callable
        From the outputs to what is said of distinct rows, if prediction looks rows up.

    Raises
    ------
    InputDataError
        If the input, or every one of many, cannot be read.
    RunFailedError
        If a result cannot be written, or is gone again.
    """
    source = job.source
    if isinstance(source, SeveralSource):
        source = replace(source, tolerant=True)
    passes = Passes.over_source(source, job.plan.leaves, workers.scheduler, checkpoint)
    first = members_of(source)[PICTURED]
    look = QuicklookPlan.for_shape(first.grid.shape, first.n_features)
    with disk_errors(folder):
        sinks = _outputs(job, folder, checkpoint, mixture.K)
        table = table_for(sinks)
        plan = Segmentation(mixture, sinks, forms_of(job.config, mixture.K), look, table)
        segmented = segment_stage(passes, plan)
        if segmented.failures:
            segmented = _without_failed(job, segmented)
            sinks = leave_out(sinks, segmented.failures.keys())
        require_complete(sinks)
        finish_outputs(sinks, passes)
    picture = None
    if look is not None and PICTURED not in segmented.failures:
        picture = look.assemble(segmented.pieces).upright(first.geometry)
    return Written(segmented, picture, table is not None)


def _outputs(job: Job, folder: Path, checkpoint: Checkpoint, K: int) -> Mapping[str, Sink]:
    """Create the outputs, or go on with those that an earlier process has created."""
    created = checkpoint.call("outputs", 0)
    again = created.result is not None
    sinks = create_sinks(folder, job.config, job.source, K, again=again)
    if again:
        lost = {cell for sink in sinks.values() for cell in sink.missing_cells()}
        leaves = enumerate(job.plan.leaves)
        checkpoint.forget_parts("segment", [i for i, cells in leaves if not lost.isdisjoint(cells)])
    else:
        created.finish(value=True)
    return sinks


def _without_failed(job: Job, segmented: Segmented) -> Segmented:
    """Name the inputs that could not be read, and forget what was written of them before."""
    for number in sorted(segmented.failures):
        log.error("%s; this input has no result", segmented.failures[number])
    if len(segmented.failures) == len(members_of(job.source)):
        raise InputDataError(segmented.failures[min(segmented.failures)])
    kept = [
        each
        for each in segmented.checksums
        if place_of(job.source.grid, each[0])[0] not in segmented.failures
    ]
    return replace(segmented, checksums=tuple(kept))
