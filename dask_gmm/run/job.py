"""One run from its configuration to a finished directory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask_gmm
from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sources import Source
from dask_gmm.engine.cluster import Workers, local_workers, thread_workers
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.model_file import Model
from dask_gmm.run import record
from dask_gmm.run.config import Config, RunPaths
from dask_gmm.run.config.yaml_writer import to_yaml
from dask_gmm.run.directory import RunDirectory, disk_errors
from dask_gmm.run.outputs import create_sinks, describe_outputs
from dask_gmm.run.plan import RunPlan, open_configured, plan_run
from dask_gmm.run.report.quicklook import QuicklookPlan
from dask_gmm.run.segment import Segmented
from dask_gmm.run.stages import (
    Started,
    final_mixture,
    fit_stage,
    segment_stage,
    start_stage,
    survey_stage,
)

log = logging.getLogger(__name__)

FILES = ("config.yaml", "model.safetensors", "model.json", "history.jsonl", "report.html")


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


@dataclass
class Clock:
    """How long each step took."""

    started: datetime
    timings: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step, and say that it is done."""
        before = time.perf_counter()
        yield
        seconds = time.perf_counter() - before
        self.timings.append({"step": name, "seconds": round(seconds, 3)})
        log.info("%s: %.1f s", name, seconds)


def plan_configured(config: Config) -> tuple[Source, RunPlan]:
    """Open the source and work out the run's numbers; nothing is read but metadata."""
    paths = config.paths(datetime.now())
    source = open_configured(config, str(paths.source))
    return source, plan_run(config, source, source.manifest())


def run_configured(config: Config) -> Outcome:
    """Carry out a configuration.

    Raises
    ------
    DaskGmmError
        With the exit code that the command line ends with.
    """
    clock = Clock(datetime.now(UTC))
    paths = config.paths(clock.started.astimezone())
    directory = RunDirectory(paths.run_dir)
    source = open_configured(config, str(paths.source))
    manifest = source.manifest()
    plan = plan_run(config, source, manifest)
    plan.require_fit(config)
    with directory.locked():
        finished = directory.manifest()
        if finished is not None and _stands(finished, config, manifest, directory):
            log.info("%s: finished and unchanged; nothing to do", directory.path)
            return Outcome(directory.path, finished, skipped=True)
        names = (*FILES, *(output.path for output in config.outputs.written().values()))
        with disk_errors(directory.path):
            directory.begin(names)
        result = Run(config, paths, directory, source, plan, clock).carried_out()
        with disk_errors(directory.path):
            directory.commit(names, result)
    return Outcome(directory.path, result, skipped=False)


def _stands(
    finished: dict[str, Any], config: Config, manifest: InputManifest, directory: RunDirectory
) -> bool:
    """Tell whether a finished run is to be left as it is; refuse where ``if_exists`` says so."""
    if config.if_exists == "overwrite":
        return False
    if config.if_exists == "skip":
        return True
    if config.if_exists == "error":
        raise ConfigurationError(
            f"{directory.path}: a finished run exists; set if_exists: skip, resume or overwrite, "
            "or choose another run_dir"
        )
    if finished.get("configuration_hash") != config.hash():
        changed = ", ".join(_differences(finished.get("configuration"), config.redacted()))
        raise ConfigurationError(
            f"{directory.path}: a finished run with another configuration exists (changed: "
            f"{changed or 'a value from the environment'}); set if_exists: overwrite to replace "
            "it, or choose another run_dir"
        )
    if [each.get("fingerprint") for each in finished.get("inputs", [])] != [manifest.fingerprint]:
        raise InputDataError(
            f"{manifest.path}: the data have changed since {directory.path} was finished; set "
            "if_exists: overwrite to run again, or choose another run_dir"
        )
    return all((directory.path / each["path"]).exists() for each in finished["outputs"].values())


def _differences(before: Any, after: Any, at: str = "") -> list[str]:
    """Name the keys whose values differ and that a result depends on."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [at]
    found = list[str]()
    for key in sorted(before.keys() | after.keys()):
        if at or key not in ("name", "run_dir", "if_exists", "cluster"):
            found += _differences(before.get(key), after.get(key), f"{at}.{key}".lstrip("."))
    return found


def start_workers(config: Config) -> AbstractContextManager[Workers]:
    """Start what the configuration's ``cluster`` section names."""
    cluster = config.cluster
    if cluster.kind == "threads":
        return thread_workers(cluster.n_workers)
    return local_workers(cluster.n_workers, cluster.threads_per_worker, cluster.memory_limit)


