"""One run from its configuration to a finished directory.

Deciding that nothing needs to be done must be quick: what only the work needs is imported there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dask_gmm
from dask_gmm.data.features import with_features
from dask_gmm.data.features.resolving import require_bands
from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sources import MaskOptions, Source, open_source
from dask_gmm.data.sources.opening import Likeness
from dask_gmm.errors import InputDataError
from dask_gmm.recipes.stored import Kept, kept_of
from dask_gmm.run import logs
from dask_gmm.run.clock import Clock
from dask_gmm.run.config import Config
from dask_gmm.run.directory import CHECKPOINT, RunDirectory, disk_errors
from dask_gmm.run.forms import check_outputs, check_shapes
from dask_gmm.run.progress import Callback, Tracker
from dask_gmm.run.standing import goes_on, stands_by_configuration, stands_by_data
from dask_gmm.run.unfinished import write_identity

if TYPE_CHECKING:
    from dask_gmm.mixture.parameters import Parameters
    from dask_gmm.model_file import Model
    from dask_gmm.run.numbering import Numbering
    from dask_gmm.run.plan import RunPlan

#: What programs of users may rely on.
__all__ = ["Given", "Job", "Outcome", "plan_configured", "run_configured"]

log = logging.getLogger(__name__)

#: Types that a model may say it was fitted to.
DTYPES = tuple(np.dtype(code).name for code in "?bhilqBHILQefd")
#: What a finished run holds besides its outputs and its manifest.
FILES = (
    "config.yaml",
    "model.safetensors",
    "model.json",
    "history.jsonl",
    "report.html",
    "figures",
    CHECKPOINT,
)


@dataclass(frozen=True)
class Given:
    """A model that is there, to be applied.

    Attributes
    ----------
    model : Model
    path : str
        Where it lies, as it was named.
    checksum : str
        Of its file.
    """

    model: Model
    path: str
    checksum: str

    @property
    def kept(self) -> Kept | None:
        """What the model knows of its features; None: they are bands.

        Raises
        ------
        InputDataError
            If that cannot be read.
        """
        known = self.model.information.get("features")
        try:
            return None if known is None else kept_of(known)
        except ValueError as error:
            raise InputDataError(
                f"{self.path}: the model's features cannot be read ({error}); fit it again"
            ) from error

    @property
    def likeness(self) -> Likeness:
        """What inputs must be like."""
        known, kept = self.model.information.get("dtype"), self.kept
        dtype = np.dtype(known) if known in DTYPES else None
        if kept is not None:
            return Likeness(self.path, len(kept.bands), kept.bands, dtype)
        return Likeness(self.path, self.model.parameters.D, self.model.feature_names, dtype)


@dataclass(frozen=True)
class Job:
    """What is to be done, all of it known before a row is read.

    Attributes
    ----------
    config : Config
    source : Source
    plan : RunPlan
        With the input's manifest.
    numbering : Numbering
        How classes get their labels.
    given : Given or None
        The model that is to be applied; None: one is fitted.
    start : Parameters or None
        Where the fit starts, in original units; None: where the sample's rows say.
    """

    config: Config
    source: Source
    plan: RunPlan
    numbering: Numbering
    given: Given | None = None
    start: Parameters | None = None

    @property
    def run_id(self) -> str:
        """What identifies a result."""
        return run_id(self.config, self.plan.manifest)


@dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes
    ----------
    run_dir : Path
    manifest : mapping
        The content of ``manifest.json``.
    skipped : bool
        True where a finished run was found and nothing was done.
    """

    run_dir: Path
    manifest: dict[str, Any]
    skipped: bool

    def require_every_input(self) -> None:
        """Raise where some of many inputs have no result; the others have theirs.

        Raises
        ------
        InputDataError
        """
        inputs = self.manifest["inputs"]
        failed = [each for each in inputs if each.get("failure") is not None]
        if failed:
            named = "\n".join(each["failure"] for each in failed)
            raise InputDataError(
                f"{len(failed):,} of {len(inputs):,} inputs have no result; all others are in "
                f"{self.run_dir}\n{named}"
            )


def plan_configured(config: Config) -> Job:
    """Open the configuration's source and work out the run's numbers; only metadata are read.

    Parameters
    ----------
    config : Config

    Returns
    -------
    Job

    Raises
    ------
    ConfigurationError, InputDataError
        If the source cannot be used as it is configured.
    """
    return _planned(config, *open_configured(config))


def run_configured(
    config: Config,
    command: str | None = None,
    given: Given | None = None,
    *,
    progress: Callback | None = None,
) -> Outcome:
    """Carry out a configuration, or what an earlier process has left to do of it.

    Parameters
    ----------
    config : Config
    command : str, optional
        What starts this run, to be told to whoever asks how an interrupted one goes on.
    given : Given, optional
        A model to be applied in the place of one that is fitted.
    progress : callable, optional
        Is told how far the run is, by a :class:`dask_gmm.run.progress.Progress`: at every step,
        when a reading begins and ends, and up to ten times a second between. What it raises ends
        the run, which then can be gone on with.

    Returns
    -------
    Outcome

    Raises
    ------
    DaskGmmError
        With the exit code that the command line ends with.
    """
    clock = Clock(tracker=None if progress is None else Tracker(progress))
    config = _with_prior(config) if given is not None else with_models(config)
    directory = RunDirectory(config.paths(clock.started.astimezone()).run_dir)
    finished = directory.manifest()
    stands = finished is not None and stands_by_configuration(finished, config, directory)
    if finished is not None and stands:
        return _nothing_to_do(directory, finished)
    with clock.step("look at the input"):
        source, manifest = open_configured(config, given)
        logs.name_run(run_id(config, manifest))
    if finished is not None and stands is None:
        if stands_by_data(finished, manifest, directory):
            return _nothing_to_do(directory, finished)
        log.info("%s: something is missing of the finished run; it runs again", directory.path)
    with clock.step("plan"):
        job = _planned(config, source, manifest, given)
        job.plan.require_fit()
    with directory.locked():
        return Outcome(directory.path, _worked(job, directory, clock, command), skipped=False)


