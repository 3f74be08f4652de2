"""Compare starts: which find the best optimum per second, with splits and merges or without.

The same rows and the same tight stopping rule for all; every way to start runs with several seeds,
one core. What is compared is the mean log-likelihood reached, below the best that any way found,
and what it cost: in seconds, and in EM steps over all rows, which no other load on the machine
changes. An optimum with a component at its floor does not count as found, however high: its
likelihood is that of a few rows in a plane, and grows as reg_covar shrinks.
``python -m benchmarks.bench_starts`` writes table, JSON and picture.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_sample_image, load_wine
from threadpoolctl import threadpool_limits

from benchmarks.machine import described, sentence
from benchmarks.output import RESULTS, exit_code, write_results
from benchmarks.start_ways import EMSteps, Way
from dask_gmm.data.stored import step_of
from dask_gmm.fit.sample import StartPlan
from dask_gmm.mixture.frame import Frame
from dask_gmm.run.stages import floor_in_model_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rows of mixtures and photograph.
ROWS = 3_000
#: Nats per row within which an optimum counts as the best one.
SAME = 1e-3

#: Starts drawn, and how many of the best of them are improved. Ways of more work than these (20
#: starts, four of eight improved) are left out: all ten seeds are to take minutes.
PAIRS = {
    "kmeans": ((1, 0), (4, 0), (10, 0), (1, 1), (2, 1), (4, 1), (4, 2)),
    "k-means++": ((4, 0), (10, 0), (2, 1), (4, 1), (4, 2)),
    "ward": ((1, 1),),
    "ward, sphered": ((1, 1),),
}
WAYS = [Way(method, *pair) for method, pairs in PAIRS.items() for pair in pairs]
#: What a run does by default: model.n_init, model.init and fit.candidates.IMPROVED.
DEFAULT = Way("kmeans", 4, 2)


def known_mixture(D: int, K: int, apart: float, seed: int, n: int) -> np.ndarray:
    """Draw n rows from a mixture of K overlapping components in D features."""
    generator = np.random.default_rng(seed)
    means = generator.normal(size=(K, D)) * apart
    factors = generator.normal(size=(K, D, D)) * 0.5
    component = generator.choice(K, n, p=generator.dirichlet(np.full(K, 3.0)))
    noise = np.einsum("nij,nj->ni", factors[component], generator.normal(size=(n, D)))
    return means[component] + noise + 0.3 * generator.normal(size=(n, D))


def data_sets(quick: bool) -> Iterator[tuple[str, Callable[[], np.ndarray], int]]:
    """Yield name, rows and K."""
    n = 1_000 if quick else ROWS
    yield "mixture D=3 K=8", lambda: known_mixture(3, 8, 2.0, 1, n), 8
    if quick:
        return
    yield "mixture D=6 K=16", lambda: known_mixture(6, 16, 2.0, 2, n), 16
    yield "mixture D=8 K=10", lambda: known_mixture(8, 10, 1.2, 3, n), 10
    yield "photograph, K=8", photograph, 8
    yield "iris, K=3", lambda: load_iris().data, 3
    yield "wine, K=3", lambda: load_wine().data, 3
    yield "breast cancer, first 10, K=4", lambda: load_breast_cancer().data[:, :10], 4


def photograph() -> np.ndarray:
    """Return some pixels of the photograph of a temple that comes with scikit-learn."""
    pixels = load_sample_image("china.jpg").reshape(-1, 3)
    return pixels[np.random.default_rng(4).choice(len(pixels), ROWS, replace=False)]


def measure(name: str, rows: np.ndarray, K: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what every way reaches on one data set, and at what cost."""
    unit = rows.std(axis=0)
    frame = Frame.of_sample(rows, unit=unit, isotropic=False)
    floor = frame.floor(floor_in_model_frame("auto", [step_of(rows.dtype)] * len(unit), unit))
    runs = []
    for seed in seeds:
        for way in WAYS:
            plan = StartPlan("full", K, way.method, frame, floor, 2_000)
            work, before = EMSteps(len(rows), K), time.process_time()
            with work.counting():
                solution = way.fit(plan, rows, seed)
            took = time.process_time() - before
            runs.append((way.name, solution.lower_bound, bool(solution.narrow), work.done, took))
    sound = [reached for _, reached, at_floor, *_ in runs if not at_floor]
    best = max(sound or [reached for _, reached, *_ in runs])
    per_way = {way.name: [run[1:] for run in runs if run[0] == way.name] for way in WAYS}
    return {
        "data": name,
        "rows": len(rows),
        "best": best,
        "ways": {way: _summary(np.array(each), best) for way, each in per_way.items()},
    }


