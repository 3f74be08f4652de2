"""The simulation of :mod:`benchmarks.cluster.model`: events in the order of their time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from benchmarks.cluster.model import AHEAD, SERVED, Cluster, Costs, Outcome, Reading, heartbeats
from dask_gmm.engine.futures import LONGEST, SHORTEST

Node = tuple[int, int]


def reading_seconds(reading: Reading, cluster: Cluster, costs: Costs, seed: int = 0) -> Outcome:
    """Simulate one reading; the same seed gives the same."""
    return _Simulation(reading, cluster, costs, seed).run()


class _Simulation:
    def __init__(self, reading: Reading, cluster: Cluster, costs: Costs, seed: int) -> None:
        self._reading, self._cluster, self._costs = reading, cluster, costs
        self._random = np.random.default_rng(seed)
        n, W = reading.n_leaves, cluster.slots
        self._widths = reading.widths
        self._kept = len(self._widths) - 1
        self._tasks = sum(self._widths)
        self._run = costs.scheduler_run / max(0.01, 1 - costs.heartbeat * heartbeats(W))
        self._duration = _durations(reading, cluster, costs, self._random)
        self._pending = deque(range(n))
        self._idle: list[int] = []
        self._free, self._life = [0.0] * W, [0] * W
        self._at_work: list[set[int]] = [set() for _ in range(W)]
        self._held: list[set[Node]] = [set() for _ in range(W)]
        self._holder: dict[Node, int] = {}
        self._adding: dict[Node, int] = {}
        self._missing = [
            [len(self._children((level, i))) if level else 0 for i in range(width)]
            for level, width in enumerate(self._widths)
        ]
        self._events: list[tuple[float, int, Callable[..., None], Any]] = []
        self._serial = self._repeated = 0
        self._scheduler_free = self._client_free = self._scheduler_busy = 0.0
        self._kept_left = self._widths[-1]

    def run(self) -> Outcome:
        costs, W, reading = self._costs, self._cluster.slots, self._reading
        taken_in = self._tasks * costs.scheduler_task
        start = costs.reading + self._tasks * costs.client_task + taken_in
        self._scheduler_free, self._scheduler_busy = start, taken_in
        given = start + _rounds(W) * (costs.latency + costs.fetch)
        for _ in range(AHEAD):
            for slot in range(W):
                self._give(given, slot)
        if self._cluster.deaths:
            self._next_death(start)
        while self._kept_left:
            now, _, happens, arguments = heappop(self._events)
            happens(now, *arguments)
        seconds = max(self._client_free, start + reading.n_leaves * costs.client_leaf)
        seconds += _until_looked(seconds)
        if self._cluster.cores is not None:
            seconds = max(seconds, self._all_cpu() / self._cluster.cores)
        useful = reading.n_leaves * (reading.leaf_cpu + reading.wait)
        return Outcome(seconds, start, useful / (W * seconds), self._scheduler_busy, self._repeated)

    def _all_cpu(self) -> float:
        costs, reading = self._costs, self._reading
        a_task = costs.client_task + costs.scheduler_task + costs.scheduler_run + costs.worker_task
        leaves = reading.n_leaves * (reading.leaf_cpu + costs.client_leaf)
        return costs.reading + self._tasks * a_task + leaves

    def _at(self, time: float, happens: Callable[..., None], *arguments: Any) -> None:
        self._serial += 1
        heappush(self._events, (time, self._serial, happens, arguments))

    def _give(self, now: float, slot: int) -> None:
        """Send a slot its next leaf."""
        if not self._pending:
            self._idle.append(slot)
            return
        leaf = self._pending.popleft()
        self._at_work[slot].add(leaf)
        begins = max(self._free[slot], now + self._costs.latency)
        self._free[slot] = begins + self._duration[leaf]
        self._at(self._free[slot], self._done, slot, self._life[slot], (0, leaf))

    def _done(self, now: float, slot: int, life: int, node: Node) -> None:
        """Hear at the scheduler that a task is done, and what follows from it."""
        if life != self._life[slot]:
            return
        costs = self._costs
        heard = max(self._scheduler_free, now + costs.latency) + self._run
        self._scheduler_free, self._scheduler_busy = heard, self._scheduler_busy + self._run
        level, index = node
        if level:
            del self._adding[node]
            for child in self._children(node):
                self._held[self._holder.pop(child)].discard(child)
        if level == self._kept:
            transfer = costs.fetch + self._reading.statistics_bytes / costs.bandwidth
            self._client_free = max(self._client_free, heard) + transfer
            self._kept_left -= 1
        else:
            self._holder[node] = slot
            self._held[slot].add(node)
            above = (level + 1, index // self._reading.fan_in)
            self._missing[level + 1][above[1]] -= 1
            self._add_up(heard, slot, above)
        if not level:
            self._at_work[slot].discard(index)
            self._give(heard, slot)

    def _add_up(self, now: float, slot: int, node: Node) -> None:
        """Add a node's children where the last of them is, once all are there."""
        if self._missing[node[0]][node[1]] == 0 and node not in self._adding:
            self._adding[node] = slot
            costs = self._costs
            each = costs.fetch + self._reading.statistics_bytes / costs.bandwidth
            took = costs.latency + len(self._children(node)) * each + costs.worker_task
            self._at(now + took, self._done, slot, self._life[slot], node)

    def _children(self, node: Node) -> list[Node]:
        level, index = node
        first = index * self._reading.fan_in
        last = min(first + self._reading.fan_in, self._widths[level - 1])
        return [(level - 1, i) for i in range(first, last)]

    def _next_death(self, now: float) -> None:
        a_second = self._cluster.deaths * self._cluster.slots / 3600
        after = float(self._random.exponential(1 / a_second))
        self._at(now + after, self._dies, int(self._random.integers(self._cluster.slots)))

    def _dies(self, now: float, slot: int) -> None:
        """Lose what a slot works on and holds; all of that is done again once it is known."""
        cluster = self._cluster
        self._life[slot] += 1
        self._free[slot] = now + cluster.back_after
        self._idle = [each for each in self._idle if each != slot]
        again = sorted(self._at_work[slot])
        self._at_work[slot].clear()
        mine = [node for node, adder in self._adding.items() if adder == slot]
        for node in mine:
            del self._adding[node]
        for level, index in sorted(self._held[slot]):
            above = (level + 1, index // self._reading.fan_in)
            if above not in self._adding:  # it was fetched already
                self._held[slot].discard((level, index))
                del self._holder[level, index]
                self._missing[level + 1][above[1]] += 1
                again += self._lost((level, index))
        self._repeated += len(again)
        self._at(now + cluster.seen_after, self._known, again, mine)
        self._at(now + cluster.back_after, self._comes_back, slot)
        self._next_death(now)

    def _lost(self, node: Node) -> list[int]:
        """Return the leaves below a sum that is lost: each of them, and each sum, is made again."""
        if not node[0]:
            return [node[1]]
        children = self._children(node)
        self._missing[node[0]][node[1]] = len(children)
        return [leaf for child in children for leaf in self._lost(child)]

    def _known(self, now: float, again: list[int], sums: list[Node]) -> None:
        self._pending.extendleft(reversed(again))
        for node in sums:
            self._add_up(now, (node[1] + 1) % self._cluster.slots, node)
        while self._pending and self._idle:
            self._give(now, self._idle.pop())

    def _comes_back(self, now: float, slot: int) -> None:
        for _ in range(AHEAD):
            self._give(now, slot)


def _durations(
    reading: Reading, cluster: Cluster, costs: Costs, random: np.random.Generator
) -> list[float]:
    """Draw how long a slot is busy with each leaf."""
    s = cluster.spread
    spread = np.exp(s * random.standard_normal(reading.n_leaves) - s * s / 2)
    shared = 1.0 if cluster.cores is None else max(1.0, cluster.slots / cluster.cores)
    # Leaves that sleep leave the cores to others.
    shared = 1.0 if reading.wait > reading.leaf_cpu else shared
    computing = (reading.leaf_cpu * spread + costs.worker_task) * shared
    rate = min(cluster.store_slot, cluster.store_total / cluster.slots)
    return (np.maximum(computing, reading.leaf_bytes / rate) + reading.wait).tolist()


def _rounds(slots: int) -> int:
    """Return how often the parameters are passed on until all have them: who has them serves."""
    return math.ceil(math.log(slots, 1 + SERVED)) if slots > 1 else 0


def _until_looked(seconds: float) -> float:
    """Return how long the client takes to see the last sum, on average: it looks now and then."""
    return min(max(seconds / 100, SHORTEST), LONGEST) / 2