def run_id(config: Config, manifest: InputManifest) -> str:
    """Return what identifies a result: a hash of configuration, input and version."""
    parts = (config.hash(), manifest.fingerprint, dask_gmm.__version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def with_models(config: Config) -> Config:
    """Return a configuration that knows the content of the models that it names."""
    config = _with_prior(config)
    named = {"align_to": config.classes.reference, "init": config.model.reference}
    paths = {key: path for key, path in named.items() if path is not None}
    if not paths:
        return config
    from dask_gmm.run.numbering import located_model, model_checksum

    return config.knowing(
        {key: model_checksum(located_model(config, path)) for key, path in paths.items()}
    )


def _with_prior(config: Config) -> Config:
    """Return a configuration that knows the content of the prior maps that it names."""
    if config.smoothing is None or config.smoothing.spatial.prior is None:
        return config
    from dask_gmm.data.priors import PriorMaps
    from dask_gmm.run.smoothing import opened_prior

    maps = opened_prior(config)
    return config.knowing({"prior": PriorMaps(maps).fingerprint})


def open_configured(config: Config, given: Given | None = None) -> tuple[Source, InputManifest]:
    """Open what a configuration reads, and describe it; only metadata are read.

    Of many inputs to which a given model is applied, those that it does not fit or that cannot be
    opened are left out and named.
    """
    check_outputs(config)
    where = config.source
    mask = None if where.mask is None else MaskOptions(where.mask.path, where.mask.keep)
    source = open_source(
        where.kind,
        where.path,
        variable=where.variable,
        feature_axis=where.feature_axis,
        missing_chunks=where.missing_chunks,
        columns=where.columns,
        weights=where.weights,
        keep=config.outputs.keep,
        mask=mask,
        nodata=where.nodata,
        storage_options=where.storage_options,
        directory=config.directory,
        like=None if given is None else given.likeness,
    )
    check_shapes(config, source)
    if config.smoothing is not None:
        from dask_gmm.run.smoothing import check_neighbours

        check_neighbours(config, source)
    recipes = config.features
    if given is not None and (kept := given.kept) is not None:
        require_bands(kept, source, given.path)
        recipes = kept.recipes
    source = with_features(source, recipes, _shown_path(config))
    return source, source.manifest()


def _shown_path(config: Config) -> str:
    path = config.source.path
    return path if isinstance(path, str) else f"{path[0]} and others"


def _planned(
    config: Config, source: Source, manifest: InputManifest, given: Given | None = None
) -> Job:
    from dask_gmm.run.model_start import configured_start
    from dask_gmm.run.numbering import Numbering, require_features
    from dask_gmm.run.plan import plan_run

    plan = plan_run(config, source, manifest)
    if given is None:
        numbering = Numbering.configured(config, source)
        return Job(config, source, plan, numbering, start=configured_start(config, source))
    require_features(given.model, source, given.path)
    return Job(config, source, plan, Numbering(), given)


def _nothing_to_do(directory: RunDirectory, finished: dict[str, Any]) -> Outcome:
    logs.name_run(str(finished.get("run_id")))
    log.info("%s: finished earlier; nothing to do", directory.path)
    return Outcome(directory.path, finished, skipped=True)


def _worked(job: Job, directory: RunDirectory, clock: Clock, command: str | None) -> dict[str, Any]:
    """Do the work, or what is left of it, in a directory that is held; return the manifest."""
    # Outputs of a table may share a path.
    paths = dict.fromkeys(output.path for output in job.config.written().values())
    names = (*paths, *FILES)
    if directory.complete_run_id() == job.run_id:
        log.info("%s: all was written earlier, and is moved to its place", directory.path)
        return _moved(directory, names)
    from dask_gmm.run.checkpoint import Checkpoint
    from dask_gmm.run.work import carry_out

    identity = _identity(job, directory, command)
    anew = not goes_on(directory.checkpoint, identity, job.config, job.plan.manifest)
    with disk_errors(directory.path):
        directory.begin(names, anew=anew)
        directory.checkpoint.mkdir(exist_ok=True)
        write_identity(directory.checkpoint, identity)
    checkpoint = Checkpoint(directory.checkpoint)
    manifest = carry_out(job, directory.partial, clock, checkpoint, logs.settings())
    with disk_errors(directory.path):
        directory.settle(names, manifest)
    return _moved(directory, names)


def _moved(directory: RunDirectory, names: Sequence[str]) -> dict[str, Any]:
    """Move to its place what is all written; return the manifest."""
    from dask_gmm.run.checkpoint import Checkpoint

    with disk_errors(directory.path):
        Checkpoint(directory.checkpoint).close()
        return directory.complete(names)


def _identity(job: Job, directory: RunDirectory, command: str | None) -> dict[str, Any]:
    """Return what must be the same for a run to go on from another's checkpoint, and what helps."""
    return {
        "run_id": job.run_id,
        "version": dask_gmm.__version__,
        "configuration_hash": job.config.hash(),
        "configuration": job.config.redacted(),
        "fingerprint": job.plan.manifest.fingerprint,
        "run_dir": str(directory.path),
        "leaves": len(job.plan.leaves),
        "command": command,
    }
