"""Passes: every leaf once, results added by a fixed tree, whichever scheduler computes them."""

from __future__ import annotations

from dataclasses import dataclass

import dask
import numpy as np
import pytest

from dask_gmm.data.grid import Block, Grid
from dask_gmm.engine.leaves import FAN_IN
from dask_gmm.engine.passes import Passes, StoredLeaf
from dask_gmm.errors import InputDataError, RunFailedError


@dataclass(frozen=True)
class Numbers:
    """A source of one row per cell that counts how often each is read."""

    n: int
    reads: list
    path: str = "/data/numbers"

    @property
    def grid(self):
        return Grid((self.n,), (1,))

    def part(self, cells):
        return self

    def where(self, first, last):
        place = f"chunk ({first},)" if first == last else f"chunks ({first},) to ({last},)"
        return f"{self.path}: {place} of the leading axes"

    def read(self, cell):
        self.reads.append(cell)
        if cell == 13:
            raise InputDataError(f"{self.path}: chunk {cell} is unlucky")
        return Block(np.array([[float(cell)]]))


@dataclass(frozen=True)
class Words:
    """A monoid that does not commute, and tells how it was added."""

    text: str

    def __add__(self, other):
        return Words(f"({self.text}{other.text})")


def spell(blocks, suffix=""):
    total = Words("")
    for block in blocks:
        total = Words(total.text + f"{block.number}{suffix} ")
    return total


def name_of(item, prefix):
    return f"{prefix}{item}"


def leaves_of(n, size):
    return [range(start, min(start + size, n)) for start in range(0, n, size)]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", None])
@pytest.mark.parametrize(("n", "size"), [(1, 1), (5, 2), (12, 1), (300, 25), (40, 1)])
def test_every_cell_is_read_once_and_added_in_order(n, size, scheduler):
    source = Numbers(n, [])
    cells = [cell for cell in range(n) if cell != 13]
    leaves = [[cell for cell in leaf if cell != 13] for leaf in leaves_of(n, size)]
    passes = Passes.over_source(source, [leaf for leaf in leaves if leaf], scheduler)
    said = passes.run("spell", spell, ";")
    assert said.text.replace("(", "").replace(")", "").split() == [f"{cell};" for cell in cells]
    assert sorted(source.reads) == cells
    assert passes.n_passes == 1


def test_the_tree_depends_on_the_number_of_leaves_alone():
    n = FAN_IN * 3 + 2
    texts = {
        Passes([StoredLeaf(Numbers(13, []), [i % 13]) for i in range(n)], scheduler)
        .run("spell", spell)
        .text
        for scheduler in ("synchronous", "threads", "threads")
    }
    (text,) = texts
    depth = max(text[:i].count("(") - text[:i].count(")") for i in range(len(text)))
    assert depth < 2 * FAN_IN  # a chain of sums would be as deep as there are leaves


def test_readings_are_counted_and_maps_are_none():
    passes = Passes.over_source(Numbers(3, []), leaves_of(3, 1), "synchronous")
    assert passes.n_leaves == 3
    for i in range(3):
        assert passes.n_passes == i
        passes.run("spell", spell)
    assert passes.map("name", name_of, ["a", "b"], "x") == ["xa", "xb"]
    assert passes.n_passes == 3


def test_many_items_are_mapped_in_order():
    passes = Passes([], "threads")
    assert passes.map("name", name_of, range(100), "") == [str(i) for i in range(100)]


def test_an_error_of_a_leaf_reaches_the_caller_as_it_is():
    passes = Passes.over_source(Numbers(20, []), leaves_of(20, 4), "threads")
    with pytest.raises(InputDataError, match="/data/numbers: chunk 13 is unlucky"):
        passes.run("spell", spell)


def test_two_programs_on_one_scheduler_do_not_share_tasks():
    keys = []

    def collect(graph, wanted, **options):
        keys.extend(graph.__dask_graph__())
        return dask.get(graph, wanted)

    for _ in range(2):
        Passes.over_source(Numbers(3, []), leaves_of(3, 1), collect).run("spell", spell)
    assert len(keys) == len(set(keys)) == 2 * 4


class KilledWorker(Exception):  # noqa: N818  its name is what counts
    """As distributed raises it; by name, because not every scheduler is distributed's."""

    def __init__(self, task):
        super().__init__(task)
        self.task, self.allowed_failures = task, 3


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (1, "/data/numbers: chunks (4,) to (7,) of the leading axes: the task "),
        (2, "/data/numbers: chunk (8,) of the leading axes: the task "),
        (None, "its sums: the task "),
    ],
)
def test_a_leaf_that_kills_its_workers_is_named(place, words):
    def killing(graph, wanted, **options):
        keys = [key for key in graph.__dask_graph__() if isinstance(key, tuple)]
        leaves = sorted(key for key in keys if "sum" not in key[0])
        (root,) = (key for key in keys if "sum" in key[0])
        raise KilledWorker(root if place is None else leaves[place])

    passes = Passes.over_source(Numbers(9, []), leaves_of(9, 4), killing)
    with pytest.raises(RunFailedError, match="ended its worker process 4 times") as caught:
        passes.run("spell", spell)
    assert str(caught.value).startswith(words)
    assert "cluster.memory_limit" in str(caught.value)


def test_what_others_raise_is_not_ours_to_explain():
    def killing(graph, wanted, **options):
        raise KilledWorker("someone-elses-task")

    with pytest.raises(KilledWorker):
        Passes.over_source(Numbers(3, []), leaves_of(3, 1), killing).run("spell", spell)
