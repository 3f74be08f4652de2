"""Workers elsewhere: one short module per way to get at them, and what holds for all of them.

Only clusters that a way has started are closed; a scheduler that ran before keeps running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any

from dask_gmm.engine.cluster import Workers, apply_logging, surroundings
from dask_gmm.engine.remote.batch import htcondor_jobs, lsf_jobs, pbs_jobs, slurm_jobs
from dask_gmm.engine.remote.meeting import Around, Meeting, meet
from dask_gmm.engine.remote.named import cluster_of_class
from dask_gmm.engine.remote.running import at_address, by_scheduler_file
from dask_gmm.engine.remote.services import gateway_cluster, kubernetes_pods
from dask_gmm.errors import ConfigurationError

#: From what all ways are told, and the other keys of a section, to where a client is to connect.
Way = Callable[..., AbstractContextManager[Meeting]]

WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "address": at_address,
        "scheduler-file": by_scheduler_file,
        "slurm": slurm_jobs,
        "pbs": pbs_jobs,
        "lsf": lsf_jobs,
        "htcondor": htcondor_jobs,
        "kubernetes": kubernetes_pods,
        "gateway": gateway_cluster,
        "class": cluster_of_class,
    }
)

_PACKAGES = ("dask_jobqueue", "dask_kubernetes", "dask_gateway", "cryptography")


@contextmanager
def remote_workers(
    kind: str, options: Mapping[str, Any], log_settings: dict[str, Any] | None = None
) -> Iterator[Workers]:
    """Reach workers that are not this machine's, or not ours to start.

    Parameters
    ----------
    kind : str
        One of :data:`WAYS`.
    options : mapping
        The keys of that kind's section; ``allow_insecure`` and ``timeout`` among them.
    log_settings : dict, optional
        What ``logging.config.dictConfig`` takes: where Dask's log lines of this process go.

    Raises
    ------
    ConfigurationError
        A package is missing here or on a worker, versions do not go together, or the scheduler is
        open to a network.
    TemporaryFailureError
        No scheduler, no worker, or no worker any more.
    """
    own = dict(options)
    timeout, allow_insecure = own.pop("timeout"), own.pop("allow_insecure")
    with surroundings(log_settings) as loop, _installed(kind):
        around = Around(loop, timeout, allow_insecure)
        with WAYS[kind](around, **own) as meeting, meet(meeting, around) as workers:
            # Once more: Dask's clusters raise the level of every handler that they find.
            apply_logging(log_settings)
            yield workers


@contextmanager
def _installed(kind: str) -> Iterator[None]:
    """Say how to install what a kind of cluster needs."""
    try:
        yield
    except ImportError as error:
        # dask-jobqueue names cryptography in its own words alone.
        said = f"{error.name} {error}"
        package = next((name for name in _PACKAGES if name in said), None)
        if package is None:
            raise
        raise ConfigurationError(
            f"cluster.kind={kind} needs the package {package.replace('_', '-')}, which is not "
            "installed; run: pip install 'dask-gmm[cluster]'"
        ) from error
