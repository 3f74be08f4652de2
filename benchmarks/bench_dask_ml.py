"""Compare with dask-ml's KMeans, what Dask's users settle for: time to labels, and their quality.

The same Zarr array of float32 rows for all, drawn from a mixture whose truth is known: full
covariances of different shapes that overlap. From it a Zarr array of every row's label, by two
local workers of one thread each, in a process of its own, whose whole time counts with imports and
the start of workers. dask-ml as it advises: rows persisted in the workers' memory, ``k-means||``,
defaults otherwise; half a million rows a chunk, and two chunks a worker at least, so that tasks are
few and their distances fit in memory. Ours is ``dask-gmm run`` with its defaults, full covariances
and spherical ones, which reads the rows again in every pass; it writes model and report as well.
Turns alternate; each seed is a mixture of its own and the seed of all fits. Accuracy is that of the
best assignment of labels to the true components, ARI the adjusted Rand index, both over all rows;
the best possible is what the true parameters label, on the first million rows. Memory is the
largest worker's.

``python -m benchmarks.bench_dask_ml`` writes table, JSON and picture; needs ``pip install
"dask-gmm[bench]"``. 10^6 and 10^7 rows, 3 seeds: a quarter of an hour, 0.3 GB on disk, 4 GB of
memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from benchmarks.known import Known, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from benchmarks.truth import Agreement, agreement, best_possible
from benchmarks.watched import ResidentMemory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: (D, K, rows).
SIZES = (
    *((3, 8, 1_000_000), (6, 16, 1_000_000)),
    *((3, 8, 10_000_000), (6, 16, 10_000_000)),
)
QUICK_SIZES = ((3, 4, 20_000),)
CHUNK_ROWS = 1 << 17
#: Of the means, and of a component in its thinnest direction.
APART, LEAST_VARIANCE = 2.0, 0.2
#: Rows of a chunk of the peer at most, and chunks at least: two for each of two workers.
PEER_CHUNK_ROWS, PEER_CHUNKS = 1 << 19, 4
SEEDS = 3
CONFIG = """\
version: 1
name: labels
run_dir: {folder}/run
source: {{kind: zarr, path: {folder}/data.zarr}}
model: {{n_components: {K}, covariance_type: {family}, random_state: {seed}}}
outputs:
  labels: {{kind: zarr, path: labels.zarr}}
cluster: {{kind: local, n_workers: 2}}
if_exists: overwrite
"""
#: Where both put labels.
LABELS = Path("run") / "labels.zarr"
PEER = "dask-ml KMeans"
#: Labels all rows of a folder; returns readings, and the most memory of a worker.
Way = Callable[[Path, Known, int], tuple[int, int]]
WAYS = (PEER, "dask-gmm, full", "dask-gmm, spherical")


def carried_out(command: Sequence[str]) -> tuple[str, int]:
    """Return what a program of this environment prints, and the most memory of a worker."""
    words = [sys.executable, "-m", *command]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ResidentMemory(process.pid) as memory,
    ):
        out, _ = process.communicate()
        errors.seek(0)
        if process.returncode:
            raise click.ClickException(f"{command[0]}: {errors.read()}")
    return out, max(memory.most.values())


def by_peer(folder: Path, known: Known, seed: int) -> tuple[int, int]:
    """Label all rows with dask-ml; return iterations and memory."""
    chunk_rows = min(PEER_CHUNK_ROWS, -(-known.rows // PEER_CHUNKS))
    sizes = ["--clusters", str(known.K), "--chunk-rows", str(chunk_rows)]
    places = [str(folder / "data.zarr"), str(folder / LABELS)]
    command = ["benchmarks.peers.dask_ml_labels", *places, *sizes, "--seed", str(seed)]
    out, held = carried_out(command)
    return json.loads(out)["n_iter"], held


def by_us(family: str, folder: Path, known: Known, seed: int) -> tuple[int, int]:
    """Label all rows with a run; return its readings and memory."""
    text = CONFIG.format(folder=folder, K=known.K, family=family, seed=seed)
    (folder / "run.yaml").write_text(text)
    out, held = carried_out(["dask_gmm", "run", str(folder / "run.yaml"), "--json"])
    return json.loads(out)["fit"]["passes"]["total"], held


def labelled(way: Way, folder: Path, known: Known, seed: int) -> dict[str, Any]:
    """Return what labels by one way have taken, and how good they are."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    done: list[tuple[int, int]] = []
    took = seconds(lambda: done.append(way(folder, known, seed)))
    ((readings, held),) = done
    quality = agreement(folder / LABELS, known)
    return {
        "seconds": took,
        "readings": readings,
        "peak_bytes": held,
        "accuracy": quality.accuracy,
        "ari": quality.ari,
    }


