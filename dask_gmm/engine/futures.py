"""A pass on a distributed scheduler: sums come to the client as they get ready, hung leaves again.

Leaves and sums are one graph, and the client holds the sums of the tree's kept level. A leaf that
hangs is run once more on another worker, and added with the others once more; of the two sums,
which are equal, the first is taken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from dask_gmm.engine.news import News
from dask_gmm.engine.patience import Patience
from dask_gmm.engine.tree import FAN_IN, add
from dask_gmm.engine.work import Work

log = logging.getLogger(__name__)

#: Seconds between two looks at who is working on what.
LOOK = 1.0
#: Seconds between two looks at what has finished: a hundredth of the pass so far, within these.
SHORTEST, LONGEST = 0.002, 0.05
#: Times that a leaf is run once more.
MOST_REPEATS = 2


def hand_over(
    work: Work, client: Any, keep: Callable[[int, Any], None], patience: Patience, news: News
) -> None:
    """Compute the missing nodes on the scheduler of ``client``; give each to ``keep`` when ready.

    What is heard of leaves on the way is told by ``news``.

    Raises
    ------
    TemporaryFailureError
        If nothing has finished for ``patience.silence`` seconds.
    """
    nodes = work.nodes()
    pending = list(zip(nodes, client.compute(list(nodes.values())), strict=True))
    watch = _Watch(work, client, patience)
    began, left = time.monotonic(), set(nodes)
    while left:
        time.sleep(min(max((time.monotonic() - began) / 100, SHORTEST), LONGEST))
        states = [(i, future, future.done()) for i, future in pending]
        ready = {i: future for i, future, done in states if done and i in left}
        pending = [(i, future) for i, future, done in states if not done]
        # To ask for nothing costs a millisecond too.
        values = client.gather(list(ready.values())) if ready else ()
        for i, value in zip(ready, values, strict=True):
            keep(i, value)
        news.look()
        left -= ready.keys()
        if left:
            pending += watch.look(progress=bool(ready))


class _Watch:
    """Sees leaves that hang, and passes that stand still."""

    def __init__(self, work: Work, client: Any, patience: Patience) -> None:
        self._work, self._client, self._patience = work, client, patience
        self._leaf_of = {str(work.node_key(0, leaf)): leaf for leaf in range(work.tree.n_leaves)}
        self._moved = self._looked = time.monotonic()
        self._since: dict[int, float] = {}
        self._durations: list[float] = []
        self._repeats: dict[int, int] = {}
        #: What stands in the place of nodes that are made once more.
        self._instead: dict[tuple[int, int], Any] = {}

    def look(self, *, progress: bool) -> list[tuple[int, Any]]:
        """Look at who works on what, at most once a second; run again what hangs.

        Returns
        -------
        list of (int, Future)
            Kept nodes that are made once more.

        Raises
        ------
        TemporaryFailureError
        """
        now = time.monotonic()
        if progress:
            self._moved = now
        if now - self._looked < LOOK:
            return []
        self._looked = now
        workers: Mapping[str, Sequence[Any]] = self._client.processing()
        at_work = self._at_work(workers)
        if at_work.keys() != self._since.keys():
            self._moved = now
        if now - self._moved >= self._patience.silence:
            raise self._patience.is_over()
        return [
            self._run_again(leaf, sorted(workers.keys() - at_work[leaf]))
            for leaf in self._hung(at_work, len(workers), now)
        ]

    def _hung(self, at_work: Mapping[int, set[str]], n_workers: int, now: float) -> list[int]:
        """Return the leaves that take too long and can be run once more on another worker."""
        for leaf in self._since.keys() - at_work.keys():
            self._durations.append(now - self._since.pop(leaf))
        for leaf in at_work:
            self._since.setdefault(leaf, now)
        usual = median(self._durations or [0.0])
        allowed = max(self._patience.factor * usual, self._patience.least)
        found = []
        for leaf, addresses in at_work.items():
            seconds, n = now - self._since[leaf], self._repeats.get(leaf, 0)
            elsewhere = len(addresses) < n_workers
            if elsewhere and n < MOST_REPEATS and seconds > allowed * (n + 1):
                found.append(leaf)
                log.warning(
                    "leaf %d of %d has been at work for %.0f s on %s: it is run again elsewhere",
                    *(leaf + 1, self._work.tree.n_leaves, seconds, ", ".join(sorted(addresses))),
                )
        return found

    def _at_work(self, workers: Mapping[str, Sequence[Any]]) -> dict[int, set[str]]:
        """Return which workers were given each leaf, from the keys that every worker has."""
        found = dict[int, set[str]]()
        for address, keys in workers.items():
            for leaf in (self._leaf_of[str(key)] for key in keys if str(key) in self._leaf_of):
                found.setdefault(leaf, set()).add(address)
        return found

    def _run_again(self, leaf: int, workers: Sequence[str]) -> tuple[int, Any]:
        """Compute a leaf once more on some workers, and every sum above it."""
        from distributed import Future

        work, client = self._work, self._client
        n = self._repeats[leaf] = self._repeats.get(leaf, 0) + 1
        key = f"{work.key}-again-{leaf}-{n}"
        (task,) = work.tasks([leaf], key)
        future = client.compute(task, workers=workers, allow_other_workers=False)
        index = leaf
        self._instead[0, index] = future
        for level in range(1, work.tree.kept + 1):
            index //= FAN_IN
            parts = [
                self._instead.get((level - 1, child))
                or Future(work.node_key(level - 1, child), client=client)
                for child in work.tree.children(level, index)
            ]
            future = client.submit(add, parts, key=f"{key}-sum-{level}", pure=False)
            self._instead[level, index] = future
        return index, future
