"""A pass: one reading of the data. A function maps every leaf; a fixed tree adds the results.

The graph of a pass is one task that holds the arguments (parameters, say), one task per leaf, and
sums of sixteen. The arguments travel as a task, because a task is recomputed where a scattered
value is lost with its holder. For stored data a leaf task opens its cells itself, so that no graph
of reads is built or shipped. Which worker runs what, and in which order, changes no bit.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import reduce
from typing import Any, TypeVar

from dask.delayed import Delayed, delayed

from dask_gmm.data.sources import Source
from dask_gmm.engine.leaves import FAN_IN
from dask_gmm.engine.reading import Cell, read_cells
from dask_gmm.engine.threads import one_blas_thread as one_blas_thread
from dask_gmm.engine.turns import in_turn
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
    """

    def __init__(self, leaves: Sequence[Leaf | Delayed], scheduler: Any = None) -> None:
        self._leaves = tuple(leaves)
        self._scheduler = scheduler
        self._n_computed = 0
        # A scheduler takes equal keys for equal tasks, and it may serve other programs too.
        self._token = uuid.uuid4().hex[:8]
        self.n_passes = 0

    @classmethod
    def over_source(cls, source: Source, leaves: Sequence[range], scheduler: Any = None) -> Passes:
        """Read stored data: each leaf is a run of the source's cells."""
        return cls([StoredLeaf(source, cells) for cells in leaves], scheduler)

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
        return self._compute(name, _run_leaf, function, self._leaves, arguments, _tree_sum)

    def map(
        self, name: str, function: Callable[..., Result], items: Sequence[Any], *arguments: Any
    ) -> list[Result]:
        """Return ``function(item, *arguments)`` for every item, computed where passes run.

        Nothing is read.
        """
        return self._compute(name, _run_item, function, items, arguments, _gathered)

    def _compute(
        self,
        name: str,
        task: Callable[..., Any],
        function: Callable[..., Any],
        items: Sequence[Any],
        arguments: tuple[Any, ...],
        collect: Callable[[list[Delayed], str], Delayed],
    ) -> Any:
        self._n_computed += 1
        key = f"{name}-{self._token}-{self._n_computed}"
        call = delayed(task, pure=False)
        shared = delayed(arguments, pure=False, traverse=False, name=f"{key}-arguments")
        if len(items) > FEW:
            shared = delayed(_identity, pure=False)(arguments, dask_key_name=f"{key}-arguments")
        # A tuple's first part is the scheduler's task group: leaves make one of their own, or
        # they would all go where the arguments are.
        parts = [
            call(function, item, shared, dask_key_name=(key, i)) for i, item in enumerate(items)
        ]
        try:
            return collect(parts, key).compute(scheduler=self._scheduler)
        except Exception as error:
            poison = _poison(error, key, items)
            if poison is None:
                raise
            raise poison from error


class StoredLeaf:
    """A leaf of stored data: its task opens the cells itself."""

    def __init__(self, source: Source, cells: Sequence[int]) -> None:
        self.source, self.cells = source.part(cells), cells

    def __call__(self) -> Generator[Cell]:
        """Yield the cells in order."""
        return read_cells(self.source, self.cells)

    def __str__(self) -> str:
        return self.source.where(self.cells[0], self.cells[-1])


def _tree_sum(parts: list[Delayed], key: str) -> Delayed:
    add = delayed(_sum, pure=False)
    level = 0
    while len(parts) > 1 or level == 0:
        groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
        parts = [
            add(group, dask_key_name=(f"{key}-sum-{level}", i)) for i, group in enumerate(groups)
        ]
        level += 1
    return parts[0]


def _identity(value: Any) -> Any:
    return value


def _sum(parts: Sequence[Any]) -> Any:
    return reduce(operator.add, parts)


def _gathered(parts: list[Delayed], key: str) -> Delayed:
    return delayed(list, pure=False)(parts, dask_key_name=f"{key}-all")


def _run_leaf(function: LeafFunction[Result], leaf: Leaf, arguments: Sequence[Any]) -> Result:
    # Closed, not only left: an exception holds on to it, and it may hold others up.
    with one_blas_thread(), closing(leaf()) as blocks:
        return function(blocks, *arguments)


def _run_item(function: Callable[..., Result], item: Any, arguments: Sequence[Any]) -> Result:
    with one_blas_thread(), in_turn():
        return function(item, *arguments)


def _poison(error: Exception, key: str, items: Sequence[Any]) -> RunFailedError | None:
    """Return what to say where one task has ended every worker that it was given to."""
    task: Any = getattr(error, "task", "")
    if type(error).__name__ != "KilledWorker" or key not in str(task):
        return None
    is_leaf = isinstance(task, tuple) and task[0] == key
    what = str(items[task[1]]) if is_leaf else "its sums"
    deaths = int(getattr(error, "allowed_failures", 3)) + 1
    return RunFailedError(
        f"{what}: the task {task} ended its worker process {deaths} times, and was given up; "
        "either it needs more memory than cluster.memory_limit, or reading these chunks crashes"
    )
