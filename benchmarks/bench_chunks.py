"""What do many small chunks cost a pass, apart from what the storage library takes? 5 minutes.

Passes of two local workers over Zarr arrays of ever more chunks of a few kilobytes. The engine's
overhead (client, scheduler, leaves, bookkeeping per chunk) is a pass over as many chunks whose
reading is free; Zarr's cost is the same chunks read by nothing but Zarr in as many tasks; what the
source adds (it looks whether every chunk is there and whole) is what reading through it takes
beyond that. Times are medians. ``python -m benchmarks.bench_chunks`` writes table, JSON, picture.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.known import Known, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from benchmarks.sources import Free, read_by_library, read_only
from dask_gmm.data.sources import open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (100, 1_000, 10_000, 100_000)
QUICK_COUNTS = (20, 100)
#: Rows of a chunk, of six float32: 6 kB.
ROWS = 256


def measure(path: Path, n: int, turns: int, scheduler: Any) -> dict[str, Any]:
    """Time what a pass over n chunks is made of, in seconds."""
    write_zarr(path, Known(6, 2, n * ROWS, ROWS))
    source = open_source("zarr", str(path))
    manifest = seconds(source.manifest)
    leaves = cut_leaves(np.full(n, ROWS * 6 * 4))
    free = Passes.over_source(Free(source), leaves, scheduler)
    ours = Passes.over_source(source, leaves, scheduler)
    times = {
        "engine": lambda: free.run("bench", read_only),
        "library": lambda: ours.map("bench", read_by_library, leaves, str(path), ROWS),
        "pass": lambda: ours.run("bench", read_only),
    }
    for warm_up in times.values():
        warm_up()
    taken = {name: median(seconds(each) for _ in range(turns)) for name, each in times.items()}
    return {"chunks": n, "leaves": len(leaves), "manifest": manifest, **taken}


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    head = (
        "| chunks | tasks | engine, s | Zarr alone, s | pass, s | engine, µs a chunk "
        "| Zarr, µs a chunk | pass, µs a chunk | manifest, once, s |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    lines = [*beginning("Many small chunks", __doc__ or "", result), head]
    for each in result["series"]:
        a_chunk = [1e6 * each[name] / each["chunks"] for name in ("engine", "library", "pass")]
        lines.append(
            f"| {each['chunks']:,} | {each['leaves']:,} | {each['engine']:.2f} "
            f"| {each['library']:.2f} | {each['pass']:.2f} "
            + "".join(f"| {t:,.0f} " for t in a_chunk)
            + f"| {each['manifest']:.2f} |"
        )
    return "\n".join(lines) + "\n\n![Seconds by number of chunks](chunks.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw the parts of a pass against the number of chunks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes, series = figure.subplots(), result["series"]
    for name, label in (("pass", "pass"), ("library", "Zarr alone"), ("engine", "engine alone")):
        axes.plot(
            [each["chunks"] for each in series], [each[name] for each in series], "o-", label=label
        )
    axes.set(xscale="log", yscale="log", xlabel="chunks", ylabel="seconds, two workers")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--require-engine", default=np.inf, help="Most seconds of engine in the last row.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool, turns: int, require_engine: float, directory: Path | None, output: Path | None
) -> None:
    """Time passes over ever more small chunks, and their parts."""
    series = []
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        local_workers(2, 1, None) as workers,
    ):
        for n in QUICK_COUNTS if quick else COUNTS:
            series.append(measure(Path(place) / f"{n}.zarr", n, turns, workers.scheduler))
            click.echo(str(series[-1]), err=True)
    result = {"machine": described(), "quick": quick, "turns": turns, "series": series}
    deliver("chunks", result, table(result), picture(result), output)
    last = series[-1]
    required(f"engine, {last['chunks']:,} chunks, s", last["engine"], most=require_engine)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_chunks", arguments)


if __name__ == "__main__":
    sys.exit(main())
