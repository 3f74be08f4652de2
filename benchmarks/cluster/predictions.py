"""What the model of :mod:`benchmarks.cluster.model` says of clusters that nobody has here."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.cluster.model import Cluster, Costs, Reading
from benchmarks.cluster.simulation import reading_seconds
from dask_gmm.engine.leaves import cut_leaves

#: Workers of one core each.
WORKERS = (1, 10, 100, 300, 1_000, 3_000, 10_000)
FAN_INS = (4, 16, 64, 256)
#: D and K whose sums travel: the small ones of the checks, and larger ones.
SHAPES = ((4, 8), (32, 32))
#: Assumed, not measured: leaves of a cluster that others use too (deviation of their logarithm),
#: and a death of each worker in a hundred hours.
UNEVEN, DEATHS = 0.3, 0.01
#: Readings that the mean is taken of where workers die: most of them see no death.
DRAWS = 10
#: Assumed: what a store gives to one worker, and to all together, in bytes a second.
STORE_SLOT, STORE_TOTALS = 2e8, (1e10, 1e11, 1e12)
FEATURES, CELL = 4, 4 << 20


def predicted(
    costs: Costs, rows: float, row_seconds: float, spread: float, n_readings: int
) -> dict[str, Any]:
    """Return all predictions for so many rows of four float32, as JSON values."""
    size = rows * FEATURES * 4
    n_leaves = len(cut_leaves(np.full(int(-(-size // CELL)), CELL)))
    reading = Reading(n_leaves, rows * row_seconds / n_leaves, size / n_leaves, _sums(4, 8))
    tasks = sum(reading.widths)
    cases = {
        "even": Cluster(1),
        "as here": Cluster(1, spread=spread),
        "uneven": Cluster(1, spread=UNEVEN),
        "uneven, deaths": Cluster(1, spread=UNEVEN, deaths=DEATHS),
    }
    return {
        "rows": rows,
        "readings": n_readings,
        "leaves": n_leaves,
        "leaf_seconds": reading.leaf_cpu,
        "tasks": tasks,
        "graph_bytes": tasks * costs.graph_bytes,
        "assumed": {
            "uneven": UNEVEN,
            "deaths": DEATHS,
            "draws": DRAWS,
            "store_slot": STORE_SLOT,
        },
        "floor": costs.reading
        + tasks * (costs.client_task + costs.scheduler_task + costs.scheduler_run),
        "task_rate": 1 / costs.scheduler_run,
        "full_scheduler": reading.leaf_cpu * n_leaves / (tasks * costs.scheduler_run),
        "cases": {
            name: [_said(reading, replace(case, slots=n), costs, n_readings) for n in WORKERS]
            for name, case in cases.items()
        },
        "stores": [
            _said(reading, Cluster(n, None, STORE_SLOT, total, spread), costs, n_readings)
            | {"total": total}
            for total in STORE_TOTALS
            for n in WORKERS[-4:]
        ],
        "fan_in": [_fan_in(reading, shape, f, spread, costs) for shape in SHAPES for f in FAN_INS],
        "remedies": _remedies(reading, spread, costs, n_readings),
    }


def _sums(D: int, K: int) -> int:
    return 8 * K * (1 + D + D * D)


def _said(reading: Reading, cluster: Cluster, costs: Costs, n_readings: int) -> dict[str, Any]:
    """Return an outcome with what a whole run would take."""
    seeds = range(DRAWS if cluster.deaths else 1)
    drawn = [asdict(reading_seconds(reading, cluster, costs, seed)) for seed in seeds]
    said = {name: sum(each[name] for each in drawn) / len(drawn) for name in drawn[0]}
    run = n_readings * said["seconds"]
    useful = reading.n_leaves * (reading.leaf_cpu + reading.wait)
    return said | {
        "efficiency": useful / (cluster.slots * said["seconds"]),
        "workers": cluster.slots,
        "run_seconds": run,
        "core_hours": run * cluster.slots / 3600,
        "scheduler_share": said["scheduler"] / said["seconds"],
    }


def _fan_in(
    reading: Reading, shape: tuple[int, int], fan_in: int, spread: float, costs: Costs
) -> dict[str, Any]:
    """Return what other trees would take; leaves take as long for any sums, to compare trees."""
    other = replace(reading, fan_in=fan_in, statistics_bytes=_sums(*shape))
    times = {
        str(n): reading_seconds(other, Cluster(n, spread=spread), costs).seconds
        for n in (WORKERS[-3], WORKERS[-1])
    }
    return {
        "shape": list(shape),
        "bytes": _sums(*shape),
        "fan_in": fan_in,
        "tasks": sum(other.widths),
        "to_client": other.widths[-1],
        "seconds": times,
    }


def _remedies(
    reading: Reading, spread: float, costs: Costs, n_readings: int
) -> list[dict[str, Any]]:
    """Return what would help the most workers, one change at a time."""
    n = WORKERS[-1]

    def leaves(count: int) -> Reading:
        scale = reading.n_leaves / count
        return replace(
            reading,
            n_leaves=count,
            leaf_cpu=reading.leaf_cpu * scale,
            leaf_bytes=reading.leaf_bytes * scale,
        )

    kept = replace(costs, client_task=0.0, scheduler_task=0.0)
    faster = replace(costs, scheduler_run=costs.scheduler_run / 4)
    one_each = leaves(n)
    changes = {
        "as it is": (reading, costs),
        "leaves of four times the bytes": (leaves(-(-reading.n_leaves // 4)), costs),
        "leaves of a quarter of the bytes": (leaves(4 * reading.n_leaves), costs),
        "a graph that stays between readings": (reading, kept),
        "a scheduler four times as fast": (reading, faster),
        "one task and one sum for each worker": (one_each, costs),
        "one task for each worker, and a graph that stays": (one_each, kept),
    }
    return [
        _said(read, Cluster(n, spread=spread), with_costs, n_readings)
        | {"change": name, "tasks": sum(read.widths)}
        for name, (read, with_costs) in changes.items()
    ]
