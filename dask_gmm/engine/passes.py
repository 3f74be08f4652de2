"""A pass: one reading of the data. A function maps every leaf; a fixed tree adds the results.

The arguments of a pass (parameters, say) travel as a task, because a task is recomputed where a
scattered value is lost with its holder. For stored data a leaf task opens its cells itself, so that
no graph of reads is built or shipped. Sums of sixteen are made where the leaves were; those of one
level come to the client as they get ready, where a ledger may keep them: what it has kept, another
process need not do again. Which worker runs what, and in which order, changes no bit.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from dask.delayed import Delayed, delayed

from dask_gmm.data.sources import Source
from dask_gmm.engine.futures import hand_over
from dask_gmm.engine.here import compute_here
from dask_gmm.engine.ledger import Ledger, NoLedger
from dask_gmm.engine.news import News, Watcher, log_leaf
from dask_gmm.engine.patience import Patience
from dask_gmm.engine.reading import Cell, read_cells
from dask_gmm.engine.threads import one_blas_thread as one_blas_thread
from dask_gmm.engine.tree import Tree, add_up
from dask_gmm.engine.turns import in_turn
from dask_gmm.engine.work import Work
from dask_gmm.errors import RunFailedError

#: So few tasks carry the arguments themselves: a scheduler keeps few tasks where a value that they
#: share lies, and the other workers idle.
FEW = 16

Result = TypeVar("Result")
#: From the blocks of one leaf, and the pass's arguments, to a value that has a ``+``.
LeafFunction = Callable[..., Result]
#: A leaf of data: called in its task, it yields the leaf's blocks.
Leaf = Callable[[], Generator[Any]]


class Passes:
    """Readings of one data set, each of them counted.

    Parameters
    ----------
    leaves : sequence of callable or Delayed
        Each is, or computes to, a function without arguments that yields the leaf's blocks.
    scheduler : optional
        As ``dask.compute`` takes it; None uses the active one.
    ledger : Ledger, optional
        Where results are kept, and looked up before anything is read.
    patience : Patience
        When a leaf on a distributed scheduler is run once more, and when a pass is given up.
    watcher : Watcher, optional
        Who is told which leaves of a reading have finished.
    """

    def __init__(
        self,
        leaves: Sequence[Leaf | Delayed],
        scheduler: Any = None,
        ledger: Ledger | None = None,
        patience: Patience = Patience(),  # noqa: B008  it is frozen
        watcher: Watcher | None = None,
    ) -> None:
        self._leaves = tuple(leaves)
        self._scheduler = scheduler
        self._ledger = ledger or NoLedger()
        self._patience = patience
        self._news = News(watcher)
        self._n_computed = 0
        # A scheduler takes equal keys for equal tasks, and it may serve other programs too.
        self._token = uuid.uuid4().hex[:8]
        self.n_passes = 0
        #: Whether the last reading was in the ledger, so that nothing was read.
        self.recalled = False

    @classmethod
    def over_source(
        cls,
        source: Source,
        leaves: Sequence[range],
        scheduler: Any = None,
        ledger: Ledger | None = None,
        patience: Patience = Patience(),  # noqa: B008
        halo: Sequence[int] | None = None,
        watcher: Watcher | None = None,
    ) -> Passes:
        """Read stored data: each leaf is a run of the source's cells, with a halo if one is given.

        The halo is a length per leading axis.
        """
        read = [StoredLeaf(source, cells, halo) for cells in leaves]
        return cls(read, scheduler, ledger, patience, watcher)

    @property
    def n_leaves(self) -> int:
        """Number of leaves, and of tasks that read in a pass."""
        return len(self._leaves)

    def run(self, name: str, function: LeafFunction[Result], *arguments: Any) -> Result:
        """Read the data once.

        Parameters
        ----------
        name : str
            Begins the keys of the tasks: what the dashboard and error messages show.
        function : callable
            Maps (blocks of a leaf, *arguments) to a value with ``+``. It must be importable on
            the workers.
        *arguments : object
            Sent once.

        Returns
        -------
        object
            The sum over all leaves, added in an order that depends on the number of leaves alone.
        """
        self.n_passes += 1
        # Parts are handed over where they are kept, or where a watch is kept on them.
        whole = type(self._ledger) is NoLedger and not _is_client(self._scheduler)
        tree = (Tree.whole if whole else Tree.of_sums)(len(self._leaves))
        return self._read(name, function, arguments, tree)

    def write(self, name: str, function: LeafFunction[Result], *arguments: Any) -> Result:
        """Read the data once with a function that writes: every single leaf is kept as finished.

        Parameters and result are those of :meth:`run`.
        """
        self.n_passes += 1
        tree = Tree.of_leaves(len(self._leaves))
        return self._read(name, function, arguments, tree, writes=True)

    def _read(
        self,
        name: str,
        function: LeafFunction[Result],
        arguments: tuple[Any, ...],
        tree: Tree,
        *,
        writes: bool = False,
    ) -> Result:
        logs = self._news.wanted and _is_client(self._scheduler)
        task = _run_logged_leaf if logs else _run_leaf
        result, self.recalled = self._compute(
            name,
            task,
            function,
            self._leaves,
            arguments,
            tree,
            add_up,
            writes=writes,
            news=self._news,
        )
        return result

    def map(
        self,
        name: str,
        function: Callable[..., Result],
        items: Sequence[Any],
        *arguments: Any,
        writes: bool = False,
    ) -> list[Result]:
        """Return ``function(item, *arguments)`` for every item, computed where passes run.

        Nothing is read; ``writes`` tells that the function leaves something on a disk.
        """
        tree = Tree.of_leaves(len(items))
        result, _ = self._compute(
            name, _run_item, function, items, arguments, tree, list, writes=writes, news=News()
        )
        return result

    def _compute(
        self,
        name: str,
        task: Callable[..., Any],
        function: Callable[..., Any],
        items: Sequence[Any],
        arguments: tuple[Any, ...],
        tree: Tree,
        collect: Callable[[list[Any]], Any],
        *,
        writes: bool,
        news: News,
    ) -> tuple[Any, bool]:
        """Return what the items add up to, and whether the ledger had it already."""
        self._n_computed += 1
        key = f"{name}-{self._token}-{self._n_computed}"
        call = self._ledger.call(name, tree.n_kept, writes=writes)
        if call.result is not None:
            return call.result[0], True

        def tasks(which: Sequence[int], key: str) -> list[Delayed]:
            return _tasks(task, function, {i: items[i] for i in which}, arguments, key)

        values = dict(call.parts)

        def keep(index: int, value: Any) -> None:
            values[index] = call.part(index, value)
            for leaf in tree.leaves_below([index]):
                news.finished(leaf)

        missing = tuple(i for i in range(tree.n_kept) if i not in values)
        work = Work(tree, missing, tasks, key)
        try:
            with news.of(name, key, tree.n_leaves):
                for leaf in tree.leaves_below(values):
                    news.finished(leaf)
                if _is_client(self._scheduler):
                    news.listen(self._scheduler)
                    hand_over(work, self._scheduler, keep, self._patience, news)
                else:
                    compute_here(work, self._scheduler, keep, self._patience, news)
            return call.finish(collect([values[i] for i in range(tree.n_kept)])), False
        except BaseException as error:
            call.abandon()
            poison = _poison(error, key, items)
            if poison is None:
                raise
            raise poison from error


class StoredLeaf:
    """A leaf of stored data: its task opens the cells itself."""

    def __init__(
        self, source: Source, cells: Sequence[int], halo: Sequence[int] | None = None
    ) -> None:
        self.source, self.cells, self.halo = source.part(cells), cells, halo

    def __call__(self) -> Generator[Cell]:
        """Yield the cells in order."""
        return read_cells(self.source, self.cells, self.halo)

    def __str__(self) -> str:
        return self.source.where(self.cells[0], self.cells[-1])


def _tasks(
    task: Callable[..., Any],
    function: Callable[..., Any],
    items: Mapping[int, Any],
    arguments: tuple[Any, ...],
    key: str,
) -> list[Delayed]:
    """Return one lazy task per item; they share the one that holds the arguments."""
    # A tuple's first part is the scheduler's task group: leaves make one of their own, or
    # they would all go where the arguments are.
    if len(items) <= FEW:
        call = delayed(partial(task, arguments=arguments), pure=False)
        return [call(function, item, dask_key_name=(key, i)) for i, item in items.items()]
    call = delayed(task, pure=False)
    shared = delayed(_identity, pure=False)(arguments, dask_key_name=f"{key}-arguments")
    return [call(function, item, shared, dask_key_name=(key, i)) for i, item in items.items()]


def _identity(value: Any) -> Any:
    return value


def _is_client(scheduler: Any) -> bool:
    return callable(getattr(scheduler, "scheduler_info", None))


def _run_leaf(function: LeafFunction[Result], leaf: Leaf, arguments: Sequence[Any]) -> Result:
    # Closed, not only left: an exception holds on to it, and it may hold others up.
    with one_blas_thread(), closing(leaf()) as blocks:
        return function(blocks, *arguments)


def _run_logged_leaf(
    function: LeafFunction[Result], leaf: Leaf, arguments: Sequence[Any]
) -> Result:
    result = _run_leaf(function, leaf, arguments)
    log_leaf()
    return result


def _run_item(function: Callable[..., Result], item: Any, arguments: Sequence[Any]) -> Result:
    with one_blas_thread(), in_turn():
        return function(item, *arguments)


def _poison(error: BaseException, key: str, items: Sequence[Any]) -> RunFailedError | None:
    """Return what to say where one task has ended every worker that it was given to."""
    task: Any = getattr(error, "task", "")
    if type(error).__name__ != "KilledWorker" or key not in str(task):
        return None
    is_leaf = isinstance(task, tuple) and task[0] == key
    what = str(items[task[1]]) if is_leaf else "its sums"
    deaths = int(getattr(error, "allowed_failures", 3)) + 1
    return RunFailedError(
        f"{what}: the task {task} ended its worker process {deaths} times, and was given up; "
        "either it needs more memory than cluster.memory_limit, or reading these chunks crashes "
        "(or those next to them, which the same process was reading ahead)"
    )
