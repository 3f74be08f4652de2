"""What the kinds of ``cluster`` have in common: certificates, numbers of workers, waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from dask_gmm.run.config.secrets import HIDDEN, without_secrets
from dask_gmm.run.config.sections import Section
from dask_gmm.run.config.values import AFew, AtLeastOne, ByteSize, Text, refusal

GIB = 2**30


def _named(variables: dict[str, Any]) -> dict[str, Any]:
    # Refused as a whole: a message about one of them would show what it holds.
    if not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in variables):
        raise refusal("names of letters, digits and _ that begin with no digit")
    return variables


Variables: TypeAlias = Annotated[dict[str, str | int | float], AfterValidator(_named)]
"""Environment variables, which may hold secrets."""


class Tls(Section):
    """Certificates, as files."""

    ca_file: Text = Field(examples=["ca.pem"])
    """The authority that scheduler and workers are signed by."""
    cert: Text = Field(examples=["client.pem"])
    """This side's certificate."""
    key: Text | None = None
    """Its private key; null: in the same file."""


class Adapt(Section):
    """As many workers as there is work for."""

    minimum: AFew = 1
    """The smallest number of workers."""
    maximum: AFew = Field(examples=[8])
    """The largest number of workers."""

    @field_validator("maximum")
    @classmethod
    def _not_below_minimum(cls, maximum: int, info: ValidationInfo) -> int:
        if maximum < info.data.get("minimum", 1):
            raise refusal("an integer >= cluster.adapt.minimum")
        return maximum


class ClusterSection(Section):
    """What every kind of cluster answers to whoever plans a run."""

    paths: ClassVar[frozenset[str]] = frozenset()

    kind: str

    def shown(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Return this section's plain values as they may be shown and stored."""
        return {key: _shown(key, value) for key, value in plain.items()}

    @property
    def memory_per_worker(self) -> int | None:
        """Bytes that a worker may hold; None where that is not known before it is reached."""
        return getattr(self, "memory_limit", None)

    @property
    def tasks_per_worker(self) -> int:
        """Tasks that a worker carries out at a time."""
        return getattr(self, "threads_per_worker", 1)

    def arguments(self, directory: Path) -> dict[str, Any]:
        """Return the section's keys and values, paths made absolute.

        Parameters
        ----------
        directory : Path
            What paths are relative to.
        """
        values = self.model_dump(exclude={"kind"})
        for inner, key in _paths_in(self, values):
            inner[key] = str(directory / inner[key])
        return values


def _paths_in(
    section: ClusterSection, values: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (mapping, key) for every path among a section's values."""
    files = values.get("tls") or {}
    yield from ((files, key) for key, path in files.items() if path is not None)
    yield from ((values, key) for key in section.paths if values[key] is not None)


def _shown(key: str, value: Any) -> Any:
    if key == "environment":  # whatever it is called
        return dict.fromkeys(value, HIDDEN)
    if key == "tls":  # its key is the name of a file
        return value
    return without_secrets({key: value})[key]


class Scaled(ClusterSection):
    """A cluster that this run starts, of a number of workers that may change."""

    n_workers: AFew | None = None
    """How many workers; null: one, or as adapt says."""
    adapt: Adapt | None = None
    """A number of workers that follows the work, instead of n_workers."""

    @model_validator(mode="after")
    def _one_number(self) -> Any:
        if self.adapt is not None and isinstance(self.n_workers, int):
            raise refusal("either n_workers or adapt", "adapt")
        return self

    def arguments(self, directory: Path) -> dict[str, Any]:
        """Return the section's keys and values, paths made absolute."""
        values = super().arguments(directory)
        return {**values, "n_workers": values["n_workers"] or 1}


class Started(Scaled):
    """A cluster that this run starts, of workers whose size it decides."""

    threads_per_worker: AFew = 1
    """Threads of each worker; processes gain more than threads."""
    memory_limit: ByteSize | None = 2 * GIB
    """Bytes per worker."""


class Reached(ClusterSection):
    """What all clusters have in common that lie elsewhere."""

    allow_insecure: bool = False
    """Whether a scheduler may be used that anybody on its network can use too."""
    timeout: AtLeastOne = 60
    """Seconds to wait for a first worker, and for another one when all have gone."""
