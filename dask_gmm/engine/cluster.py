"""Where tasks run on this machine: worker processes, or threads of this one.

Workers elsewhere are in :mod:`dask_gmm.engine.remote`.
"""

from __future__ import annotations

import logging
import logging.config
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from multiprocessing.pool import ThreadPool
from typing import Any

import dask

from dask_gmm.engine import worker_setup
from dask_gmm.engine.dask_log import CONFIG_KEY
from dask_gmm.engine.limits import PAUSE
from dask_gmm.engine.turns import CONFIG_KEY as TURNS_KEY
from dask_gmm.engine.turns import IN_FLIGHT, Turns

#: What our worker processes start with. Dask's own default sets MALLOC_TRIM_THRESHOLD_=65536, which
#: gives every temporary of the kernel back to the system: 2.0-2.5 times slower, measured.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SETTINGS = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    # What Dask could move to disk are results, small and counted: a plan needs no margin for them.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": PAUSE,
    # Looking at its own stacks every hundredth of a second takes a worker 5 % of its core.
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.worker-ttl": "60s",
    # The sample, or the parameters of many components, travel in the graph once per pass.
    "distributed.admin.large-graph-warning-threshold": "1GB",
}


#: Nannies start a dead worker again, but give up when it dies while it starts.
NO_WORKERS_TIMEOUT = {"distributed.scheduler.no-workers-timeout": "30s"}


@dataclass(frozen=True)
class Workers:
    """Workers that stand ready.

    Attributes
    ----------
    scheduler : object
        As ``dask.compute`` takes it.
    memory_limit : int or None
        Bytes that the smallest worker may hold, where this became known only when they stood ready.
    threads : int
        Tasks at a time in one worker, likewise.
    """

    scheduler: Any
    memory_limit: int | None = None
    threads: int = 1

    @property
    def dashboard(self) -> str | None:
        """Where Dask shows what its workers do; None where it does not, for want of bokeh."""
        link = getattr(self.scheduler, "dashboard_link", None)
        return link if isinstance(link, str) and find_spec("bokeh") is not None else None


@contextmanager
def local_workers(
    n_workers: int | None,
    threads_per_worker: int,
    memory_limit: int | None,
    log_settings: dict[str, Any] | None = None,
    adapt: dict[str, int] | None = None,
) -> Iterator[Workers]:
    """Start worker processes on this machine, listening on the loopback interface only.

    Parameters
    ----------
    n_workers : int or None
        None: see :func:`fitting_workers`.
    threads_per_worker : int
    memory_limit : int or None
        Bytes per worker.
    log_settings : dict, optional
        What ``logging.config.dictConfig`` takes: where Dask's log lines go, those of the worker
        processes included. Without it they go to stderr as Dask formats them.
    adapt : dict of str to int, optional
        The ``minimum`` and ``maximum`` number of workers, instead of a fixed one.
    """
    from distributed import Client, LocalCluster

    if adapt is not None:
        n_workers = adapt["minimum"]
    with (
        surroundings(log_settings, NO_WORKERS_TIMEOUT) as loop,
        LocalCluster(
            n_workers=n_workers or fitting_workers(threads_per_worker, memory_limit),
            threads_per_worker=threads_per_worker,
            memory_limit=memory_limit,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
            preload=worker_setup.__name__,
            loop=loop,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        # Once more: silence_logs has raised the level of every handler it found.
        apply_logging(log_settings)
        if adapt is not None:
            cluster.adapt(**adapt)
        yield Workers(client)


def fitting_workers(threads_per_worker: int, memory_limit: int | None) -> int:
    """Return the number of workers that keep busy the cores this process may use.

    Fewer where their limits together would exceed the memory; at least one.
    """
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    n = max(1, CPU_COUNT // threads_per_worker)
    return n if memory_limit is None else max(1, min(n, MEMORY_LIMIT // memory_limit))


@contextmanager
def thread_workers(n_threads: int | None) -> Iterator[Workers]:
    """Use threads of this process (None: one per core); they end when it is told to end."""
    n_threads = n_threads or fitting_workers(1, None)
    # concurrent.futures would wait for its threads, and so for whole leaves, before the process
    # ends; these are daemons.
    with (
        ThreadPool(IN_FLIGHT * n_threads) as pool,
        dask.config.set({"pool": pool, TURNS_KEY: Turns(n_threads)}),
    ):
        yield Workers("threads")


@contextmanager
def surroundings(
    log_settings: dict[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """Yield the event loop for a cluster and its client, with Dask's settings and logs as ours."""
    apply_logging(log_settings)
    with (
        _environment_kept(),
        _loop_without_interrupts() as loop,
        dask.config.set({**SETTINGS, **(settings or {}), CONFIG_KEY: log_settings}),
    ):
        yield loop


@contextmanager
def _loop_without_interrupts() -> Iterator[Any]:
    """Run the event loop of cluster and client in a thread whose child processes get no SIGINT.

    Ctrl-C goes to every process of a terminal: the workers are to be closed by their client, not to
    break off with a traceback each. A child process inherits the blocked signals of the thread that
    starts it, and a thread those of the one that starts it.
    """
    from distributed.utils import LoopRunner

    runner = LoopRunner()
    # Whoever starts multiprocessing's tracker has SIGINT unblocked by it. What killed workers leave
    # behind it clears away, and there is no need to tell.
    quiet = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker")))
    os.environ["PYTHONWARNINGS"] = quiet
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield runner.loop
    finally:
        runner.stop()


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what Dask sets in this process's environment for its children to inherit."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def apply_logging(log_settings: dict[str, Any] | None) -> None:
    """Send log lines where ``log_settings`` say, if they say anything."""
    if log_settings is not None:
        logging.config.dictConfig(log_settings)
