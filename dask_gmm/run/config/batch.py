"""The ``cluster`` sections of batch systems, whose jobs dask-jobqueue submits."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from dask_gmm.run.config.cluster_parts import GIB, Reached, Started, Tls, Variables
from dask_gmm.run.config.values import AFew, AtLeastOne, ByteSize, Text

Words: TypeAlias = Annotated[tuple[Text, ...], Strict(False)]
"""A list of texts."""


class Batch(Started, Reached):
    """Workers that run as jobs of a batch system; the scheduler runs where this command does."""

    paths = frozenset({"job_directory", "local_directory"})

    memory_limit: ByteSize = 2 * GIB
    """Bytes per worker; a job asks for as much as its workers together."""
    workers_per_job: AFew = 1
    """Workers that one job holds."""
    timeout: AtLeastOne = 3600
    """Seconds to wait for a first worker, and for another one when all have gone."""
    interface: Text | None = None
    """The network interface of scheduler and workers, such as ib0; null: the default one."""
    python: Text | None = None
    """The Python on the nodes; null: the one that runs this command."""
    job_directory: Text = "dask-gmm-jobs"
    """A directory that every node sees: for the jobs' logs and, while a run lasts, certificates."""
    local_directory: Text | None = None
    """A directory on each node for what workers spill."""
    environment: Variables = Field(default={}, repr=False)
    """Environment variables of the workers; their values are never shown."""
    prologue: Words = ()
    """Shell commands before the workers start, such as module load."""
    tls: Tls | None = None
    """Certificates; null: made for this run, unless allow_insecure does without."""


class Queued(Batch):
    """A batch system with queues."""

    queue: Text | None = None
    """The queue, or partition."""
    walltime: Text = "01:00:00"
    """How long a job may last."""
    directives: Words = ()
    """More lines for the head of the job script, without the batch system's prefix."""


class Slurm(Queued):
    """Jobs of SLURM."""

    kind: Literal["slurm"]
    """Where the workers are."""
    account: Text | None = None
    """Whose budget the jobs are charged to."""


class Pbs(Queued):
    """Jobs of PBS."""

    kind: Literal["pbs"]
    """Where the workers are."""
    account: Text | None = None
    """Whose budget the jobs are charged to."""
    resource_spec: Text | None = None
    """What follows -l; null: select=1 with the cores and memory of a job."""


class Lsf(Queued):
    """Jobs of LSF."""

    kind: Literal["lsf"]
    """Where the workers are."""
    project: Text | None = None
    """Whose budget the jobs are charged to."""
    walltime: Text = "01:00"
    """How long a job may last, in hours and minutes."""


class HTCondor(Batch):
    """Jobs of HTCondor."""

    kind: Literal["htcondor"]
    """Where the workers are."""
    disk: ByteSize = GIB
    """Bytes of disk that a job asks for."""
    directives: dict[Text, str | int | float] = Field(default={})
    """More attributes for the submit file."""
