"""Compare starts: which find the best optimum per second, with splits and merges or without.

The same rows and the same tight stopping rule for all; every way to start runs with several seeds,
one core. What is compared is the mean log-likelihood reached, below the best that any way found.
``python -m benchmarks.bench_starts`` writes table, JSON and picture.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from threadpoolctl import threadpool_limits

from benchmarks.machine import described, sentence
from benchmarks.output import RESULTS, exit_code, write_results
from dask_gmm.fit.sample import FittedStart, StartPlan, best_start, fit_start
from dask_gmm.fit.split_merge import split_and_merge
from dask_gmm.mixture.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Nats per row within which an optimum counts as the best one.
SAME = 1e-3


@dataclass(frozen=True)
class Way:
    """One way to start: so many draws, and how many of the best are improved."""

    method: str
    n_init: int
    improved: int

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.n_init} x {self.method}" + (
            f", splits and merges of {self.improved}" if self.improved else ""
        )

    def fit(self, plan: StartPlan, rows: np.ndarray, seed: int) -> float:
        """Return the mean log-likelihood that it reaches."""
        seeds = range(1000 * seed, 1000 * seed + self.n_init)
        fitted = [fit_start(each, plan, rows, None) for each in seeds]
        ranked = sorted(fitted, key=lambda each: -each.solution.lower_bound)
        better: list[FittedStart] = [
            split_and_merge(each, plan, rows, None) for each in ranked[: self.improved]
        ]
        return best_start([*better, *ranked[self.improved :]]).final.lower_bound


WAYS = [
    Way(method, n_init, improved)
    for method in ("kmeans", "k-means++")
    for n_init, improved in ((1, 0), (4, 0), (10, 0), (1, 1), (4, 2))
]


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
    n = 1_000 if quick else 10_000
    yield "mixture D=3 K=8", lambda: known_mixture(3, 8, 2.0, 1, n), 8
    if quick:
        return
    yield "mixture D=6 K=16", lambda: known_mixture(6, 16, 2.0, 2, n), 16
    yield "mixture D=8 K=10", lambda: known_mixture(8, 10, 1.2, 3, n), 10
    yield "iris, K=3", lambda: load_iris().data, 3
    yield "wine, K=3", lambda: load_wine().data, 3
    yield "breast cancer, first 10, K=4", lambda: load_breast_cancer().data[:, :10], 4


def measure(name: str, rows: np.ndarray, K: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what every way reaches on one data set, and in what time."""
    frame = Frame.of_sample(rows, unit=rows.std(axis=0), isotropic=False)
    reached: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    for seed in seeds:
        for way in WAYS:
            plan = StartPlan("full", K, way.method, frame, frame.floor(1e-6), 2_000)
            before = time.process_time()
            reached.setdefault(way.name, []).append(way.fit(plan, rows, seed))
            took.setdefault(way.name, []).append(time.process_time() - before)
    best = max(max(each) for each in reached.values())
    return {
        "data": name,
        "rows": len(rows),
        "best": best,
        "ways": {
            way: {
                "below_best": float(np.median(best - np.array(values))),
                "found_best": float(np.mean(best - np.array(values) < SAME)),
                "seconds": float(np.median(took[way])),
            }
            for way, values in reached.items()
        },
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    toy = "This is a toy run: it shows that the script works.\n\n" if result["quick"] else ""
    lines = [
        "## Starts: which find the best optimum per second\n",
        (__doc__ or "").split("\n\n")[1].replace("\n", " ") + "\n",
        f"Below the best: median of {result['seeds']} seeds, in nats per row. Found: share of the "
        f"seeds within {SAME:g} of the best. A fit with splits and merges improves the best one or "
        "two starts; `4 x ..., splits and merges of 2` is what a run does.\n",
        toy + sentence(result["machine"]) + "\n",
        "| data | start | below the best | found | seconds |\n|---|---|---:|---:|---:|",
    ]
    for each in result["data"]:
        lines += [
            f"| {each['data']} | {way} | {found['below_best']:.4f} | {found['found_best']:.0%} "
            f"| {found['seconds']:.2f} |"
            for way, found in each["ways"].items()
        ]
    return "\n".join(lines) + "\n\n![Likelihood against time](starts.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw what is missing to the best optimum against the time that it took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for i, way in enumerate(WAYS):
        found = [each["ways"][way.name] for each in result["data"]]
        axes.scatter(
            [each["seconds"] for each in found],
            [max(each["below_best"], 1e-7) for each in found],
            marker="o" if way.improved else "x",
            color=f"C{i % 5}",
            label=way.name,
        )
    axes.set(xscale="log", yscale="log", xlabel="seconds, one core", ylabel="nats a row below best")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1))
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
