"""One EM iteration against Spark ML's GaussianMixture, on the same Parquet files and cores.

What a row adds to a fit of a few iterations, per iteration: the difference between a fit of all
rows and one of half of them, so that start-up counts for neither. Spark runs on both cores
(``local[2]``) with its input cached in memory, as its documentation advises, and warmed up; ours
runs on two local workers and reads the files again in every iteration. A fit of Spark's draws its
start from the rows first; ours surveys them first. Beside it, what one more iteration over all rows
costs both: so much is left when starts are counted for neither. What a row's products and
exponentials alone would take on both cores, at the rate of a large matrix product and with nothing
read, is the least that a row can cost, and bounds the ratio. Full covariances, which are all
that Spark has. The shapes are ours and, scaled down in rows, those of HiBench (D = 20, K = 10 and
D = 100, K = 200), in a unit in which Spark's densities stay above the 2.2e-16 that it adds to each.
The larger is fitted with one iteration, since at so few rows Spark's second one ends with an error;
its fits assign every row once more at their end, which counts, and weighs most there; and so few
bytes are one leaf of ours, on which one core works while the other waits.
About 14 minutes, nearly all of it Spark's; needs Java 17 and ``pip install "dask-gmm[bench]"``.
``python -m benchmarks.bench_spark`` writes table, JSON and picture.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.known import Known, write_parquet
from benchmarks.machine import Limits, described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from benchmarks.peers.spark_session import cached_rows, files_of, spark_session, versions
from dask_gmm.data.sources import open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.fit.loop import Rules, Solution, fit_em
from dask_gmm.fit.readings import expectation_over
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.survey import SurveyPlan, survey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: (D, K): rows, and iterations of a fit. Spark draws its start from a few rows a component; at
#: (32, 32) its likelihood is no number from there, and it stops after the second iteration.
SIZES = {
    (3, 8): (10_000_000, 4),
    (6, 16): (10_000_000, 4),
    (16, 16): (2_000_000, 4),
    (32, 32): (1_000_000, 2),
    # HiBench's shapes, scaled down. At the larger one, with about as many rows a component as
    # features, Spark's first covariances are singular, and its second iteration finds no numbers.
    (20, 10): (2_000_000, 4),
    (100, 200): (10_000, 1),
}
#: What the rows of some are multiplied by, for Spark's sake: it adds 2.2e-16 to every density, and
#: where all are smaller, as in many features of a usual unit, its fit ends with equal components.
UNITS = {(20, 10): 0.02, (100, 200): 0.02}
QUICK_SIZES = {(20, 10): (20_000, 4)}
BLOCK_ROWS = 1 << 17
#: Files of a data set; half of the rows are in the first half of them.
FILES = 4
#: Iterations of the shorter fit, which shows what one more costs.
FEWER = 1
#: Times that each of our fits is run; Spark's take a minute.
TURNS = 3
#: Rows of our sample for the start.
SAMPLE_ROWS = 50_000


@dataclass(frozen=True)
class Times:
    """Seconds of three fits, two of them of so many iterations."""

    iterations: int
    all_rows: float
    half: float
    fewer_iterations: float

    def of_a_row(self, more_rows: int) -> float:
        """Return what a row adds per iteration, in nanoseconds."""
        return 1e9 * (self.all_rows - self.half) / (more_rows * self.iterations)

    def of_an_iteration(self, rows: int) -> float | None:
        """Return what one more iteration costs per row, in nanoseconds; None: there was none."""
        if self.iterations == FEWER:
            return None
        return 1e9 * (self.all_rows - self.fewer_iterations) / (rows * (self.iterations - FEWER))


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def _shown(value: float | None) -> str:
    return "—" if value is None else f"{value:,.0f}"


def spark_times(session: Any, path: Path, known: Known, iterations: int) -> Times:
    """Return the seconds of Spark's fits, its input in memory."""
    from pyspark.ml.clustering import GaussianMixture

    def fit(n: int, on: Any) -> float:
        mixture, done = GaussianMixture(k=known.K, maxIter=n, tol=0.0, seed=1), list[Any]()
        took = seconds(lambda: done.append(mixture.fit(on)))
        if done[0].summary.numIter != n:  # where its likelihood is no number it stops, silently
            raise click.ClickException(
                f"Spark stopped after {done[0].summary.numIter} of {n} iterations at "
                f"({known.D}, {known.K})"
            )
        return took

    rows = cached_rows(session, files_of(path), known.rows)
    some = rows.sample(min(0.5, 50_000 / known.rows), seed=1)
    fit(min(2, iterations), some)  # the compiler warms up
    long = fit(iterations, rows)
    short = fit(FEWER, rows) if iterations > FEWER else long
    rows.unpersist(blocking=True)
    rows = cached_rows(session, files_of(path)[: FILES // 2], _rows_of_half(known))
    half = fit(iterations, rows)
    rows.unpersist(blocking=True)
    return Times(iterations, long, half, short)


def our_times(client: Any, path: Path, known: Known, iterations: int) -> Times:
    """Return the seconds of our fits, the median of several, which read the files every time."""
    sample = known.block(0)
    frame = Frame.of_sample(sample, unit=sample.std(axis=0).astype(float), isotropic=False)
    weights, means, covariances = known.parameters()
    means = means + 0.3 * known.unit * np.random.default_rng(1).standard_normal(means.shape)
    start = Parameters.of("full", weights, means, covariances).inside(frame)
    floor = frame.floor(np.full(known.D, 1e-6))

    def passes(files: list[Path]) -> Passes:
        source = open_source("parquet", [str(file) for file in files])
        grid = source.grid
        leaves = cut_leaves([4 * known.D * grid.n_rows(cell) for cell in range(len(grid))])
        return Passes.over_source(source, leaves, client)

    def fit(n: int, over: Passes, rows: int) -> float:
        plan, done = SurveyPlan(known.D, SAMPLE_ROWS, seed=1, n_rows=rows), list[Solution]()

        def whole_fit() -> None:
            over.run("survey", survey, plan)
            rules = Rules(floor, Tolerance(0.0), max_iter=n)
            done.append(fit_em(expectation_over(over, frame, None), start, rules))

        took = seconds(whole_fit)
        if done[0].n_iter != n:
            raise SystemExit(f"EM stopped after {done[0].n_iter} of {n} iterations")
        return took

    everything = passes(files_of(path)), known.rows
    half = passes(files_of(path)[: FILES // 2]), _rows_of_half(known)
    fit(1, *everything)
    turns = [
        (fit(iterations, *everything), fit(iterations, *half), fit(FEWER, *everything))
        for _ in range(TURNS)
    ]
    return Times(iterations, *(median(column) for column in zip(*turns, strict=True)))


def _rows_of_half(known: Known) -> int:
    """Return the rows of the first half of the files, which hold whole blocks."""
    return sum(known.length(block) for block in range(known.n_blocks * (FILES // 2) // FILES))


def least_of_a_row(D: int, K: int, n: int = 9) -> float:
    """Return the nanoseconds of a row's products and exponentials alone on both cores, at best.

    4 K Q flop at the rate of a large matrix product, and K exponentials; nothing is read.
    """
    limits, Q = Limits(), (D + 1) * (D + 2) // 2
    with threadpool_limits(1):
        measured = [limits.measured() for _ in range(n)]
    per_flop, per_exp = (median(each) for each in zip(*measured, strict=True))
    return 1e9 * (4.0 * K * Q * per_flop + K * per_exp) / 2


def measure(session: Any, client: Any, path: Path, known: Known, iterations: int) -> dict[str, Any]:
    """Return what a row costs both per iteration, in nanoseconds."""
    write_parquet(path, known, FILES)
    ours = our_times(client, path, known, iterations)
    spark = spark_times(session, path, known, iterations)
    shutil.rmtree(path)
    more_rows = known.rows - _rows_of_half(known)
    found = {
        name: {"row": times.of_a_row(more_rows), "iteration": times.of_an_iteration(known.rows)}
        for name, times in (("ours", ours), ("spark", spark))
    }
    return {
        "D": known.D,
        "K": known.K,
        "rows": known.rows,
        "iterations": iterations,
        "seconds": {"ours": asdict(ours), "spark": asdict(spark)},
        **found,
        "least": least_of_a_row(known.D, known.K),
        "ratio": found["spark"]["row"] / found["ours"]["row"],
        "ratio_of_iteration": _ratio(found["spark"]["iteration"], found["ours"]["iteration"]),
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        *beginning("Against Spark ML", __doc__ or "", result),
        f"Spark {result['spark']}, Java {result['java']}.\n",
        *(
            f"No figure at ({each['D']}, {each['K']}): Spark's fits of {each['rows']:,} rows ended "
            f"with an error, or before {each['iterations']} iterations.\n"
            for each in result["failed"]
        ),
        "| D, K | rows | iterations | Spark, ns a row and iteration | ours, ns | ratio "
        "| least, ns | Spark over it "
        "| one more iteration: Spark, ns a row | ours, ns | ratio |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {each['D']}, {each['K']} | {each['rows']:,} | {each['iterations']} "
            f"| {each['spark']['row']:,.0f} "
            f"| {each['ours']['row']:,.0f} | **{each['ratio']:.0f}** "
            f"| {each['least']:,.1f} | {each['spark']['row'] / each['least']:,.0f} "
            f"| {_shown(each['spark']['iteration'])} | {_shown(each['ours']['iteration'])} "
            f"| {_shown(each['ratio_of_iteration'])} |"
            for each in result["cases"]
        ),
    ]
    return "\n".join(lines) + "\n\n![Cost of a row and iteration](spark.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw both costs, on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes, cases = figure.subplots(), result["cases"]
    at = np.arange(len(cases))
    for shift, name, label in ((-0.2, "spark", "Spark ML"), (0.2, "ours", "dask-gmm")):
        axes.bar(at + shift, [max(each[name]["row"], 1e-3) for each in cases], 0.38, label=label)
    axes.set_xticks(at, [f"D={each['D']},\nK={each['K']}" for each in cases])
    axes.set(yscale="log", ylabel="ns a row and iteration, two cores")
    axes.legend()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size: shows that it works.")
@click.option("--memory", default="10g", show_default=True, help="Of Spark.")
@click.option("--require", multiple=True, metavar="RATIO@D,K", help="Least ratio. Repeatable.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool, memory: str, require: Sequence[str], directory: Path | None, output: Path | None
) -> None:
    """Time iterations of Spark's GaussianMixture and of ours on the same Parquet files."""
    bars = {case: float(ratio) for ratio, _, case in (text.partition("@") for text in require)}
    cases, failed = list[dict[str, Any]](), list[dict[str, int]]()
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        spark_session(memory) as session,
        local_workers(2, 1, None) as workers,
    ):
        from py4j.protocol import Py4JError  # comes with pyspark

        installed = versions(session)
        for (D, K), (rows, iterations) in (QUICK_SIZES if quick else SIZES).items():
            known = Known(D, K, rows, min(BLOCK_ROWS, rows // 8), unit=UNITS.get((D, K), 1.0))
            path = Path(place) / f"{D}-{K}"
            try:
                cases.append(measure(session, workers.scheduler, path, known, iterations))
            except (click.ClickException, Py4JError) as error:  # the others are still worth it
                click.echo(f"({D}, {K}): {error}", err=True)
                failed.append({"D": D, "K": K, "rows": rows, "iterations": iterations})
                session.catalog.clearCache()
                continue
            click.echo(str(cases[-1]), err=True)
    result = {"machine": described(), "quick": quick, **installed, "cases": cases, "failed": failed}
    deliver("spark", result, table(result), picture(result), output)
    found = {f"{each['D']},{each['K']}": each["ratio"] for each in cases}
    if absent := bars.keys() - found.keys():
        raise click.ClickException(f"not measured: {', '.join(sorted(absent))}")
    for case, bar in bars.items():
        required(f"{case}, Spark's time over ours", found[case], least=bar)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_spark", arguments)


if __name__ == "__main__":
    sys.exit(main())
