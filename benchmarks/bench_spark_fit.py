"""Time to equal likelihood: whole fits of ours and of Spark ML's, on the same Parquet files.

Ours is a fit as a run does it (survey, starts on a sample, EM until what is left means nothing) by
two local workers, which read the files in every pass. Spark fits on both cores (``local[2]``) with
its own start and its default ``tol`` of 0.01 (nats of all rows, so that it hardly ever ends by it),
its rows in its memory before the clock runs, and warmed up: from each of its seeds once more with
``maxIter`` of 5, 10, 20, ..., until it is as likely as ours or rises no more. What every fit has
found is evaluated on all rows by one and the same code, ours. Equal likelihood is the lower of the
two ends, less 0.0001 nats a row: Spark's time to it is that of its shortest fit that has it, ours
that of the first reading that knew it. About 14 minutes, most of them Spark's; needs Java 17 and
``pip install "dask-gmm[bench]"``. ``python -m benchmarks.bench_spark_fit`` writes table, JSON and
picture.
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

from benchmarks.known import Known, write_parquet
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from benchmarks.peers.spark_session import (
    cached_rows,
    files_of,
    found_parameters,
    spark_session,
    versions,
)
from benchmarks.whole_fit import Fitted, mean_log_likelihood, whole_fit
from dask_gmm.data.sources import open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D, K, ROWS, BLOCK_ROWS = 6, 16, 2_000_000, 1 << 17
QUICK_ROWS, QUICK_ITERATIONS = 20_000, (1, 3)
#: Iterations of Spark's fits, the last at most; and its seeds.
ITERATIONS = (5, 10, 20, 40, 80)
SEEDS = 2
#: Nats per row that count as equal, and as no rise.
EQUAL, NO_RISE = 1e-4, 1e-5


def passes_over(path: Path, client: Any) -> Passes:
    """Return readings of a folder of Parquet files."""
    source = open_source("parquet", str(path))
    sizes = [4 * D * source.grid.n_rows(cell) for cell in range(len(source.grid))]
    return Passes.over_source(source, cut_leaves(sizes), client)


def spark_course(
    rows: Any, seed: int, iterations: Sequence[int], readings: Passes, enough: float
) -> list[dict[str, float]]:
    """Return seconds and likelihoods of Spark's fits from one seed, each longer than the last.

    No longer ones follow where one is ``enough``, in nats a row.
    """
    from pyspark.ml.clustering import GaussianMixture

    course: list[dict[str, float]] = []
    for n in iterations:
        mixture, done = GaussianMixture(k=K, maxIter=n, seed=seed), list[Any]()
        took = seconds(lambda mixture=mixture, done=done: done.append(mixture.fit(rows)))
        found = Parameters.of("full", *found_parameters(done[0]))
        likelihood = mean_log_likelihood(readings, found)
        course.append(
            {"iterations": done[0].summary.numIter, "seconds": took, "likelihood": likelihood}
        )
        click.echo(f"Spark, seed {seed}: {course[-1]}", err=True)
        rise = likelihood - course[-2]["likelihood"] if len(course) > 1 else np.inf
        if likelihood >= enough or rise < NO_RISE or done[0].summary.numIter < n:
            break
    return course


def compared(ours: dict[str, Any], spark: list[dict[str, float]]) -> dict[str, float]:
    """Return the likelihood that both reach, and when each of them does."""
    level = min(ours["likelihood"], max(each["likelihood"] for each in spark)) - EQUAL
    course = [*ours["course"], (ours["seconds"], ours["likelihood"])]
    mine = min(took for took, likelihood in course if likelihood >= level)
    theirs = min(each["seconds"] for each in spark if each["likelihood"] >= level)
    return {"level": level, "ours": mine, "spark": theirs, "ratio": theirs / mine}


def our_fit(path: Path, client: Any, seed: int) -> dict[str, Any]:
    """Return what a whole fit reaches, and when; opening the files is part of it."""
    watched: list[tuple[Passes, Fitted]] = []

    def from_the_files() -> None:
        readings = passes_over(path, client)
        watched.append((readings, whole_fit(readings, D, K, seed)))

    took = seconds(from_the_files)
    readings, fit = watched[0]
    opening = took - fit.seconds
    return {
        "seed": seed,
        "seconds": took,
        "readings": fit.readings,
        "course": [(opening + at, likelihood) for at, likelihood in fit.course],
        "likelihood": mean_log_likelihood(readings, fit.parameters),
    }


def measure(
    session: Any, client: Any, path: Path, known: Known, seeds: int, iterations: Sequence[int]
) -> dict[str, Any]:
    """Return fits of both from every seed."""
    from pyspark.ml.clustering import GaussianMixture

    write_parquet(path, known)
    readings = passes_over(path, client)
    truth = mean_log_likelihood(readings, Parameters.of("full", *known.parameters()))
    our_fit(path, client, 0)  # both are warmed up
    rows = cached_rows(session, files_of(path), known.rows)
    warm = rows.sample(min(1.0, 50_000 / known.rows), seed=1)
    GaussianMixture(k=K, maxIter=2, seed=1).fit(warm)
    pairs = []
    for seed in range(1, seeds + 1):
        ours = our_fit(path, client, seed)
        click.echo(f"ours: {ours}", err=True)
        spark = spark_course(rows, seed, iterations, readings, ours["likelihood"] - EQUAL)
        pairs.append({"ours": ours, "spark": spark, "compared": compared(ours, spark)})
    return {"rows": known.rows, "truth": truth, "pairs": pairs}


def table(result: dict[str, Any]) -> str:
    """Return the page; what Spark finds better stands first."""
    ends = [(max(e["likelihood"] for e in p["spark"]), p["ours"]) for p in result["pairs"]]
    ahead = [spark - ours["likelihood"] for spark, ours in ends]
    better = [f"{each:.4f}" for each in ahead if each > EQUAL]
    worse = [f"{-each:.4f}" for each in ahead if each < -EQUAL]
    first = "No fit of Spark's goes on once it is as likely as ours. "
    first += f"Spark ends higher from {len(better)} of {len(ahead)} seeds"
    first += f", by {', '.join(better)} nats a row; " if better else "; "
    first += f"ours ends higher from {len(worse)}"
    first += f", by {', '.join(worse)} nats a row.\n" if worse else ".\n"
    lines = [
        *beginning("Against Spark ML, to equal likelihood", __doc__ or "", result),
        f"Spark {result['spark']}, Java {result['java']}. {result['rows']:,} rows, D = {D}, "
        f"K = {K}. {first}",
        "| seed | Spark: iterations | s | below the truth, nats a row | ours: readings | s "
        "| below the truth | to equal likelihood: Spark, s | ours, s | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for pair in result["pairs"]:
        ours, spark, both = pair["ours"], pair["spark"][-1], pair["compared"]
        lines.append(
            f"| {ours['seed']} | {spark['iterations']} | {spark['seconds']:.1f} "
            f"| {result['truth'] - spark['likelihood']:.5f} | {ours['readings']} "
            f"| {ours['seconds']:.2f} | {result['truth'] - ours['likelihood']:.5f} "
            f"| {both['spark']:.1f} | {both['ours']:.2f} | **{both['ratio']:.0f}** |"
        )
    return "\n".join(lines) + "\n\n![Likelihood against seconds](spark_fit.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw how far every fit is below the highest likelihood, against its seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    courses = []
    for pair in result["pairs"]:
        ours = [*pair["ours"]["course"], (pair["ours"]["seconds"], pair["ours"]["likelihood"])]
        spark = [(each["seconds"], each["likelihood"]) for each in pair["spark"]]
        courses += [("dask-gmm", "C1", ours), ("Spark ML", "C0", spark)]
    highest = max(likelihood for _, _, course in courses for _, likelihood in course)
    for number, (name, color, course) in enumerate(courses):
        at, likelihoods = zip(*course, strict=True)
        below = [max(highest - each, EQUAL / 10) for each in likelihoods]
        axes.plot(at, below, "o-", color=color, label=name if number < 2 else None)
    axes.set(xscale="log", yscale="log", xlabel="seconds, two cores")
    axes.set_ylabel("mean log-likelihood below the highest, nats a row")
    axes.legend()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size: shows that it works.")
@click.option("--rows", type=float, help=f"Such as 1e7; by default {ROWS:,}.")
@click.option("--seeds", default=SEEDS, show_default=True, type=click.IntRange(min=1))
@click.option("--memory", default="10g", show_default=True, help="Of Spark.")
@click.option("--require", default=0.0, help="Least ratio of the times to equal likelihood.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    rows: float | None,
    seeds: int,
    memory: str,
    require: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Time fits of Spark's GaussianMixture and of ours until they explain the rows as well."""
    n = int(rows or (QUICK_ROWS if quick else ROWS))
    known = Known(D, K, n, min(BLOCK_ROWS, n // 8))
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        spark_session(memory) as session,
        local_workers(2, 1, None) as workers,
    ):
        installed = versions(session)
        iterations = QUICK_ITERATIONS if quick else ITERATIONS
        found = measure(session, workers.scheduler, Path(place) / "rows", known, seeds, iterations)
    result = {"machine": described(), "quick": quick, **installed, **found}
    deliver("spark_fit", result, table(result), picture(result), output)
    ratio = median(pair["compared"]["ratio"] for pair in result["pairs"])
    required("Spark's time to equal likelihood over ours", ratio, least=require)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_spark_fit", arguments)


if __name__ == "__main__":
    sys.exit(main())
