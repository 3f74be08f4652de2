"""Turns: two leaves in flight for every one that computes, on workers of any kind and threads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from dask_gmm.data.grid import Block, Grid
from dask_gmm.engine.cluster import thread_workers
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import InputDataError

N_CELLS, CELLS = 24, 3


class Gauge:
    """How many are inside at a time, and how many have been at most."""

    def __init__(self):
        self._lock = threading.Lock()
        self.inside = self.most = 0

    def __enter__(self):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *of_exception):
        with self._lock:
            self.inside -= 1


READING, COMPUTING, IN_FLIGHT = Gauge(), Gauge(), Gauge()
#: Cells read and cells computed so far; whoever computes may wait for those that read.
COUNTS = {"read": 0, "computed": 0}
CHANGED = threading.Condition()


@dataclass(frozen=True)
class Slow:
    """A source whose cells take a moment."""

    moment: float
    bad: int | None = None
    grid = Grid((N_CELLS,), (1,))

    def part(self, cells):
        return self

    def read(self, cell):
        with READING:
            time.sleep(self.moment)
            if cell == self.bad:
                raise InputDataError(f"cell {cell} is bad")
        with CHANGED:
            COUNTS["read"] += 1
            CHANGED.notify_all()
        return Block(np.full((1, 1), float(cell)))


def numbers(blocks, moment):
    found = []
    with IN_FLIGHT:
        for block in blocks:
            with COMPUTING:
                time.sleep(moment)
            found.append(int(block.values[0, 0]))
    return found


def waiting_for_a_reader(blocks, last):
    """Compute each cell until another leaf has read one more; the last few have no other leaf."""
    for _ in blocks:
        with CHANGED:
            COUNTS["computed"] += 1
            wanted = COUNTS["computed"] + 1
            assert wanted > N_CELLS - last or CHANGED.wait_for(
                lambda wanted=wanted: COUNTS["read"] >= wanted, 20
            ), "nobody reads while this computes"
    return []


def failing(blocks, bad):
    for block in blocks:
        if block.number in bad:
            raise ValueError(f"at {block.number}")
    return []


LEAVES = [range(i, i + CELLS) for i in range(0, N_CELLS, CELLS)]


@pytest.fixture(params=["threads", "worker", "worker with two threads"])
def scheduler(request):
    """Threads of ours, and Dask workers that nobody has prepared; with the number of turns."""
    if request.param == "threads":
        with thread_workers(1) as workers:
            yield workers.scheduler, 1
        return
    from distributed import Client, LocalCluster

    n = 2 if "two" in request.param else 1
    local = {"dashboard_address": "127.0.0.1:0", "processes": False}
    with (
        LocalCluster(n_workers=1, threads_per_worker=n, **local) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client, n


@pytest.fixture
def gauges():
    for gauge in (READING, COMPUTING, IN_FLIGHT):
        gauge.most = 0
        assert gauge.inside == 0


def test_so_many_compute_as_there_are_turns_and_twice_as_many_are_in_flight(scheduler, gauges):
    where, n = scheduler
    passes = Passes.over_source(Slow(0.002), LEAVES, where)
    for _ in range(2):  # the second pass finds everything as the first one did
        assert passes.run("numbers", numbers, 0.004) == list(range(N_CELLS))
        assert COMPUTING.most == n
        assert n < IN_FLIGHT.most <= 2 * n


@pytest.mark.parametrize("cells", [1, CELLS])
def test_a_leaf_reads_while_another_one_computes_be_its_cell_the_first_or_not(scheduler, cells):
    where, n = scheduler
    COUNTS.update(read=0, computed=0)
    leaves = [range(i, i + cells) for i in range(0, N_CELLS, cells)]
    passes = Passes.over_source(Slow(0.0), leaves, where)
    passes.run("wait", waiting_for_a_reader, 2 * n * cells)
    assert COUNTS == {"read": N_CELLS, "computed": N_CELLS}


def test_reading_hides_behind_arithmetic(scheduler):
    where, n = scheduler
    n_cells, moment, took = 12, 0.1, []
    passes = Passes.over_source(Slow(moment), [range(i, i + 1) for i in range(n_cells)], where)
    # By turns it would be 2 moments a cell; a busy machine gets three tries, and some patience.
    while not took or (min(took) > 1.6 * n_cells * moment / n and len(took) < 3):
        before = time.perf_counter()
        assert passes.run("numbers", numbers, moment) == list(range(n_cells))
        took.append(time.perf_counter() - before)
    assert min(took) <= 1.6 * n_cells * moment / n


@pytest.mark.parametrize("bad", [0, 4, N_CELLS - 1])
def test_after_an_error_all_turns_are_free_again(scheduler, gauges, bad):
    where, n = scheduler
    with pytest.raises(InputDataError, match=f"cell {bad} is bad"):
        Passes.over_source(Slow(0.001, bad), LEAVES, where).run("numbers", numbers, 0.001)
    with pytest.raises(ValueError, match=f"at {bad}"):
        Passes.over_source(Slow(0.001), LEAVES, where).run("fail", failing, [bad])
    passes = Passes.over_source(Slow(0.002), LEAVES, where)
    assert passes.run("numbers", numbers, 0.004) == list(range(N_CELLS))
    assert n < IN_FLIGHT.most <= 2 * n


def test_items_take_turns_with_threads_too():
    gauge = Gauge()

    def item(number, moment):
        with gauge:
            time.sleep(moment)
        return number

    with thread_workers(2) as workers:
        assert Passes([], workers.scheduler).map("item", item, range(20), 0.002) == list(range(20))
    assert gauge.most == 2


def test_leaves_leave_no_threads_behind(scheduler):
    where, n = scheduler
    passes = Passes.over_source(Slow(0.0), LEAVES, where)
    passes.run("numbers", numbers, 0.0)
    before = threading.active_count()
    for bad in ([], [4]):
        try:
            passes.run("fail", failing, bad)
        except ValueError:
            assert bad
    end = time.monotonic() + 20
    while threading.active_count() > before + n and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before + n
