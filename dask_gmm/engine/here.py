"""A pass on a scheduler that is no client: Dask's own ones, threads of this process among them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from dask.base import compute
from dask.callbacks import Callback

from dask_gmm.engine.news import News
from dask_gmm.engine.patience import Patience
from dask_gmm.engine.work import Work

#: Into so many waits the patience of the main thread is cut.
LOOKS = 20

Keep = Callable[[int, Any], None]


class _GivenUpError(Exception):
    """Nobody waits for the pass any more."""


def compute_here(work: Work, scheduler: Any, keep: Keep, patience: Patience, news: News) -> None:
    """Compute the missing nodes in one graph; give each to ``keep`` when it is ready.

    Leaves that have finished are told by ``news``.

    Raises
    ------
    TemporaryFailureError
        If nothing has finished on threads for ``patience.silence`` seconds.
    """
    if scheduler == "threads":
        _watched(work, scheduler, keep, patience, news)
    else:
        _compute(work, scheduler, keep, lambda leaf: _told(news, leaf))


def _told(news: News, leaf: int | None) -> None:
    if leaf is not None:
        news.finished(leaf)
        news.look()


def _compute(work: Work, scheduler: Any, keep: Keep, moved: Callable[[int | None], None]) -> None:
    nodes = work.nodes()
    index_of = {node.key: i for i, node in nodes.items()}
    noted = set[int]()

    def note(key: Any, value: Any, *state: Any) -> None:
        # Dask tells every callback of every computation; one that hangs takes its own never back.
        name = str(key[0] if isinstance(key, tuple) else key)
        if name != work.key and not name.startswith(f"{work.key}-"):
            return
        moved(key[1] if isinstance(key, tuple) and name == work.key else None)
        if key in index_of:
            noted.add(index_of[key])
            keep(index_of[key], value)

    # Dask's own schedulers tell of every task as it ends; others only hand over the results.
    with Callback(posttask=note):
        values = compute(*nodes.values(), scheduler=scheduler)
    for i, value in zip(nodes, values, strict=True):
        if i not in noted:
            keep(i, value)


def _watched(work: Work, scheduler: Any, keep: Keep, patience: Patience, news: News) -> None:
    """Wait for threads in this one, which alone keeps what they tell, and not for ever.

    A thread that hangs, on a disk that does not answer say, cannot be ended, and no other can take
    its place without the risk to hang too: the process is to end.
    """
    acts: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    outcome: Future[None] = Future()
    alone = threading.Event()

    def moved(leaf: int | None) -> None:
        if alone.is_set():
            raise _GivenUpError
        acts.put(partial(_told, news, leaf))

    def go_through() -> None:
        try:
            _compute(work, scheduler, lambda i, value: acts.put(partial(keep, i, value)), moved)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        acts.put(None)

    # A daemon: the process ends while it waits for a thread that hangs.
    threading.Thread(target=go_through, name="pass", daemon=True).start()
    try:
        while (act := _next(acts, patience)) is not None:
            act()
    finally:
        alone.set()
    outcome.result()


def _next(acts: SimpleQueue[Any], patience: Patience) -> Any:
    """Wait for news, in short waits: a process that was stopped for an hour has waited no hour."""
    for _ in range(LOOKS):
        with suppress(Empty):
            return acts.get(timeout=patience.silence / LOOKS)
    raise patience.is_over()