def _summary(runs: np.ndarray, best: float) -> dict[str, float | None]:
    """Summarise one way's runs (n, 4): likelihood, whether at a floor, EM steps, seconds.

    Nothing is below the best where every run ended at a floor.
    """
    reached, at_floor = runs[:, 0], runs[:, 1].astype(bool)
    steps, seconds = float(np.mean(runs[:, 2])), float(np.mean(runs[:, 3]))
    found = float(np.mean((best - reached < SAME) & ~at_floor))
    below = best - reached[~at_floor]
    return {
        "below_best": float(np.median(below)) if len(below) else None,
        "found_best": found,
        "at_floor": float(np.mean(at_floor)),
        "steps": steps,
        "seconds": seconds,
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    toy = "This is a toy run: it shows that the script works.\n\n" if result["quick"] else ""
    lines = [
        "## Starts: which find the best optimum per second\n",
        (__doc__ or "").split("\n\n")[1].replace("\n", " ") + "\n",
        f"Below the best: median of {result['seeds']} seeds, in nats per row. Found: share of the "
        f"seeds within {SAME:g} of the best. At the floor: share of the seeds that ended there. "
        f"Cost is the mean. `{DEFAULT.name}` is what a run does.\n",
        toy + sentence(result["machine"]) + "\n",
        "Over all data sets: found, on average; and the EM steps that one finding costs, steps "
        "over found, as the geometric mean (— where a way never found the best somewhere).\n",
        *_over_all(result["data"]),
        "",
        "| data | start | below the best | found | at the floor | EM steps | seconds |\n"
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for each in result["data"]:
        lines += [
            f"| {each['data']} | {way} | {_shown(found['below_best'])} | {found['found_best']:.0%} "
            f"| {found['at_floor']:.0%} | {found['steps']:,.0f} | {found['seconds']:.2f} |"
            for way, found in each["ways"].items()
        ]
    return "\n".join(lines) + "\n\n![Likelihood against work](starts.png)\n"


def _shown(below: float | None) -> str:
    return "—" if below is None else f"{below:.4f}"


def _over_all(data: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of ways over all data sets, the surest first."""
    yield "| start | found | EM steps for one finding | EM steps | seconds |"
    yield "|---|---:|---:|---:|---:|"
    rows = []
    for way in WAYS:
        each = [one["ways"][way.name] for one in data]
        found = np.array([one["found_best"] for one in each])
        steps = np.array([one["steps"] for one in each])
        price = np.exp(np.log(steps / found).mean()) if found.all() else np.inf
        seconds = sum(one["seconds"] for one in each)
        rows.append((-found.mean(), price, way.name, steps.mean(), seconds))
    for found, price, name, steps, seconds in sorted(rows):
        finding = f"{price:,.0f}" if np.isfinite(price) else "—"
        yield f"| {name} | {-found:.0%} | {finding} | {steps:,.0f} | {seconds:.1f} |"


def picture(result: dict[str, Any]) -> Figure:
    """Draw what is missing to the best optimum against the time that it took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for i, way in enumerate(WAYS):
        found = [each["ways"][way.name] for each in result["data"]]
        found = [each for each in found if each["below_best"] is not None]
        axes.scatter(
            [each["steps"] for each in found],
            [max(each["below_best"], 1e-7) for each in found],
            marker="o" if way.improved else "x",
            color=f"C{i % 10}",
            label=way.name,
        )
    axes.set(
        xscale="log", yscale="log", xlabel="EM steps over all rows", ylabel="nats a row below best"
    )
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--seeds", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(quick: bool, seeds: int, output: Path | None) -> None:
    """Compare ways to start on the same rows."""
    with threadpool_limits(1):
        measured = []
        for name, rows, K in data_sets(quick):
            measured.append(measure(name, rows(), K, range(seeds)))
            click.echo(f"{name} done", err=True)
    result = {"machine": described(), "quick": quick, "seeds": seeds, "data": measured}
    if output is None and quick:
        click.echo(table(result))
        return
    write_results(output or RESULTS, "starts", result, table(result), picture(result))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_starts", arguments)


if __name__ == "__main__":
    sys.exit(main())
