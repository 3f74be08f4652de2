"""Where tasks run: a local cluster of worker processes, or threads of this one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask

#: What our worker processes start with. Dask's own default sets MALLOC_TRIM_THRESHOLD_=65536, which
#: gives every temporary of the kernel back to the system: 2.0-2.5 times slower, measured.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Workers:
    """Workers that stand ready.

    Attributes
    ----------
    scheduler : object
        As ``dask.compute`` takes it.
    dashboard : str or None
        Address of the dashboard, if there is one.
    """

    scheduler: Any
    dashboard: str | None = None


@contextmanager
def local_workers(
    n_workers: int, threads_per_worker: int, memory_limit: int | None
) -> Iterator[Workers]:
    """Start worker processes on this machine, listening on the loopback interface only."""
    from distributed import Client, LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": dict(WORKER_ENVIRONMENT),
        "distributed.scheduler.worker-ttl": "60s",
        "distributed.worker.memory.recent-to-old-time": "10s",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            memory_limit=memory_limit,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Workers(client, cluster.dashboard_link)


@contextmanager
def thread_workers(n_threads: int) -> Iterator[Workers]:
    """Use threads of this process."""
    with dask.config.set(num_workers=n_threads):
        yield Workers("threads")
