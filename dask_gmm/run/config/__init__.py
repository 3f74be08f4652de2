"""One run's configuration: a YAML file read, checked and frozen.

>>> config = load_config("configs/blue-marble.yaml", overrides=["model.n_components=8"])
>>> config.model.n_components
8
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config.clusters import Cluster, Local
from dask_gmm.run.config.document import KeyPath
from dask_gmm.run.config.environment import substitute
from dask_gmm.run.config.features import Features
from dask_gmm.run.config.misfits import misfits
from dask_gmm.run.config.overrides import apply_override
from dask_gmm.run.config.problems import Judge, Problem, report
from dask_gmm.run.config.secrets import all_hidden
from dask_gmm.run.config.sections import (
    TOP_LABELS,
    Classes,
    Fit,
    Model,
    Output,
    Outputs,
    Section,
    Select,
    Smoothing,
    Source,
    beside,
)
from dask_gmm.run.config.values import RunDir, RunName, expand_placeholders
from dask_gmm.run.config.yaml_reader import read_yaml

__all__ = ["Config", "RunPaths", "config_schema", "load_config"]


@dataclass(frozen=True)
class RunPaths:
    """The absolute paths of one run.

    Attributes
    ----------
    run_dir
        The run's directory.
    sources
        The data that it reads: absolute paths, globs among them, and URLs as they are.
    outputs
        Where each output is written, by its name in the configuration.
    beside
        The arrays of weights and mask, likewise.
    """

    run_dir: Path
    sources: tuple[str, ...]
    outputs: Mapping[str, Path]
    beside: tuple[str, ...] = ()


class Config(Section):
    """A configuration, version 1; attributes are the YAML's keys."""

    version: Annotated[int, Field(ge=1, le=1, examples=[1])]
    """The version of this format."""
    name: RunName = Field(examples=["blue-marble"])
    """The run's name."""
    run_dir: RunDir = Field(examples=["runs/{name}"])
    """The run's directory; may hold {name}, {date} and {time}."""
    source: Source
    """What is read."""
    features: Features = None
    """What is made of the bands that are read; null: the bands are the features."""
    standardize: bool = True
    """Whether the model frame is z-scores instead of original units."""
    model: Model
    """The mixture, and how it is estimated."""
    fit: Fit = Fit()
    """How the passes over the data are spent."""
    select: Select = Select()
    """How one of several candidates is chosen."""
    smoothing: Smoothing | None = None
    """What is done to the probabilities before anything is written."""
    classes: Classes = Classes()
    """How the classes are numbered."""
    outputs: Outputs = Outputs()
    """What is written beside the model."""
    cluster: Cluster = Local()
    """Where the work is done."""
    if_exists: Literal["error", "skip", "resume", "overwrite"] = "resume"
    """What to do where the run's directory exists."""

    _directory: Path = PrivateAttr(default_factory=Path.cwd)
    _templates: dict[KeyPath, str] = PrivateAttr(default_factory=dict)
    _models: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def directory(self) -> Path:
        """The directory to which run_dir and source.path are relative."""
        return self._directory

    def paths(self, started: datetime) -> RunPaths:
        """Return the run's absolute paths, with {name}, {date} and {time} filled in.

        Parameters
        ----------
        started
            The moment that gives {date} (2026-11-23) and {time} (140509).

        Returns
        -------
        RunPaths
        """
        run_dir = self._absolute(expand_placeholders(self.run_dir, self.name, started))
        outputs = {name: run_dir / output.path for name, output in self.written().items()}
        path = self.source.path
        listed = (path,) if isinstance(path, str) else path
        sources = tuple(self._located(each.removeprefix("file://")) for each in listed)
        source = self.source
        # Of a table the weights are a column.
        weights = None if source.kind == "parquet" else source.weights
        named = (weights, None if source.mask is None else source.mask.path)
        beside = tuple(self._located(each.removeprefix("file://")) for each in named if each)
        return RunPaths(run_dir, sources, outputs, beside)

    def written(self) -> dict[str, Output]:
        """Return the outputs that are to be written, each of its own kind, by name, in order.

        With the probabilities of the most probable classes come, as ``top_labels``, their labels:
        beside them, or in a table as columns of the same files.

        Returns
        -------
        dict of Output
        """
        found = dict[str, Output]()
        for name, output in self.outputs.written().items():
            kind = self.source.kind if output.kind == "same" else output.kind
            found[name] = output.model_copy(update={"kind": kind})
            if name == "probabilities" and self.outputs.top is not None:
                path = output.path if kind == "parquet" else beside(output.path, TOP_LABELS)
                found["top_labels"] = Output(kind=kind, path=path)
        return found

    def output_kind(self, name: str) -> str:
        """Return the storage format of an output.

        Parameters
        ----------
        name
            Of the output: ``labels``.

        Returns
        -------
        str
        """
        return self.written()[name].kind

    def redacted(self) -> dict[str, Any]:
        """Return the configuration with all defaults as plain values that may be shown and stored.

        Values that came from the environment appear as the ``${NAME}`` that was written, other
        storage options as ``***``: nobody can tell a credential by its name.

        Returns
        -------
        dict
        """
        plain: dict[str, Any] = self.model_dump(mode="json")
        plain["source"]["storage_options"] = all_hidden(plain["source"]["storage_options"])
        for path, template in self._templates.items():
            inner = plain
            for step in path[:-1]:
                inner = inner[step]  # type: ignore[index]
            inner[path[-1]] = template  # type: ignore[index]
        plain["cluster"] = self.cluster.shown(plain["cluster"])
        return plain

    def hash(self) -> str:
        """Return the sha256 (hex) of everything in the configuration that determines the result.

        That is every key with its default and with environment variables put in, except ``name``,
        ``run_dir``, ``if_exists``, ``cluster`` and ``source.storage_options`` (which say where and
        how, not what), and as written: ``source.path`` is not made absolute. Of models that it
        names the content counts, as far as it is known.

        Returns
        -------
        str
        """
        where = {"name", "run_dir", "if_exists", "cluster"}
        plain = self.model_dump(mode="json", exclude=where)
        del plain["source"]["storage_options"]
        if self._models:
            plain["models"] = self._models
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def knowing(self, models: Mapping[str, str]) -> Config:
        """Return the same configuration, which knows the checksums of models by what they do.

        Parameters
        ----------
        models
            Checksums: ``{"align_to": ...}``.

        Returns
        -------
        Config
        """
        config = self.model_copy()
        config._models = {**self._models, **models}
        return config

    def _located(self, path: str) -> str:
        return path if "://" in path else str(self._absolute(path))

    def _absolute(self, path: str) -> Path:
        # normpath, not resolve: no look at the file system, and links stay what they are called.
        return Path(os.path.normpath(self._directory / path))

    def __repr_args__(self) -> Any:
        # Messages, logs and tracebacks show a configuration as it may be shown.
        yield from self.redacted().items()


