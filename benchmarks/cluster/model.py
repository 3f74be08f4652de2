"""A model of one reading on a cluster: leaves on workers, a scheduler that serves in turn, sums.

It simulates events and knows the engine's structure, and nothing of what leaves compute. The client
packs the graph and the scheduler takes it in, task by task, before anything starts. Every thread of
a worker is a slot that is given two leaves at a time. Of every task the scheduler hears one after
the other; so a slot waits for its next leaf where the scheduler is behind. A sum is made where its
last part was, with the others fetched, and beside the leaves; sums of the kept level go to the
client one after the other. A worker that dies loses the leaves at work and what it holds unsummed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from dask_gmm.engine.leaves import FAN_IN
from dask_gmm.engine.tree import MOST_KEPT

#: Leaves that a slot is given at a time: one at work and one that reads (or waits).
AHEAD = 2
#: Others that a worker serves at a time: ``distributed.worker.connections.incoming``.
SERVED = 10


@dataclass(frozen=True)
class Costs:
    """What the engine takes, in seconds of a core: measured by :mod:`benchmarks.cluster.costs`.

    Attributes
    ----------
    reading : float
        A reading of one leaf that does nothing.
    client_task, scheduler_task : float
        Before anything starts, for every task: packing, and taking in.
    client_leaf : float
        The client's, for every leaf, while the reading goes on.
    scheduler_run : float
        Of a task: sending it off, and hearing that it is done.
    worker_task : float
    heartbeat : float
        The scheduler's, each.
    latency : float
        Of a message.
    fetch : float
        To get a value from elsewhere, beside its bytes over ``bandwidth`` (bytes a second).
    bandwidth : float
    graph_bytes : float
        The scheduler's memory for a task.
    """

    reading: float
    client_task: float
    scheduler_task: float
    client_leaf: float
    scheduler_run: float
    worker_task: float
    heartbeat: float
    latency: float
    fetch: float
    bandwidth: float
    graph_bytes: float


@dataclass(frozen=True)
class Reading:
    """What is read.

    Attributes
    ----------
    n_leaves : int
    leaf_cpu : float
        Seconds of a core for a leaf: reading, decoding, arithmetic.
    leaf_bytes : float
        Of a leaf in storage.
    statistics_bytes : float
    wait : float
        Seconds that a leaf sleeps beside.
    fan_in : int
        Results that are added at a time.
    """

    n_leaves: int
    leaf_cpu: float
    leaf_bytes: float = 0.0
    statistics_bytes: float = 0.0
    wait: float = 0.0
    fan_in: int = FAN_IN

    @property
    def widths(self) -> list[int]:
        """Nodes of every level up to that whose sums go to the client, as the engine's tree."""
        widths = [self.n_leaves]
        while len(widths) == 1 or widths[-1] > MOST_KEPT:
            widths.append(-(-widths[-1] // self.fan_in))
        return widths


@dataclass(frozen=True)
class Cluster:
    """Who reads.

    Attributes
    ----------
    slots : int
        Threads of all workers.
    cores : int, optional
        That all of them share, with scheduler and client; by default each has one of its own.
    store_slot, store_total : float
        Bytes a second that storage gives to one slot, and to all together at most.
    spread : float
        Of the logarithm of a leaf's time; its mean stays.
    deaths : float
        Of a slot, in an hour.
    seen_after, back_after : float
        Seconds until a death is known, and until another worker stands in its place.
    """

    slots: int
    cores: int | None = None
    store_slot: float = inf
    store_total: float = inf
    spread: float = 0.0
    deaths: float = 0.0
    seen_after: float = 60.0
    back_after: float = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a reading takes.

    Attributes
    ----------
    seconds : float
    start : float
        Seconds before the first leaf starts.
    efficiency : float
        Of all slots over all of the time: the part in which leaves are at work for the first time.
    scheduler : float
        Seconds that the scheduler works.
    repeated : int
        Leaves that deaths have cost.
    """

    seconds: float
    start: float
    efficiency: float
    scheduler: float
    repeated: int


def heartbeats(slots: int) -> float:
    """Return how many a second the scheduler hears, as distributed spaces them."""
    every = 0.5 if slots <= 10 else 1 if slots < 50 else 2 if slots < 200 else slots / 200 + 1
    return slots / every
