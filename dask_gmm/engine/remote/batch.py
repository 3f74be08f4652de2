"""Jobs of a batch system, through dask-jobqueue; the scheduler runs in this process."""

from __future__ import annotations

import logging
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from dask_gmm.engine import worker_setup
from dask_gmm.engine.cluster import WORKER_ENVIRONMENT
from dask_gmm.engine.remote.meeting import Around, Meeting, security_of
from dask_gmm.engine.remote.scaling import scaled
from dask_gmm.errors import ConfigurationError, RunFailedError

#: Seconds after which a worker that finds no scheduler ends its job.
DEATH_TIMEOUT = 60
#: What a job exports: one BLAS thread, and Dask's nannies leave the allocator alone (their setting
#: makes the kernel 2.0-2.5 times slower).
NANNY_VARIABLE = "DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON"
NANNY_ENVIRONMENT = repr({**WORKER_ENVIRONMENT, "MALLOC_TRIM_THRESHOLD_": None})


def slurm_jobs(
    around: Around, *, queue: str | None, account: str | None, walltime: str, **rest: Any
) -> AbstractContextManager[Meeting]:
    """Submit jobs to SLURM."""
    from dask_jobqueue.slurm import SLURMCluster

    own = {"queue": queue, "account": account, "walltime": walltime}
    return _jobs(around, SLURMCluster, own, "see squeue and sinfo", **rest)


def pbs_jobs(
    around: Around,
    *,
    queue: str | None,
    account: str | None,
    walltime: str,
    resource_spec: str | None,
    **rest: Any,
) -> AbstractContextManager[Meeting]:
    """Submit jobs to PBS."""
    from dask_jobqueue.pbs import PBSCluster

    own = {"queue": queue, "account": account, "walltime": walltime, "resource_spec": resource_spec}
    return _jobs(around, PBSCluster, own, "see qstat", **rest)


def lsf_jobs(
    around: Around, *, queue: str | None, project: str | None, walltime: str, **rest: Any
) -> AbstractContextManager[Meeting]:
    """Submit jobs to LSF."""
    from dask_jobqueue.lsf import LSFCluster

    own = {"queue": queue, "project": project, "walltime": walltime}
    return _jobs(around, LSFCluster, own, "see bjobs and bhosts", **rest)


def htcondor_jobs(around: Around, *, disk: int, **rest: Any) -> AbstractContextManager[Meeting]:
    """Submit jobs to HTCondor."""
    from dask_jobqueue.htcondor import HTCondorCluster

    return _jobs(around, HTCondorCluster, {"disk": disk}, "see condor_q -better-analyze", **rest)


@contextmanager
def _jobs(
    around: Around,
    cluster_class: Any,
    own: Mapping[str, Any],
    look_at: str,
    *,
    n_workers: int,
    adapt: dict[str, int] | None,
    **options: Any,
) -> Iterator[Meeting]:
    command = cluster_class.job_cls.submit_command
    if shutil.which(command) is None:
        raise ConfigurationError(
            f"cluster.kind: the command {command} is not on this machine; start the run where jobs "
            "can be submitted"
        )
    refusals: list[str] = []
    options = job_options(around, **options) | {"job_cls": _noting(cluster_class.job_cls, refusals)}
    with closing(cluster_class(**own, **options)) as cluster, _without_keys(cluster):
        scaled(cluster, n_workers, adapt)
        cluster.__enter__()  # waits until the jobs are submitted
        if refusals:
            raise RunFailedError(
                f"{command} took no job: {refusals[0]}; correct what it names in the cluster "
                "section"
            )
        logs = f"{look_at}, and the jobs' logs in {options['log_directory']}"
        yield Meeting(cluster, logs, cluster.security)


def _noting(job_class: Any, refusals: list[str]) -> Any:
    """Return a job class that notes what the batch system says when it takes no job."""
    from distributed.core import Status

    class Job(job_class):  # type: ignore[misc]
        async def _submit_job(self, script_filename: str) -> Any:
            try:
                return await super()._submit_job(script_filename)
            except RuntimeError as error:
                said = str(error).partition("stderr:")[2] or str(error)
                refusals.append(" ".join(said.split()))
                self.status = Status.failed
                raise

    return Job


@contextmanager
def _without_keys(cluster: Any) -> Iterator[None]:
    """Remove the private key that dask-jobqueue wrote for the workers when the run ends."""
    try:
        yield
    finally:
        for name, file in vars(cluster).items():
            if name.startswith("_job_") and isinstance(file, tempfile._TemporaryFileWrapper):
                file.close()


def job_options(
    around: Around,
    *,
    threads_per_worker: int,
    memory_limit: int,
    workers_per_job: int,
    interface: str | None,
    python: str | None,
    job_directory: str,
    local_directory: str | None,
    environment: Mapping[str, Any],
    prologue: tuple[str, ...],
    directives: Any,
    tls: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return what every one of dask-jobqueue's classes is called with."""
    Path(job_directory).mkdir(parents=True, exist_ok=True)
    exported = {NANNY_VARIABLE: NANNY_ENVIRONMENT, **environment}
    encrypted = tls is not None or not around.allow_insecure
    return {
        "cores": workers_per_job * threads_per_worker,
        "processes": workers_per_job,
        "memory": workers_per_job * memory_limit,
        "job_name": "dask-gmm",
        "python": python,
        "interface": interface,
        "death_timeout": DEATH_TIMEOUT,
        "local_directory": local_directory,
        "log_directory": job_directory,
        "shared_temp_directory": job_directory,
        "worker_extra_args": ["--no-dashboard", "--preload", worker_setup.__name__],
        "job_script_prologue": [
            *(f"export {name}={shlex.quote(str(value))}" for name, value in exported.items()),
            *prologue,
        ],
        "job_extra_directives": directives if isinstance(directives, dict) else list(directives),
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
        # True: certificates made for this cluster, whose key only this user can read.
        "security": security_of(tls) or (True if encrypted else None),
        "silence_logs": logging.ERROR,
        "loop": around.loop,
    }
