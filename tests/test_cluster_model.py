"""The model of a cluster: its limits, what must not help or harm, and the engine's own tree."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from benchmarks.bench_cluster import statistics_bytes
from benchmarks.cluster.model import Cluster, Costs, Reading, heartbeats
from benchmarks.cluster.predictions import predicted
from benchmarks.cluster.simulation import reading_seconds
from dask_gmm.engine.tree import Tree
from dask_gmm.mixture.families import FAMILIES
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.statistics import SufficientStatistics

FREE = Costs(*[0.0] * 9, bandwidth=inf, graph_bytes=0.0)
#: Of the size that machines have.
USUAL = Costs(0.02, 2e-4, 1e-4, 1e-4, 4e-4, 1e-3, 2e-4, 3e-4, 1e-3, 5e8, 4e3)
READING = Reading(1000, 1.0, 1e8, statistics_bytes=1e4)


def seconds(reading=READING, costs=USUAL, seed=0, **cluster):
    return reading_seconds(reading, Cluster(**cluster), costs, seed).seconds


def looked(took):
    """Allow for the client, which looks now and then."""
    return pytest.approx(took, abs=0.06)


def test_where_the_engine_costs_nothing_one_worker_takes_the_sum_and_many_share_it():
    assert seconds(costs=FREE, slots=1) == looked(1000)
    assert seconds(costs=FREE, slots=10) == looked(100)
    assert seconds(costs=FREE, slots=1000) == looked(1)
    # Three leaves for some is three for all: 1000 leaves on 400 workers.
    assert seconds(costs=FREE, slots=400) == looked(3)
    assert seconds(costs=FREE, slots=5000) == looked(1)


def test_storage_is_the_limit_where_it_is_slower_than_the_cores_and_none_where_it_is_faster():
    assert seconds(costs=FREE, slots=10, store_slot=1e12) == looked(100)
    assert seconds(costs=FREE, slots=10, store_slot=5e7) == looked(200)
    assert seconds(costs=FREE, slots=10, store_total=1e8) == looked(1000)


def test_cores_that_are_shared_are_no_more_cores():
    assert seconds(costs=FREE, slots=8, cores=2) == looked(500)
    naps = replace(READING, leaf_cpu=0.0, wait=1.0)
    assert seconds(naps, FREE, slots=8, cores=2) == looked(125)


def test_a_scheduler_is_the_limit_where_leaves_end_faster_than_it_hears_of_them():
    short = replace(READING, leaf_cpu=1e-3)
    costs = replace(FREE, scheduler_run=0.01)
    assert seconds(short, costs, slots=1000) == pytest.approx(0.01 * sum(short.widths), rel=0.05)


@pytest.mark.parametrize("name", [each for each in USUAL.__dict__ if each != "graph_bytes"])
def test_nothing_that_costs_more_takes_less(name):
    dearer = getattr(USUAL, name) * (0.1 if name == "bandwidth" else 10)
    for slots in (1, 30, 1000):
        usual = seconds(slots=slots)
        assert seconds(costs=replace(USUAL, **{name: dearer}), slots=slots) >= usual * (1 - 1e-9)


def test_more_workers_never_take_longer_and_are_used_ever_less():
    outcomes = [reading_seconds(READING, Cluster(n), USUAL) for n in (1, 3, 10, 30, 100, 300)]
    times = [each.seconds for each in outcomes]
    assert times == sorted(times, reverse=True)
    shares = [each.efficiency for each in outcomes]
    assert shares == sorted(shares, reverse=True)
    assert all(0 < share <= 1 for share in shares)


def test_uneven_leaves_and_deaths_cost_time_and_are_drawn_the_same_again():
    even, uneven = (seconds(slots=200, spread=spread) for spread in (0.0, 0.5))
    assert uneven > even
    deadly = Cluster(100, deaths=20.0, seen_after=1.0, back_after=2.0)
    outcome = reading_seconds(READING, deadly, USUAL)
    assert outcome.repeated > 0
    assert outcome.seconds > seconds(slots=100)
    assert outcome == reading_seconds(READING, deadly, USUAL)
    assert outcome != reading_seconds(READING, deadly, USUAL, seed=1)


def test_a_reading_ends_however_many_workers_die():
    for seed in range(5):
        deadly = Cluster(20, deaths=300.0, seen_after=1.0, back_after=1.0)
        outcome = reading_seconds(replace(READING, n_leaves=600), deadly, USUAL, seed)
        assert outcome.repeated > 100
        assert outcome.efficiency < 0.9


@pytest.mark.parametrize("n", [1, 15, 16, 17, 300, 5000, 30_000, 70_000])
def test_its_tree_is_the_engines(n):
    tree = Tree.of_sums(n)
    widths = Reading(n, 1.0).widths
    assert widths == [tree.width(level) for level in range(tree.kept + 1)]


def test_heartbeats_grow_to_two_hundred_a_second_and_no_further():
    assert heartbeats(4) == 8
    assert all(heartbeats(n) <= 200 for n in (1000, 10_000, 100_000))


def test_bytes_of_sums_are_those_of_the_arrays():
    zero = SufficientStatistics.zero(
        Frame.of_sample(np.random.default_rng(0).normal(size=(50, 4)), isotropic=False),
        FAMILIES["full"],
        np.zeros((8, 4)),
    )
    assert statistics_bytes(4, 8) == zero.N.nbytes + zero.sum_x.nbytes + zero.scatter.nbytes


def test_predictions_of_a_calibrated_toy():
    result = predicted(USUAL, 1e10, 50e-9, 0.05, 5)
    assert result["leaves"] == pytest.approx(1e10 * 16 / (512 << 20), rel=0.02)
    one = result["cases"]["even"][0]
    assert one["seconds"] == pytest.approx(1e10 * 50e-9, rel=0.01)
    assert one["core_hours"] == pytest.approx(5 * 1e10 * 50e-9 / 3600, rel=0.01)
    for series in result["cases"].values():
        assert all(each["seconds"] >= 0.9 * result["floor"] for each in series)
    stores = result["stores"]
    assert stores[0]["seconds"] >= 0.9 * 1e10 * 16 / stores[0]["total"]
