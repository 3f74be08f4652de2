"""One EM iteration against Spark ML's GaussianMixture, on the same Parquet file and cores.

What an iteration adds per row: the difference between fits with more and with fewer iterations, so
that reading for the first time, starts and start-up count for neither. Spark runs on both cores
(``local[2]``) with its input cached in memory, as its documentation advises, and warmed up; ours
runs on two local workers and reads the file again in every iteration. Full covariances, which are
all that Spark has. About 8 minutes, nearly all of it Spark's; needs Java 17 and ``pip install
"dask-gmm[bench]"``. ``python -m benchmarks.bench_spark`` writes table, JSON and picture.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.known import Known, write_parquet
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from dask_gmm.data.sources import open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.fit.loop import fit_em
from dask_gmm.fit.readings import expectation_over
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: (D, K) and rows: Spark's iterations take half a minute to a minute.
SIZES = {(3, 8): 10_000_000, (6, 16): 10_000_000, (16, 16): 2_000_000, (32, 32): 1_000_000}
QUICK_SIZES = {(3, 8): 20_000}
BLOCK_ROWS = 1 << 17
#: Iterations of the two fits whose difference counts: of Spark, and of ours.
SPARK, OURS = (1, 2), (2, 8)


@contextmanager
def spark_session(memory: str) -> Iterator[Any]:
    """Start Spark in this machine's memory, on two cores, listening on the loopback only."""
    if shutil.which("java") is None:
        raise click.ClickException("Spark needs Java 17: install it, and put java in the PATH")
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise click.ClickException('Spark: pip install "dask-gmm[bench]"') from None
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        yield session
    finally:
        session.stop()


def spark_times(session: Any, path: Path, known: Known) -> tuple[float, float]:
    """Return the seconds of Spark's two fits, its input in memory."""
    from pyspark.ml.clustering import GaussianMixture
    from pyspark.ml.feature import VectorAssembler

    table = session.read.parquet(str(path))
    rows = VectorAssembler(inputCols=table.columns, outputCol="features").transform(table)
    rows = rows.select("features").cache()
    if rows.count() != known.rows:  # and now it is in memory
        raise SystemExit(f"Spark has read another number of rows than {known.rows:,}")

    def fit(n: int, on: Any) -> float:
        mixture = GaussianMixture(k=known.K, maxIter=n, tol=0.0, seed=1)
        return seconds(lambda: mixture.fit(on))

    fit(2, rows.sample(min(1.0, 50_000 / known.rows), seed=1))  # the compiler warms up
    times = fit(SPARK[0], rows), fit(SPARK[1], rows)
    rows.unpersist()
    return times


def our_times(client: Any, path: Path, known: Known) -> tuple[float, float]:
    """Return the seconds of our two fits, which read the file in every iteration."""
    source, sample = open_source("parquet", str(path)), known.block(0)
    grid = source.grid
    leaves = cut_leaves([4 * known.D * grid.n_rows(cell) for cell in range(len(grid))])
    frame = Frame.of_sample(sample, unit=sample.std(axis=0).astype(float), isotropic=False)
    weights, means, covariances = known.parameters()
    means = means + 0.3 * np.random.default_rng(1).standard_normal(means.shape)
    start = Parameters.of("full", weights, means, covariances).inside(frame)
    expectation = expectation_over(Passes.over_source(source, leaves, client), frame, None)
    floor = frame.floor(np.full(known.D, 1e-6))

    def fit(n: int) -> float:
        done = []
        run = partial(fit_em, floor=floor, stopping=Tolerance(0.0), max_iter=n)
        took = seconds(lambda: done.append(run(expectation, start)))
        if done[0].n_iter != n:
            raise SystemExit(f"EM stopped after {done[0].n_iter} of {n} iterations")
        return took

    fit(1)
    return fit(OURS[0]), fit(OURS[1])


def measure(session: Any, client: Any, path: Path, known: Known) -> dict[str, Any]:
    """Return what an iteration costs both per row, in nanoseconds."""
    write_parquet(path, known)
    ns = 1e9 / known.rows
    ours, spark = our_times(client, path, known), spark_times(session, path, known)
    shutil.rmtree(path)
    mine = ns * (ours[1] - ours[0]) / (OURS[1] - OURS[0])
    theirs = ns * (spark[1] - spark[0]) / (SPARK[1] - SPARK[0])
    case = {
        "D": known.D,
        "K": known.K,
        "rows": known.rows,
        "seconds": {"ours": ours, "spark": spark},
    }
    return {**case, "ours": mine, "spark": theirs, "ratio": theirs / mine}


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        *beginning("Against Spark ML", __doc__ or "", result),
        f"Spark {result['spark']}, Java {result['java']}.\n",
        "| D, K | rows | Spark, ns a row and iteration | ours, ns | ratio |\n"
        "|---|---:|---:|---:|---:|",
        *(
            f"| {each['D']}, {each['K']} | {each['rows']:,} | {each['spark']:,.0f} "
            f"| {each['ours']:,.0f} | **{each['ratio']:.0f}** |"
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
        axes.bar(at + shift, [max(each[name], 1e-3) for each in cases], 0.38, label=label)
    axes.set_xticks(at, [f"D={each['D']}, K={each['K']}" for each in cases])
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
    cases = []
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        spark_session(memory) as session,
        local_workers(2, 1, None) as workers,
    ):
        versions = {"spark": session.version, "java": _java(session)}
        for (D, K), rows in (QUICK_SIZES if quick else SIZES).items():
            known = Known(D, K, rows, min(BLOCK_ROWS, rows // 8))
            path = Path(place) / f"{D}-{K}"
            cases.append(measure(session, workers.scheduler, path, known))
            click.echo(str(cases[-1]), err=True)
    result = {"machine": described(), "quick": quick, **versions, "cases": cases}
    deliver("spark", result, table(result), picture(result), output)
    found = {f"{each['D']},{each['K']}": each["ratio"] for each in cases}
    if absent := bars.keys() - found.keys():
        raise click.ClickException(f"not measured: {', '.join(sorted(absent))}")
    for case, bar in bars.items():
        required(f"{case}, Spark's time over ours", found[case], least=bar)


def _java(session: Any) -> str:
    return str(session.sparkContext._jvm.java.lang.System.getProperty("java.version"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_spark", arguments)


if __name__ == "__main__":
    sys.exit(main())
