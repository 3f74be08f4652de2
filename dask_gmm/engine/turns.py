"""Whose turn it is to compute: beside every leaf that is worked on another one reads.

A leaf's time goes into reading and into arithmetic, by turns. So two leaves are in flight for every
thread that is to compute, and one of the two at a time has a *turn*; the other reads meanwhile, its
first cell too. What was read waits for its turn, so that no more than one cell more is in memory.

A Dask worker runs as many tasks as it has threads: a leaf that gets its first turn leaves the
worker's threads (``secede``), and the worker begins another one. That needs nothing of a worker but
that it is Dask's, whoever started it. Threads of this process are twice as many as turns.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from queue import SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

#: Leaves in flight for every turn.
IN_FLIGHT = 2
#: Where the threads of :func:`dask_gmm.engine.cluster.thread_workers` find their turns.
CONFIG_KEY = "dask-gmm.turns"


class Turns:
    """The turns of one process; entering one waits until it is free.

    Parameters
    ----------
    n : int
        Tasks that compute at a time.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        # A semaphore in C: leaves may have a hundred thousand cells, and each takes a turn.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(n):
            self._free.put(None)
        self._lock = threading.Lock()
        self._away = 0

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(self, *of_exception: object) -> None:
        self._free.put(None)

    def may_leave(self) -> bool:
        """Count one more leaf outside of the worker's threads, if there may be one."""
        with self._lock:
            allowed = self._away < self._n * (IN_FLIGHT - 1)
            self._away += allowed
            return allowed

    def has_left(self) -> None:
        """Count one leaf less outside of the worker's threads."""
        with self._lock:
            self._away -= 1


class _LeafOnWorker:
    """The turns of one leaf on a Dask worker: with the first one it makes room for another leaf."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._away = False

    def __enter__(self) -> None:
        self._turns.__enter__()
        # Where so many others have left it stays for now: they end, and it has a next turn.
        if not self._away and self._turns.may_leave():
            self._away = True
            _leave_the_workers_threads()

    def __exit__(self, *of_exception: object) -> None:
        self._turns.__exit__()

    def close(self) -> None:
        if self._away:
            self._turns.has_left()


@contextmanager
def leaf_turns() -> Iterator[AbstractContextManager[None]]:
    """Give a leaf its turns: what is entered again and again, while each block is worked on.

    Where there are no turns (another scheduler than ours or a distributed one) every task computes
    whenever it likes.
    """
    worker = _worker()
    if worker is None:
        yield in_turn()
        return
    leaf = _LeafOnWorker(_turns_of(worker))
    try:
        yield leaf
    finally:
        leaf.close()


def in_turn() -> AbstractContextManager[None]:
    """Return the turns of this process's threads, to be entered; those of a worker are its leaves'.

    A worker's threads are as many as its turns, and what is no leaf does not leave them.
    """
    import dask  # plans look at this room too, and need no Dask

    turns: Turns | None = dask.config.get(CONFIG_KEY, None)
    return nullcontext() if turns is None or _worker() is not None else turns


def _worker() -> Any:
    """Return the Dask worker that runs this task, or None."""
    # Threads need no distributed, and importing it takes half a second.
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    with suppress(ValueError):
        return get_worker()
    return None


_of_workers: WeakKeyDictionary[Any, Turns] = WeakKeyDictionary()
_lock = threading.Lock()


def _turns_of(worker: Any) -> Turns:
    with _lock:
        return _of_workers.setdefault(worker, Turns(worker.state.nthreads))


def _leave_the_workers_threads() -> None:
    from distributed import secede

    # A worker that was given an executor of its own does not know how.
    with suppress(AttributeError):
        secede()
