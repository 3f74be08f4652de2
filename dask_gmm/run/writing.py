"""Segmenting: outputs are created or gone on with, written, and seen to be complete.

Of many inputs each has its own results. One that cannot be read does not keep the others from
theirs: it is named, and has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dask_gmm.data.several_cells import place_of
from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources.several import SeveralSource, members_of
from dask_gmm.engine.cluster import Workers
from dask_gmm.engine.news import Watcher
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import InputDataError
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profile import Profile
from dask_gmm.mixture.views import Views
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
from dask_gmm.run.quicklook import Look, Quicklook
from dask_gmm.run.segment import Segmentation
from dask_gmm.run.segmented import Segmented
from dask_gmm.run.stages import segment_stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What segmenting has come to.

    Attributes
    ----------
    segmented : Segmented
        Without what was written of inputs that failed later.
    quicklooks : mapping of int to Quicklook
        The report's pictures, by the number of the input.
    by_look_up : bool
        Whether distinct rows were predicted, and the others looked up.
    """

    segmented: Segmented
    quicklooks: Mapping[int, Quicklook]
    by_look_up: bool

    def profiled(self, profile: Profile) -> Written:
        """Return the same with a profile that was taken otherwise."""
        return replace(self, segmented=replace(self.segmented, profile=profile))


def segment_and_write(
    job: Job,
    folder: Path,
    checkpoint: Checkpoint,
    workers: Workers,
    mixture: Parameters,
    views: Views | None,
    table_for: Callable[[Mapping[str, Sink]], LookUp | None] = lambda sinks: None,
    watcher: Watcher | None = None,
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
    views : Views or None
        Through which the rows' profile is taken.
    table_for : callable
        From the outputs to what is said of distinct rows, if prediction looks rows up.
    watcher : Watcher, optional
        Who is told how far it is.

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
    smoothing = job.plan.smoothing
    halo = None if smoothing is None else smoothing.halo(source)
    passes = Passes.over_source(
        source, job.plan.leaves, workers.scheduler, checkpoint, halo=halo, watcher=watcher
    )
    members = members_of(source)
    looks = Look.at([each.grid.shape for each in members], source.n_features, mixture.K)
    with disk_errors(folder):
        sinks = _outputs(job, folder, checkpoint, mixture.K)
        table = table_for(sinks)
        form = forms_of(job.config, mixture.K)
        plan = Segmentation(mixture, sinks, form, looks, views, table, smoothing)
        segmented = segment_stage(passes, plan)
        if segmented.failures:
            segmented = _without_failed(job, segmented)
            sinks = leave_out(sinks, segmented.failures.keys())
        require_complete(sinks)
        finish_outputs(sinks, passes)
    seen = {
        number: look.assemble(
            *([p for p in all_ if p.input == number] for all_ in (segmented.pieces, segmented.maps))
        ).upright(members[number].geometry)
        for number, look in looks.items()
        if number not in segmented.failures
    }
    return Written(segmented, seen, table is not None)


def _outputs(job: Job, folder: Path, checkpoint: Checkpoint, K: int) -> Mapping[str, Sink]:
    """Create the outputs, or go on with those that an earlier process has created."""
    created = checkpoint.call("outputs", 0, writes=True)
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
