"""How far workers scale beyond this machine, and where the scheduler becomes the limit.

A small model of one reading on a cluster (the engine's leaves, scheduler, tree of sums, storage,
uneven leaves and deaths, simulated event by event) is given costs that are measured here, with
client, scheduler and every worker a process of its own. It is checked against readings that are
measured: an E-step (D = 4, K = 8, full) over a Zarr array by 1 to 8 workers that share the cores,
and leaves that only sleep, of which many are at work at once on few cores, until tasks come faster
than can be handled. Costs are taken before the checks and fitted to none of them. Then it says what
10^12 rows would take 1 to 10,000 workers of one core each.

``python -m benchmarks.bench_cluster`` writes table, JSON and picture; about 5 minutes, 4 GB of
memory, 1 GB of disk.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.cluster.costs import (
    addresses,
    asleep,
    idle_load,
    measured_costs,
    processes,
    scale,
    still_passes,
)
from benchmarks.cluster.model import Cluster, Costs, Reading, heartbeats
from benchmarks.cluster.pages import picture, table
from benchmarks.cluster.predictions import predicted
from benchmarks.cluster.simulation import reading_seconds
from benchmarks.known import Known, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, deliver, exit_code, required
from dask_gmm.data.sources import Source, begin_reading, open_source
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.reading import Cell
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters

D, K = 4, 8
ROWS, QUICK_ROWS = 50_000_000, 400_000
CHUNK_ROWS = 1 << 18
WORKERS, QUICK_WORKERS = (1, 2, 4, 8), (1, 2)
#: Worker processes and threads of each: slots that sleep at once.
SLEEPERS, QUICK_SLEEPERS = (4, 8), (2, 4)
#: Seconds that a leaf sleeps: from many times what the scheduler takes for it to as much.
NAPS, QUICK_NAPS = (0.2, 0.05, 0.01), (0.02,)
NAP = 0.1


class Stored:
    """An array on the disk, and the E-step over it."""

    def __init__(self, path: Path, rows: int) -> None:
        known = Known(D, K, rows, min(CHUNK_ROWS, rows // 16))
        write_zarr(path, known)
        self.source, sample = open_source("zarr", str(path)), known.block(0)
        self.rows = rows
        sizes = [known.length(cell) * D * 4 for cell in range(known.n_blocks)]
        cut = cut_leaves(sizes)
        # A toy array is one leaf: the model would have nothing to share out.
        self.leaves = cut if len(cut) > 1 else tuple(range(i, i + 1) for i in range(len(sizes)))
        unit = sample.std(axis=0).astype(float)
        self.frame = Frame.of_sample(sample, unit=unit, isotropic=False)
        self.parameters = Parameters.of("full", *known.parameters()).inside(self.frame)

    def passes(self, client: Any) -> Passes:
        """Return readings of the array."""
        return Passes.over_source(self.source, self.leaves, client)

    def leaf_seconds(self, client: Any) -> list[float]:
        """Return what every leaf takes on its own, one after the other on every worker."""
        passes, mine = self.passes(client), (self.source, self.parameters, self.frame)
        passes.map("bench", alone, self.leaves, *mine)
        return passes.map("bench", alone, self.leaves, *mine)

    def reading(self, client: Any) -> float:
        """Time one reading."""
        passes = self.passes(client)
        return seconds(lambda: passes.run("bench", e_step, self.parameters, self.frame))


def alone(cells: range, source: Source, parameters: Parameters, frame: Frame) -> float:
    """Time the E-step over some cells beside which nothing is read."""
    began, read = time.perf_counter(), begin_reading(source)

    def blocks() -> Iterator[Cell]:
        yield from (Cell(number, source, read(number)) for number in cells)

    e_step(blocks(), parameters, frame)
    return time.perf_counter() - began


def statistics_bytes(n_features: int, n_components: int) -> int:
    """Return the bytes of the sums of an E-step with full covariances."""
    return 8 * n_components * (1 + n_features + n_features**2)


def sleeping(slots: int, nap: float, turns: int, client: Any) -> tuple[Reading, Cluster, float]:
    """Time readings whose leaves sleep; return what the model is asked, and the median."""
    # Many rounds: whether one slot has a leaf more than another is not what is looked at.
    n = slots * int(min(40, max(8, 4 / nap)))
    passes, size = still_passes(n, client), statistics_bytes(D, K) // 8
    took = median(seconds(lambda: passes.run("bench", asleep, nap, size)) for _ in range(turns + 1))
    reading = Reading(n, 0.0, statistics_bytes=statistics_bytes(D, K), wait=nap)
    return reading, Cluster(slots, cores=_cores()), took


def _cores() -> int:
    return int(described()["cores"])


def measured(
    stored: Stored, quick: bool, turns: int
) -> tuple[Costs, list[float], list[tuple[str, Reading, Cluster, float]]]:
    """Measure costs, the time of every leaf, and the readings that the model is checked against."""
    counts = QUICK_WORKERS if quick else WORKERS
    checks = []
    with processes(1) as (cluster, client):
        for n in counts:
            scale(cluster, client, n)
            if n == 1:
                leaves = stored.leaf_seconds(client)
                spread = float(np.std(np.log(leaves[:-1])))
            if n == 2:
                n_tasks, hold = (200, 1.0) if quick else (3000, 4.0)
                costs = measured_costs(client, statistics_bytes(D, K), n_tasks, hold)
                idle = idle_load(client, hold)
            stored.reading(client)
            took = median(stored.reading(client) for _ in range(turns))
            reading = Reading(
                len(leaves), sum(leaves) / len(leaves), statistics_bytes=statistics_bytes(D, K)
            )
            checks.append(("E-step", reading, Cluster(n, cores=_cores(), spread=spread), took))
            checks.append(("sleep", *sleeping(n, NAP, turns, client)))
            click.echo(f"{n} workers: {took:.2f} s", err=True)
        more = heartbeats(len(addresses(client))) - heartbeats(2)
        beat = (idle_load(client, hold) - idle) / more if more else 0.0
    n, threads = QUICK_SLEEPERS if quick else SLEEPERS
    with processes(n, threads) as (_, client):
        for nap in QUICK_NAPS if quick else NAPS:
            checks.append(("sleep", *sleeping(n * threads, nap, turns, client)))
    return replace(costs, heartbeat=max(0.0, beat)), leaves, checks


def checked(costs: Costs, checks: Sequence[tuple[str, Reading, Cluster, float]]) -> list[Any]:
    """Put beside every measured time what the model says."""
    found = []
    for kind, reading, cluster, took in checks:
        said = reading_seconds(reading, cluster, costs).seconds
        found.append(
            {
                "kind": kind,
                "slots": cluster.slots,
                "leaves": reading.n_leaves,
                "leaf_seconds": reading.leaf_cpu + reading.wait,
                "measured": took,
                "predicted": said,
                "error": said / took - 1,
            }
        )
    return found


def readings_of_a_run() -> int:
    """Return how often a run over 10^9 rows has read them: as measured by bench_out_of_core."""
    text = (RESULTS / "billion.json").read_text(encoding="utf-8")
    return int(json.loads(text)["runs"]["warm"]["passes"])


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--rows", default=1e12, show_default=True, help="To predict.")
@click.option("--require-error", default=np.inf, help="Most relative error, in the median.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    turns: int,
    rows: float,
    require_error: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Measure costs, check the model that is given them, and predict."""
    with tempfile.TemporaryDirectory(dir=directory) as place:
        stored = Stored(Path(place) / "data.zarr", QUICK_ROWS if quick else ROWS)
        costs, leaves, checks = measured(stored, quick, turns)
    row = sum(leaves) / stored.rows
    spread = checks[0][2].spread
    result = {
        "machine": described(),
        "quick": quick,
        "turns": turns,
        "costs": asdict(costs),
        "statistics_bytes": statistics_bytes(D, K),
        "row_seconds": row,
        "spread": spread,
        "checks": checked(costs, checks),
        **predicted(costs, rows / (1e4 if quick else 1), row, spread, readings_of_a_run()),
    }
    deliver("cluster", result, table(result, __doc__ or ""), picture(result), output)
    errors = [abs(each["error"]) for each in result["checks"]]
    required("error of the model, median", median(errors), most=require_error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_cluster", arguments)


if __name__ == "__main__":
    sys.exit(main())
