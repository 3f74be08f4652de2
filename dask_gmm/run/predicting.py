"""Applying a model that exists to other inputs: what a run does after its fit, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask_gmm.data.sources.opening import STEM
from dask_gmm.engine.cluster import Workers
from dask_gmm.errors import ConfigurationError
from dask_gmm.mixture.views import views_of
from dask_gmm.model_file import Model
from dask_gmm.recipes import Recipe
from dask_gmm.run import record
from dask_gmm.run.checkpoint import Checkpoint
from dask_gmm.run.clock import Clock
from dask_gmm.run.config import Config, load_config
from dask_gmm.run.job import Given, Job, Outcome, run_configured
from dask_gmm.run.numbering import model_checksum
from dask_gmm.run.outputs import describe_outputs
from dask_gmm.run.progress import Callback
from dask_gmm.run.record_inputs import of_many_inputs, shown_inputs
from dask_gmm.run.writing import Written, segment_and_write

#: Names of files that are configurations, where inputs may stand as well.
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Applied:
    """What applying a model has come to.

    Attributes
    ----------
    given : Given
    written : Written
    """

    given: Given
    written: Written

    def history(self, clock: Clock) -> list[dict[str, Any]]:
        """Return nothing: nothing was fitted."""
        return []

    def model(self, job: Job) -> Model:
        """Return the model, as it was given: the directory holds what its labels come from."""
        return self.given.model

    def manifest(self, job: Job, clock: Clock) -> dict[str, Any]:
        """Return the manifest, with the timings so far."""
        model, segmented, config = self.given.model, self.written.segmented, job.config
        mixture = model.parameters
        return {
            **record.heading(job, segmented, clock),
            "inputs": shown_inputs(job, segmented),
            "applied": {"model": self.given.path, "checksum": self.given.checksum},
            "rows": segmented.total.to_json(),
            "model": {
                **record.described(model, segmented),
                "standardize": model.information.get("standardize"),
            },
            "classes": record.class_table(mixture, segmented),
            "fit": {
                "stopped_by": f"nothing was fitted: the classes are those of {self.given.path}",
                "converged": bool(model.information.get("converged", True)),
                "n_iter": 0,
                "passes": {"survey": 0, "em": 0, "select": 0, "predict": 1, "total": 1},
                "leaves": len(job.plan.leaves),
            },
            "outputs": describe_outputs(config, job.source, mixture.K, segmented),
            "warnings": list(of_many_inputs(job, segmented)),
            "timings": list(clock.timings),
        }


def apply(
    job: Job, given: Given, folder: Path, clock: Clock, checkpoint: Checkpoint, workers: Workers
) -> Applied:
    """Segment the job's source by the model that was given; write outputs below ``folder``."""
    with clock.step("segment and write"):
        mixture = given.model.parameters
        views = views_of(mixture, job.source.feature_steps, n_rows=job.plan.n_rows)
        written = segment_and_write(
            job, folder, checkpoint, workers, mixture, views, watcher=clock.tracker
        )
    return Applied(given, written)


def predict_configured(
    model: Path,
    inputs: Sequence[str],
    *,
    run_dir: str | None = None,
    directory: Path | None = None,
    overrides: Sequence[str] = (),
    command: str | None = None,
    progress: Callback | None = None,
) -> Outcome:
    """Apply a model to what a configuration reads, or to inputs read as the model's run read its.

    Of a configuration the sections ``model`` (which may be missing), ``fit``, ``select`` and
    ``classes`` say how a model is made, and this one is there: its labels are what they are.

    Parameters
    ----------
    model : Path
        A run directory, or a model's file.
    inputs : sequence of str
        A configuration alone; or paths, globs and URLs, where ``model`` is a run directory.
    run_dir : str, optional
        Where results go; with inputs it is needed.
    directory, overrides
        As of :func:`dask_gmm.run.config.load_config`.
    command : str, optional
        What starts this, to be told to whoever asks how an interrupted one goes on.
    progress : callable, optional
        See :func:`dask_gmm.run.job.run_configured`.

    Raises
    ------
    DaskGmmError
        With the exit code that the command line ends with.
    """
    path = (directory or Path()) / model
    given = Given(Model.load(path), str(model), model_checksum(path))
    more = [] if run_dir is None else [f"run_dir={json.dumps(run_dir)}"]
    if len(inputs) == 1 and inputs[0].lower().endswith(CONFIG_SUFFIXES):
        config = _loaded(Path(inputs[0]), given, directory, [*more, *overrides])
    else:
        config = _as_its_run(path, inputs, given, directory, [*more, *overrides])
    known = config.knowing({"applied": given.checksum})
    return run_configured(known, command, given, progress=progress)


def _as_its_run(
    path: Path,
    inputs: Sequence[str],
    given: Given,
    directory: Path | None,
    overrides: Sequence[str],
) -> Config:
    """Return the configuration of the model's run, with other inputs and another directory."""
    config = path / "config.yaml"
    if not config.is_file():
        raise ConfigurationError(
            f"{path}: holds no config.yaml that says how inputs are read and what is written; "
            "give a CONFIG in the place of inputs"
        )
    if not any(each.partition("=")[0].strip() == "run_dir" for each in overrides):
        raise ConfigurationError("--run-dir: is missing; name the directory for the results")
    listed = inputs[0] if len(inputs) == 1 else list(inputs)
    loaded = _loaded(config, given, directory, [f"source.path={json.dumps(listed)}", *overrides])
    source = loaded.source
    mask, weights = source.mask and source.mask.path, source.weights
    beside = [mask, None if source.kind == "parquet" else weights]  # of a table: a column
    if source.storage_options or any(each and STEM not in each for each in beside):
        raise ConfigurationError(
            f"{config}: has storage options, weights or a mask, which are those of its own input; "
            "give a CONFIG in the place of inputs"
        )
    return loaded


def _loaded(path: Path, given: Given, directory: Path | None, overrides: Sequence[str]) -> Config:
    """Return a configuration whose section ``model`` is that of the model given."""
    kind, K = given.model.covariance_type, given.model.parameters.K
    default = f"model={{n_components: {K}, covariance_type: {kind}}}"
    config = load_config(path, directory=directory, overrides=overrides, model=default)
    if (kind, K) not in config.model.kinds:
        raise ConfigurationError(
            f"{path}: model: asks for another kind of model than {given.path}, which has {K} "
            f"components with {kind} covariances; remove the section, which predict does not need"
        )
    known = {"n_components": K, "covariance_type": kind}
    update = {"model": config.model.model_copy(update=known), "features": _features(config, given)}
    return config.model_copy(update=update)


def _features(config: Config, given: Given) -> tuple[Recipe, ...] | None:
    """Return the model's features; a configuration may name them again, and no others."""
    kept = given.kept
    recipes = None if kept is None else kept.recipes
    if config.features is not None:
        own = [each.plain() for each in config.features]
        if own != [each.plain() for each in recipes or ()]:
            has = "of bands as they are" if recipes is None else "of other features"
            raise ConfigurationError(
                f"features: {given.path} is a model {has}; remove the key, the model knows its own"
            )
    return recipes