def measure(folder: Path, size: tuple[int, int, int], seeds: int) -> dict[str, Any]:
    """Label the rows of so many mixtures of one size by all ways, in alternating order."""
    D, K, rows = size
    of_each: tuple[Way, ...] = (by_peer, partial(by_us, "full"), partial(by_us, "spherical"))
    ways = dict(zip(WAYS, of_each, strict=True))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    best: list[Agreement] = []
    for seed in range(seeds):
        block_rows = min(CHUNK_ROWS, rows // 8)
        known = Known(D, K, rows, block_rows, seed, apart=APART, least_variance=LEAST_VARIANCE)
        write_zarr(folder / "data.zarr", known)
        best.append(best_possible(known, min(rows, 1_000_000)))
        for name in WAYS if seed % 2 == 0 else reversed(WAYS):
            found[name].append(labelled(ways[name], folder, known, seed))
            click.echo(f"{size}, seed {seed}, {name}: {found[name][-1]}", err=True)
    ours = [each["seconds"] for each in found[WAYS[1]]]
    peer = [each["seconds"] for each in found[PEER]]
    return {
        "D": D,
        "K": K,
        "rows": rows,
        "ways": {
            name: {key: spread([each[key] for each in fits]) for key in fits[0]}
            for name, fits in found.items()
        },
        "best": {
            name: spread([getattr(each, name) for each in best]) for name in Agreement._fields
        },
        "ratio": spread([a / b for a, b in zip(peer, ours, strict=True)]),
        "gain": spread(
            [
                a["accuracy"] - b["accuracy"]
                for a, b in zip(found[WAYS[1]], found[PEER], strict=True)
            ]
        ),
    }


def spread(values: Sequence[float]) -> list[float]:
    """Return (median, least, most)."""
    return [float(median(values)), float(min(values)), float(max(values))]


def first_words(result: dict[str, Any]) -> str:
    """Say where dask-ml is better: in time, accuracy or memory, by medians."""
    wins = []
    for each in result["cases"]:
        peer, ours = each["ways"][PEER], each["ways"][WAYS[1]]
        size = f"D = {each['D']}, K = {each['K']}, {each['rows']:,} rows"
        if peer["seconds"][0] < ours["seconds"][0]:
            wins.append(f"faster ({size}: {peer['seconds'][0]:.1f} s, {ours['seconds'][0]:.1f} s)")
        if peer["accuracy"][0] > ours["accuracy"][0]:
            wins.append(f"more accurate ({size})")
        if peer["peak_bytes"][0] < ours["peak_bytes"][0]:
            wins.append(f"smaller in memory ({size})")
    if not wins:
        return (
            "Nowhere here is dask-ml faster, more accurate or smaller in memory than a run with "
            "full covariances, by medians.\n"
        )
    return f"Against a run with full covariances, dask-ml is {'; '.join(wins)}, by medians.\n"


def _with_extremes(values: Sequence[float], form: str) -> str:
    middle, least, most = (format(value, form) for value in values)
    return f"{middle} ({least}-{most})"


def _row(case: dict[str, Any], name: str) -> str:
    each, best = case["ways"][name], case["best"]
    cells = (
        f"{case['D']}, {case['K']}",
        f"{case['rows']:,}",
        name,
        _with_extremes(each["seconds"], ".1f"),
        _with_extremes(each["readings"], ".0f"),
        _with_extremes(each["accuracy"], ".3f"),
        _with_extremes(best["accuracy"], ".3f"),
        _with_extremes(each["ari"], ".3f"),
        _with_extremes(best["ari"], ".3f"),
        _with_extremes([value / (1 << 20) for value in each["peak_bytes"]], ",.0f"),
    )
    return f"| {' | '.join(cells)} |"


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        *beginning("Against dask-ml's KMeans", __doc__ or "", result),
        first_words(result),
        f"dask-ml {result['dask_ml']}, Dask {result['dask']}; medians over the seeds "
        f"({result['seeds']}), in brackets the extremes. Readings: of ours, of the files; of "
        "dask-ml, Lloyd's iterations over rows in memory, without those of its start.\n",
        "| D, K | rows | labels by | seconds | readings | accuracy | best possible | ARI "
        "| best possible | largest worker, MiB |\n"
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(case, name) for case in result["cases"] for name in WAYS),
    ]
    return "\n".join(lines) + "\n\n![Accuracy against seconds](dask_ml.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw accuracy against seconds, a panel a case."""
    from matplotlib.figure import Figure

    cases = result["cases"]
    figure = Figure(figsize=(3.2 * max(2, len(cases)), 3.4), layout="constrained")
    for axes, case in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
        axes.axhline(case["best"]["accuracy"][0], color="#969696", linestyle=":")
        for name, colour in zip(WAYS, ("#d55e00", "#0072b2", "#56b4e9"), strict=True):
            (x, *of_x), (y, *of_y) = (case["ways"][name][key] for key in ("seconds", "accuracy"))
            error = [[[x - of_x[0]], [of_x[1] - x]], [[y - of_y[0]], [of_y[1] - y]]]
            axes.errorbar(x, y, xerr=error[0], yerr=error[1], fmt="o", color=colour, label=name)
        axes.set(xlim=(0, None), xlabel="seconds to labels", ylim=(None, 1.0))
        axes.set_title(f"D = {case['D']}, K = {case['K']}, {case['rows']:,} rows", fontsize="small")
    figure.axes[0].set_ylabel("accuracy (dotted: best possible)")
    figure.axes[0].legend(frameon=False, fontsize="small")
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size: shows that it works.")
@click.option("--seeds", default=SEEDS, show_default=True, type=click.IntRange(min=1))
@click.option("--require-time", default=-inf, help="Least time of dask-ml, of ours, at all sizes.")
@click.option("--require-gain", default=-inf, help="Least gain of accuracy, medians.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    seeds: int,
    require_time: float,
    require_gain: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Label the same rows with dask-ml's KMeans and with runs of ours."""
    try:
        versions = {"dask_ml": version("dask-ml"), "dask": version("dask")}
    except PackageNotFoundError:
        raise click.ClickException('dask-ml: pip install "dask-gmm[bench]"') from None
    with tempfile.TemporaryDirectory(dir=directory) as place:
        cases = [measure(Path(place), size, seeds) for size in (QUICK_SIZES if quick else SIZES)]
    result = {"machine": described(), "quick": quick, "seeds": seeds, **versions, "cases": cases}
    deliver("dask_ml", result, table(result), picture(result), output)
    for case in cases:
        size = f"{case['D']}, {case['K']}, {case['rows']:,} rows"
        required(f"{size}, dask-ml's time over ours", case["ratio"][0], least=require_time)
        required(f"{size}, accuracy above dask-ml's", case["gain"][0], least=require_gain)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_dask_ml", arguments)


if __name__ == "__main__":
    sys.exit(main())