class Run:
    """One run under way: everything is written below the directory's ``partial``."""

    def __init__(
        self,
        config: Config,
        paths: RunPaths,
        directory: RunDirectory,
        source: Source,
        plan: RunPlan,
        clock: Clock,
    ) -> None:
        self.config, self.paths, self.directory = config, paths, directory
        self.source, self.plan, self.clock = source, plan, clock
        self.partial = directory.partial

    def carried_out(self) -> dict[str, Any]:
        """Go through the stages, write everything, and return the manifest."""
        config, clock = self.config, self.clock
        with contextlib.ExitStack() as stack:
            with clock.step("start workers"):
                workers = stack.enter_context(start_workers(config))
            passes = Passes.over_source(self.source, self.plan.leaves, workers.scheduler)
            with clock.step("survey"):
                seen = survey_stage(config, self.source, passes, self.plan.sample_rows)
            with clock.step("starts on the sample"):
                started = start_stage(config, self.source, passes, seen)
            seconds = list[float]()
            with clock.step("EM over all rows"):
                observe = _observer(seconds)
                solution = fit_stage(config, passes, seen, started, observe)
            mixture, narrow = final_mixture(started, solution)
            n_em = passes.n_passes - 1
            with clock.step("segment and write"), disk_errors(self.partial):
                grid, D = self.source.grid, self.source.n_features
                written = config.outputs.written()
                sinks = create_sinks(self.partial, written, grid, mixture.K)
                look = QuicklookPlan.for_shape(grid.shape, D)
                segmented = segment_stage(passes, mixture, sinks, look)
        model = self._model(mixture, solution.converged, segmented)
        n_passes = {"survey": 1, "em": n_em, "predict": 1}
        result = {
            **self._head(),
            "rows": {
                "total": seen.n_rows,
                "masked": seen.n_rows - seen.n_used,
                "invalid": seen.n_invalid,
                "used": seen.n_used,
            },
            "model": self._model_summary(model, started, segmented),
            "classes": record.classes(mixture, segmented, narrow),
            "fit": record.fit_summary(solution, started, n_passes)
            | {"leaves": len(self.plan.leaves), "sample_rows": len(seen.sample.rows)},
            "outputs": describe_outputs(written, grid, mixture.K, segmented),
            "warnings": record.warnings_of(seen, solution, narrow, self.source.n_features),
        }
        history = record.history_lines(started, solution, seconds)
        with disk_errors(self.partial), clock.step("model and report"):
            self._write_model(model, history)
            picture = None if look is None else look.assemble(segmented.pieces)
            self._finish(result)
            self._write_report(result, history, picture)
        self._finish(result)
        return result

    def _model(self, mixture: Parameters, converged: bool, segmented: Segmented) -> Model:
        known = {
            "name": self.config.name,
            "converged": converged,
            "standardize": self.config.standardize,
            "lower_bound": segmented.log_likelihood / segmented.weight,
            "weight": segmented.weight,
            "input_fingerprint": self.plan.manifest.fingerprint,
            "version": dask_gmm.__version__,
        }
        return Model(mixture, self.config.model.covariance_type, self.source.feature_names, known)

    def _head(self) -> dict[str, Any]:
        config = self.config
        return {
            "format": "dask-gmm run manifest",
            "format_version": 1,
            "name": config.name,
            "run_id": run_id(config, self.plan.manifest),
            "version": dask_gmm.__version__,
            "status": "done",
            "started": self.clock.started.isoformat(timespec="seconds"),
            "configuration_hash": config.hash(),
            "configuration": config.redacted(),
            "inputs": [self.plan.manifest.to_json()],
            "feature_names": self.source.feature_names and list(self.source.feature_names),
            "cluster": config.cluster.model_dump(mode="json"),
            "environment": record.environment(),
        }

    def _model_summary(
        self, model: Model, started: Started, segmented: Segmented
    ) -> dict[str, Any]:
        return {
            "n_components": model.parameters.K,
            "covariance_type": model.covariance_type,
            "n_features": model.parameters.D,
            "n_parameters": model.n_parameters,
            **record.criteria(model, segmented),
            "standardize": self.config.standardize,
            "reg_covar": started.reg_covar.tolist(),
        }

    def _write_model(self, model: Model, history: list[dict[str, Any]]) -> None:
        (self.partial / "config.yaml").write_text(to_yaml(self.config.redacted()))
        model.save(self.partial / "model.safetensors")
        lines = "".join(json.dumps(each, allow_nan=False) + "\n" for each in history)
        (self.partial / "history.jsonl").write_text(lines)

    def _write_report(self, result: dict[str, Any], history: Any, picture: Any) -> None:
        from dask_gmm.run.report import render_report

        page = render_report(result, history, picture)
        (self.partial / "report.html").write_text(page, encoding="utf-8")

    def _finish(self, result: dict[str, Any]) -> None:
        result["timings"] = self.clock.timings
        result["finished"] = datetime.now(UTC).isoformat(timespec="seconds")


def _observer(seconds: list[float]) -> Any:
    """Return what notes the seconds of every full pass, and says how the likelihood stands."""
    before = time.perf_counter()

    def observe(iteration: int, mean: float) -> None:
        nonlocal before
        now = time.perf_counter()
        seconds.append(round(now - before, 4))
        before = now
        log.info("pass %d: mean log-likelihood %.6f, %.2f s", iteration, mean, seconds[-1])

    return observe


def run_id(config: Config, manifest: InputManifest) -> str:
    """Return what identifies a result: a hash of configuration, input and version."""
    text = "\n".join((config.hash(), manifest.fingerprint, dask_gmm.__version__))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
