"""Which leaves of a reading have finished, for who watches: told where the client waits anyway.

On a distributed scheduler a leaf's task logs an event as its last act, some hundred microseconds of
a leaf's time, and the scheduler hands it on; nobody waits for it. What no event told (on another
scheduler than these) is known when a sum of leaves comes in.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

#: Under which name tasks log that they are done.
TOPIC = "dask-gmm-leaves"


class Watcher(Protocol):
    """Who is told how far readings are; always in the thread that asked for them."""

    def begins(self, name: str, n_leaves: int) -> None:
        """Take note that a reading begins."""

    def advances(self, leaves: Collection[int]) -> None:
        """Take note of leaves that have finished; of none where only time went by."""

    def ends(self) -> None:
        """Take note that the reading is over, however it ended."""


class News:
    """What is heard of one reading after the other.

    Parameters
    ----------
    watcher : Watcher or None
        None: nobody wants to know, and nothing is asked for.
    """

    def __init__(self, watcher: Watcher | None = None) -> None:
        self._watcher = watcher
        self._key: str | None = None
        self._heard: SimpleQueue[int] = SimpleQueue()
        self._subscribed: Any = None

    @property
    def wanted(self) -> bool:
        """Tell whether anybody wants to know."""
        return self._watcher is not None

    @contextmanager
    def of(self, name: str, key: str, n_leaves: int) -> Iterator[None]:
        """Tell of a reading while inside; the keys of its tasks begin with ``key``."""
        if self._watcher is None:
            yield
            return
        self._heard, self._key = SimpleQueue(), key
        self._watcher.begins(name, n_leaves)
        try:
            yield
        finally:
            self.look()
            self._key = None
            self._watcher.ends()

    def listen(self, client: Any) -> None:
        """Hear what the tasks of a distributed scheduler log."""
        if self._watcher is not None and self._subscribed is not client:
            client.subscribe_topic(TOPIC, self._event)
            self._subscribed = client

    def _event(self, event: tuple[float, Any]) -> None:
        key, leaf = event[1]
        # One that hung is run again under a key of its own.
        if self._key is not None and (key == self._key or key.startswith(f"{self._key}-again-")):
            self._heard.put(leaf)

    def finished(self, leaf: int) -> None:
        """Take note of a leaf, in any thread."""
        if self._watcher is not None:
            self._heard.put(leaf)

    def look(self) -> None:
        """Tell the watcher what has been heard since the last look."""
        if self._watcher is None or self._key is None:
            return
        leaves = list[int]()
        with suppress(Empty):
            while True:
                leaves.append(self._heard.get_nowait())
        self._watcher.advances(leaves)


def log_leaf() -> None:
    """Log, in a task on a worker, that its leaf is done."""
    from distributed import get_worker

    # A watch must not be what a leaf fails of.
    with suppress(ValueError, KeyError, TypeError):
        worker = get_worker()
        key: Any = worker.active_threads[threading.get_ident()]
        worker.log_event(TOPIC, [key[0], key[1]])
