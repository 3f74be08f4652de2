"""What it costs to choose among many candidates: together in shared readings, or one by one.

Rows of float32 from a known mixture (D = 6, K = 5) in a Zarr array; K = 1 to 10, full and diagonal
covariances, three seeds: 60 candidates. Together they are one `dask-gmm select`; one by one every
candidate has a survey, a start and EM of its own, by the same program on the same two workers,
which stand ready for both. All of it is measured, nothing is inferred. Once more together with
`fit.halving: false`, where no candidate leaves before it has converged.

``python -m benchmarks.bench_selection`` writes table, JSON and picture. At the default 2,000,000
rows the starts on the sample, which nobody shares, take most of the time, so that the bars mean
nothing there; they are for ``--rows 20e6``, half a gigabyte and about a quarter of an hour.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.known import Known, write_zarr
from benchmarks.machine import described
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from dask_gmm.engine.cluster import Workers, local_workers
from dask_gmm.run.choosing import fit_candidates
from dask_gmm.run.clock import Clock
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D, K = 6, 5
ROWS, QUICK_ROWS = 2_000_000, 20_000
CHUNK_ROWS = 1 << 17  # 3 MiB
SIZES, FAMILIES, SEEDS = range(1, 11), ("full", "diag"), range(3)
QUICK_SIZES = range(4, 6)
CONFIG = """\
version: 1
name: selection
run_dir: run
source: {{kind: zarr, path: {path}}}
model:
  {{n_components: {sizes}, covariance_type: {families}, n_init: {n_init}, random_state: {seed}}}
fit: {{halving: {halving}}}
"""


def fitted(
    workers: Workers,
    folder: Path,
    sizes: Sequence[int],
    families: Sequence[str],
    seeds: Sequence[int],
    *,
    halving: bool = True,
) -> dict[str, Any]:
    """Fit candidates together; return seconds, readings, and what was chosen."""
    text = CONFIG.format(
        path=folder / "data.zarr",
        sizes=list(sizes),
        families=list(families),
        n_init=len(seeds),
        seed=seeds[0],
        halving=str(halving).lower(),
    )
    (folder / "select.yaml").write_text(text)
    before = time.perf_counter()
    job = plan_configured(load_config(folder / "select.yaml"))
    selected, n_passes = fit_candidates(job, workers, Clock())
    took = time.perf_counter() - before
    solution = selected.winner.solution
    return {
        "seconds": took,
        "passes": n_passes,
        "chosen": list(selected.winner.contender.kind),
        "likelihood": solution.lower_bound,
        "converged": all(each.solution.converged for each in _kept(selected.finishers)),
    }


def _kept(finishers: Sequence[Any]) -> Iterator[Any]:
    """Yield the fits that were not halved away."""
    return (each for each in finishers if "were ahead" not in each.solution.stopped_by)


def measure(workers: Workers, folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the candidates together, one by one, and together without halving."""
    fitted(workers, folder, [2], ["diag"], [0])  # workers compile their loops
    together = fitted(workers, folder, sizes, FAMILIES, SEEDS)
    click.echo(f"together: {together}", err=True)
    alone = []
    for name in FAMILIES:
        for size in sizes:
            for seed in SEEDS:
                found = fitted(workers, folder, [size], [name], [seed])
                alone.append({"family": name, "K": size, "seed": seed, **found})
        click.echo(f"{name}: {sum(each['seconds'] for each in alone):.0f} s so far", err=True)
    without = fitted(workers, folder, sizes, FAMILIES, SEEDS, halving=False)
    click.echo(f"without halving: {without}", err=True)
    total, slowest = (
        sum(each["seconds"] for each in alone),
        max(each["passes"] for each in alone),
    )
    return {
        "candidates": len(alone),
        "together": together,
        "without_halving": without,
        "alone": {
            "seconds": total,
            "passes": sum(each["passes"] for each in alone),
            "most_passes": slowest,
            "fits": alone,
        },
        "passes_of_slowest": together["passes"] / slowest,
        "time": together["seconds"] / total,
        "time_without_halving": without["seconds"] / total,
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    alone = result["alone"]
    family, size = result["together"]["chosen"]
    named = {
        "together": result["together"],
        "together, halving off": result["without_halving"],
        "one by one": alone,
    }
    lines = [
        *beginning("Choosing among many candidates", __doc__ or "", result),
        f"{result['rows']:,} rows, {result['candidates']} candidates; the slowest of them takes "
        f"{alone['most_passes']} readings alone. Chosen: K = {size}, {family} (drawn: K = {K}, "
        "full).\n",
        "| candidates | readings | seconds | of one by one |\n|---|---:|---:|---:|",
        *(
            f"| {name} | {each['passes']} | {each['seconds']:.1f} "
            f"| {each['seconds'] / alone['seconds']:.2f} |"
            for name, each in named.items()
        ),
    ]
    return "\n".join(lines) + "\n\n![Seconds, together and one by one](selection.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw the seconds of all three ways, those of one by one stacked by K."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.barh("together", result["together"]["seconds"], color="#0072b2")
    axes.barh("halving off", result["without_halving"]["seconds"], color="#56b4e9")
    fits, left = result["alone"]["fits"], 0.0
    for i, size in enumerate(sorted({each["K"] for each in fits})):
        took = sum(each["seconds"] for each in fits if each["K"] == size)
        axes.barh("one by one", took, left=left, color="#969696" if i % 2 else "#bdbdbd")
        axes.text(left + took / 2, 2, str(size), ha="center", va="center", fontsize="x-small")
        left += took
    axes.set(xlabel="seconds (numbers: K)")
    axes.invert_yaxis()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--rows", type=float, help=f"Rows, such as 20e6; by default {ROWS:,}.")
@click.option("--require-passes", default=np.inf, help="Most readings, of the slowest candidate's.")
@click.option("--require-time", default=np.inf, help="Most time, of that one by one.")
@click.option("--require-time-without", default=np.inf, help="The same with halving off.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    rows: float | None,
    require_passes: float,
    require_time: float,
    require_time_without: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Fit 60 candidates together and one by one."""
    n = int(rows or (QUICK_ROWS if quick else ROWS))
    known = Known(D, K, n, min(CHUNK_ROWS, max(1, n // 8)))
    with tempfile.TemporaryDirectory(dir=directory) as place, local_workers(2, 1, None) as workers:
        write_zarr(Path(place) / "data.zarr", known)
        measured = measure(workers, Path(place), QUICK_SIZES if quick else SIZES)
    result = {"machine": described(), "quick": quick, "rows": n, **measured}
    deliver("selection", result, table(result), picture(result), output)
    words = "of the slowest candidate's, of all together"
    required(f"readings, {words}", result["passes_of_slowest"], most=require_passes)
    required("time together, of one by one", result["time"], most=require_time)
    without = result["time_without_halving"]
    required("time with halving off, of one by one", without, most=require_time_without)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_selection", arguments)


if __name__ == "__main__":
    sys.exit(main())
