"""What the engine's tasks and messages cost here: processor time of client, scheduler and workers.

Client, scheduler and every worker are processes of their own, so that each tells its seconds.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dask
import numpy as np

from benchmarks.cluster.model import Costs
from benchmarks.machine import seconds
from dask_gmm.engine.cluster import WORKER_ENVIRONMENT, surroundings
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.tree import Tree
from dask_gmm.engine.turns import leaf_turns

#: Bytes of a value that shows the bandwidth.
LARGE = 8 << 20


@dataclass(frozen=True)
class Still:
    """A leaf that holds nothing, takes its turn as one that does, and weighs as much to ship.

    Attributes
    ----------
    ballast : bytes
    """

    ballast: bytes = bytes(500)

    def __call__(self) -> Generator[None]:
        """Yield one block that is none."""
        with leaf_turns() as turn, turn:
            yield None


class Listener:
    """Watches readings, as a run does: its leaves tell the scheduler when they are done."""

    def begins(self, name: str, n_leaves: int) -> None:
        """Begin."""

    def advances(self, leaves: Collection[int]) -> None:
        """Take note of leaves."""

    def ends(self) -> None:
        """End."""


def asleep(blocks: Any, took: float, size: int) -> np.ndarray:
    """Sleep in a leaf's turn; return ``size`` numbers."""
    for _ in blocks:
        time.sleep(took)
    return np.zeros(size)


def held_back(blocks: Any, until: float, size: int) -> np.ndarray:
    """Return ``size`` numbers, but not before a point in time."""
    for _ in blocks:
        time.sleep(max(0.0, until - time.time()))
    return np.zeros(size)


@contextmanager
def processes(n_workers: int, threads: int = 1) -> Iterator[tuple[Any, Any]]:
    """Start a scheduler and workers, each a process of its own; yield them and their client."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    settings = {"distributed.comm.timeouts.connect": "60s"}
    with surroundings(None, settings) as loop:
        os.environ |= WORKER_ENVIRONMENT
        os.environ["DASK_INTERNAL_INHERIT_CONFIG"] = dask.config.serialize(
            dask.config.global_config
        )
        with (
            SubprocessCluster(
                n_workers=n_workers,
                threads_per_worker=threads,
                worker_class="distributed.Worker",
                worker_kwargs={"memory_limit": 0, "dashboard": False},
                dashboard_address=None,
                loop=loop,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.wait_for_workers(n_workers)
            yield cluster, client


def scale(cluster: Any, client: Any, n_workers: int) -> None:
    """Bring the cluster to so many workers, and hold them on cores in turn."""
    cluster.scale(n_workers)
    client.wait_for_workers(n_workers)
    cores = sorted(os.sched_getaffinity(0))
    for i, worker in enumerate(addresses(client)):
        client.run(_hold_on, cores[i % len(cores)], workers=[worker])


def addresses(client: Any) -> list[str]:
    """Return the workers' addresses, in order."""
    return sorted(client.scheduler_info(n_workers=-1)["workers"])


def _hold_on(core: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def still_passes(n_leaves: int, client: Any) -> Passes:
    """Return readings of so many leaves that hold nothing."""
    return Passes([Still()] * n_leaves, client, watcher=Listener())


def measured_costs(client: Any, statistics_bytes: int, n_leaves: int, hold: float) -> Costs:
    """Measure costs on a cluster of at least two workers, of a thread each.

    What a heartbeat costs takes more workers: see :func:`idle_load`.

    Parameters
    ----------
    client : distributed.Client
    statistics_bytes : int
    n_leaves : int
        Of the reading whose tasks are weighed.
    hold : float
        Seconds for which its leaves are held back; the graph must have arrived by then.
    """
    size = statistics_bytes // 8
    still_passes(20, client).run("bench", asleep, 0.0, size)  # what is imported and connected
    one = still_passes(1, client)
    reading = median(seconds(lambda: one.run("bench", asleep, 0.0, size)) for _ in range(9))
    trips = [seconds(lambda: client.run_on_scheduler(_nothing)) for _ in range(50)]
    idle = idle_load(client, hold)
    fetch, bandwidth = _fetching(client, size)
    tasks = _task_costs(client, size, n_leaves, hold, idle)
    return Costs(
        reading=reading,
        heartbeat=0.0,
        latency=median(trips) / 2,
        fetch=fetch,
        bandwidth=bandwidth,
        **tasks,
    )


def _nothing() -> None:
    pass


def _task_costs(
    client: Any, size: int, n_leaves: int, hold: float, idle: float
) -> dict[str, float]:
    """Hold back the leaves of a reading: what was spent by then is the graph's, the rest the run's.

    Returns
    -------
    mapping
        Those of :class:`Costs` that are for each task or leaf.
    """
    passes = still_passes(n_leaves, client)
    tree = Tree.of_sums(n_leaves)
    n_tasks = sum(tree.width(level) for level in range(tree.kept + 1))
    gc.collect()
    before, began, until = _spent(client), time.time(), time.time() + hold
    middle: list[tuple[float, dict[str, float]]] = []
    look = threading.Timer(0.9 * hold, lambda: middle.append((time.time(), _spent(client))))
    look.start()
    passes.run("bench", held_back, until, size)
    look.join()
    (looked, then), after, ended = middle[0], _spent(client), time.time()
    return {
        "client_task": (then["client"] - before["client"]) / n_tasks,
        "scheduler_task": (then["scheduler"] - before["scheduler"] - idle * (looked - began))
        / n_tasks,
        "client_leaf": (after["client"] - then["client"]) / n_leaves,
        "scheduler_run": (after["scheduler"] - then["scheduler"] - idle * (ended - looked))
        / n_tasks,
        "worker_task": (after["workers"] - before["workers"]) / n_tasks,
        "graph_bytes": max(0.0, then["scheduler_bytes"] - before["scheduler_bytes"]) / n_tasks,
    }


def _spent(client: Any) -> dict[str, float]:
    """Return what every process has spent so far, in seconds, and what the scheduler holds."""
    scheduler, held = client.run_on_scheduler(_process_time_and_bytes)
    return {
        "client": time.process_time(),
        "scheduler": scheduler,
        "scheduler_bytes": held,
        "workers": sum(client.run(time.process_time).values()),
    }


def _process_time_and_bytes() -> tuple[float, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return time.process_time(), pages * os.sysconf("SC_PAGE_SIZE")


def idle_load(client: Any, over: float) -> float:
    """Return what part of a core the scheduler takes when nothing goes on."""
    before, _ = client.run_on_scheduler(_process_time_and_bytes)
    time.sleep(over)
    after, _ = client.run_on_scheduler(_process_time_and_bytes)
    return (after - before) / over


def _fetching(client: Any, size: int) -> tuple[float, float]:
    """Return seconds to get a value from another worker, beside its bytes, and bytes a second."""
    small, large = (_fetch(client, n) for n in (size, LARGE // 8))
    return small, LARGE / max(large - small, 1e-4)


def _fetch(client: Any, size: int) -> float:
    """Return how much later a value is at hand that is on another worker."""
    here, there = addresses(client)[:2]
    took: dict[str, list[float]] = {here: [], there: []}
    for _ in range(15):
        for at, times in took.items():
            (part,) = client.map(np.zeros, [size], workers=[here], pure=False)
            client.submit(_done, part, workers=[here], pure=False).result()
            task = partial(client.submit, _done, part, workers=[at], pure=False)
            times.append(seconds(lambda: task().result()))  # noqa: B023  called here
    return max(1e-4, median(took[there]) - median(took[here]))


def _done(value: Any) -> bool:
    return value is not None