def load_config(
    path: str | Path,
    *,
    directory: Path | None = None,
    overrides: Sequence[str] = (),
    model: str | None = None,
) -> Config:
    """Read and check one configuration file; the data themselves are not looked at.

    Parameters
    ----------
    path
        The YAML file, relative to the process's working directory.
    directory
        What run_dir and source.path are relative to (``-C DIR``); the working directory if None.
    overrides
        ``key.path=value`` arguments of ``--set``, each put over what is there before.
    model
        The section ``model``, as such an argument, where the file has none.

    Returns
    -------
    Config

    Raises
    ------
    ConfigurationError
        One line per problem: ``FILE:LINE:COL: key.path: found ...; allowed ...; did you mean ...?``
        (``--set key.path=value`` in the place of file, line and column for an override).
    """
    document = read_yaml(Path(path))
    if model is not None and isinstance(document.value, dict) and "model" not in document.value:
        document = apply_override(document, model)
    for argument in overrides:
        document = apply_override(document, argument)
    substitution = substitute(document, os.environ)
    judge = Judge(substitution.document, substitution.templates, _schema())
    problems = list(substitution.problems)
    try:
        config = Config.model_validate(substitution.document.value)
    except ValidationError as error:
        problems += judge.invalid(error, problems)
    else:
        config._directory = Path(os.path.normpath(Path.cwd() / (directory or ".")))
        config._templates = substitution.templates
        problems += [*_misplaced(config, judge), *misfits(config, judge)]
    if problems:
        raise ConfigurationError(report(problems, document))
    return config


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration, for editors and for the words of errors.

    Returns
    -------
    dict
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **deepcopy(_schema())}


@cache
def _schema() -> dict[str, Any]:
    return Config.model_json_schema()


def _misplaced(config: Config, judge: Judge) -> list[Problem]:
    """Refuse a run_dir whose clearing could destroy the input or the user's other files."""
    paths = config.paths(datetime.now())
    run_dir = paths.run_dir
    if config.directory.is_relative_to(run_dir):
        return [
            judge.refused(
                ("run_dir",), "a directory of its own, below or beside the working directory"
            )
        ]
    named = {"classes.align_to": config.classes.reference, "model.init": config.model.reference}
    for key, model in named.items():
        if model is not None and config._absolute(model).is_relative_to(run_dir):
            return [judge.refused(("run_dir",), f"a directory apart from that of {key}")]
    for path in paths.sources + paths.beside:
        # Whatever a glob matches lies below the part in front of its first wildcard.
        source = Path(re.split(r"[*?\[]", path)[0])
        if source.is_relative_to(run_dir) or run_dir.is_relative_to(source):
            return [
                judge.refused(("run_dir",), "a directory apart from source.path and all inputs")
            ]
    return []
