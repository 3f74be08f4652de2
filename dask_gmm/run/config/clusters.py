"""The ``cluster`` section: a union of sections, told apart by ``kind``.

A section's keys, apart from ``kind``, are the arguments of the function in `dask_gmm.engine` that
gets such workers ready; ``docs/how-to/clusters.md`` explains them to users.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from dask_gmm.addresses import is_encrypted, is_exposed
from dask_gmm.run.config.batch import HTCondor, Lsf, Pbs, Slurm
from dask_gmm.run.config.cluster_parts import (
    GIB,
    ClusterSection,
    Reached,
    Scaled,
    Started,
    Tls,
    Variables,
)
from dask_gmm.run.config.values import AFew, AtLeastOne, ByteSize, Text, refusal

ClassName: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        json_schema_extra={"x-allowed": "package.module.Name"},
    ),
]


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise refusal()
    return value


Url: TypeAlias = Annotated[
    Text,
    AfterValidator(_url),
    Field(json_schema_extra={"x-allowed": "a URL that begins with https:// or http://"}),
]

INSECURE = "or say allow_insecure: true, if nobody else can reach that network"


class Local(Started):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    """Where the workers are."""
    n_workers: Literal["auto"] | AFew = "auto"  # type: ignore[assignment]  # no null here
    """How many workers; auto: one per core, as far as their memory limits allow."""
    memory_limit: ByteSize | None = 2 * GIB
    """Bytes per worker; null: no limit."""

    def arguments(self, directory: Path) -> dict[str, Any]:
        """Return the section's keys and values."""
        return _none_for_auto(super().arguments(directory))


class Threads(ClusterSection):
    """Threads of this process."""

    kind: Literal["threads"]
    """Where the workers are."""
    n_workers: Literal["auto"] | AFew = "auto"
    """How many threads; auto: one per core."""

    def arguments(self, directory: Path) -> dict[str, Any]:
        """Return the section's keys and values."""
        return _none_for_auto(super().arguments(directory))


def _none_for_auto(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value == "auto" else value for key, value in values.items()}


class Address(Reached):
    """A Dask scheduler that runs already, and its workers."""

    kind: Literal["address"]
    """Where the workers are."""
    address: Text = Field(examples=["tls://scheduler:8786"])
    """The scheduler's address."""
    tls: Tls | None = None
    """The certificates for a tls:// scheduler."""

    @model_validator(mode="after")
    def _safe(self) -> Any:
        if is_exposed(self.address) and not self.allow_insecure:
            raise refusal(f"a tls:// address with cluster.tls, {INSECURE}", "address")
        if is_encrypted(self.address) and self.tls is None:
            raise refusal("a tls:// address together with cluster.tls", "address")
        if not is_encrypted(self.address) and self.tls is not None:
            raise refusal("a tls:// address where there is cluster.tls", "address")
        return self


class SchedulerFile(Reached):
    """A Dask scheduler that has written its address into a file."""

    paths = frozenset({"path"})

    kind: Literal["scheduler-file"]
    """Where the workers are."""
    path: Text = Field(examples=["scheduler.json"])
    """The file; a run waits for it as long as for a worker."""
    tls: Tls | None = None
    """The certificates for a tls:// scheduler."""


class Kubernetes(Started, Reached):
    """Pods that the Dask operator of a Kubernetes cluster starts."""

    kind: Literal["kubernetes"]
    """Where the workers are."""
    image: Text = Field(examples=["registry.example.org/dask-gmm:1"])
    """The container image, with dask-gmm in it."""
    namespace: Text | None = None
    """The namespace; null: the current one."""
    name: Text | None = None
    """The cluster's name; null: one is made up."""
    memory_limit: ByteSize = 2 * GIB
    """Bytes per worker, and what its pod asks for."""
    timeout: AtLeastOne = 600
    """Seconds to wait for a first worker, and for another one when all have gone."""
    environment: Variables = Field(default={}, repr=False)
    """Environment variables of the pods; their values are never shown."""

    @model_validator(mode="after")
    def _exposed(self) -> Any:
        if not self.allow_insecure:
            raise refusal(
                "it together with allow_insecure: true, since the operator's scheduler has no TLS "
                "and whoever reaches its pod runs code there: keep others out by a NetworkPolicy",
                "kind",
            )
        return self


class Gateway(Scaled, Reached):
    """A cluster that a Dask Gateway starts."""

    kind: Literal["gateway"]
    """Where the workers are."""
    address: Url = Field(examples=["https://gateway.example.org"])
    """The gateway's URL."""
    proxy_address: Text | None = None
    """The address of the schedulers' proxy; null: the same host."""
    auth: Literal["basic", "jupyterhub", "kerberos"] | None = None
    """How to log in; null: as Dask's own configuration says."""
    username: Text | None = None
    """The name to log in with; null: yours on this machine."""
    password: Text | None = Field(default=None, repr=False)
    """For auth: basic; never shown. Write ${NAME}."""
    token: Text | None = Field(default=None, repr=False)
    """For auth: jupyterhub; never shown. Null: $JUPYTERHUB_API_TOKEN."""
    options: dict[str, Any] = Field(default={}, repr=False)
    """What this gateway lets its users choose, such as the image."""
    timeout: AtLeastOne = 600
    """Seconds to wait for a first worker, and for another one when all have gone."""

    @model_validator(mode="after")
    def _safe(self) -> Any:
        if is_exposed(self.address) and not self.allow_insecure:
            raise refusal(f"a URL that begins with https://, {INSECURE}", "address")
        return self


class ClusterClass(Scaled, Reached):
    """Any cluster class that can be imported, of a package of your own choice."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["class"]
    """Where the workers are."""
    class_: ClassName = Field(alias="class", examples=["dask_cloudprovider.aws.FargateCluster"])
    """The class; it is imported, and so runs code: name only what you trust."""
    kwargs: dict[str, Any] = Field(default={}, repr=False)
    """What it is called with."""
    timeout: AtLeastOne = 600
    """Seconds to wait for a first worker, and for another one when all have gone."""


def _kind_of(value: Any) -> Any:
    """Return the tag of a plain value or of a section."""
    if isinstance(value, ClusterSection):
        return value.kind
    kind = value.get("kind", "local") if isinstance(value, dict) else "local"
    return kind if isinstance(kind, str) else "unknown"


Cluster: TypeAlias = Annotated[
    Annotated[Local, Tag("local")]
    | Annotated[Threads, Tag("threads")]
    | Annotated[Address, Tag("address")]
    | Annotated[SchedulerFile, Tag("scheduler-file")]
    | Annotated[Slurm, Tag("slurm")]
    | Annotated[Pbs, Tag("pbs")]
    | Annotated[Lsf, Tag("lsf")]
    | Annotated[HTCondor, Tag("htcondor")]
    | Annotated[Kubernetes, Tag("kubernetes")]
    | Annotated[Gateway, Tag("gateway")]
    | Annotated[ClusterClass, Tag("class")],
    Discriminator(_kind_of),
]
"""One of the sections above."""
