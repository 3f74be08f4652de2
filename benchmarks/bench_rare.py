"""Look for a small class, of which the sample that fits start on holds two rows.

Rows of float32 from a known mixture (D = 6, K = 5), a ten-thousandth of them replaced by a class
ten standard deviations from its nearest neighbour, in a Zarr array; K = 6 counts it. Four such
arrays, five seeds of sample and starts on each; with the second draw, which the first reading of EM
makes, and without it. Found is a class whose mean is less than a standard deviation from the true
one and whose weight is within a fifth of its weight.

``python -m benchmarks.bench_rare`` writes table, JSON and picture. By default the array has
2,000,000 rows and the class a thousandth of them, in a sample of 2,000; the bar is for ``--rows
20e6``, a ten-thousandth in a sample of 20,000 (half a gigabyte at a time, some ten minutes).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import numpy as np
import numpy.typing as npt

from benchmarks.known import Array, Known, write_zarr
from benchmarks.machine import described
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from dask_gmm.engine.cluster import Workers, local_workers
from dask_gmm.fit import finishers
from dask_gmm.run.choosing import fit_candidates
from dask_gmm.run.clock import Clock
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D, K, APART = 6, 5, 10.0
FULL, ROWS, QUICK_ROWS = 20_000_000, 2_000_000, 200_000
#: Rows of the sample that belong to the class, as expected.
IN_SAMPLE = 2.0
CHUNK_ROWS = 1 << 17  # 3 MiB
ARRAYS, SEEDS = range(4), range(5)
CONFIG = """\
version: 1
name: rare
run_dir: run
source: {{kind: zarr, path: {path}}}
model: {{n_components: {K}, random_state: {seed}}}
fit: {{sample_rows: {sample_rows}}}
"""


@dataclass(frozen=True)
class Planted(Known):
    """A known mixture in which some rows belong to a small class of its own.

    Attributes
    ----------
    share : float
        Of the rows, those of the class.
    """

    share: float = 1e-4

    def small(self) -> tuple[Array, Array]:
        """Return the small class's mean (D,) and covariance (D, D)."""
        _, means, covariances = self.parameters()
        generator = np.random.default_rng([self.seed, 1])
        factors = np.linalg.cholesky(covariances)
        while True:
            way = generator.standard_normal(self.D)
            near = generator.integers(self.K)
            mean = means[near] + APART * factors[near] @ way / np.linalg.norm(way)
            away = [
                np.linalg.norm(np.linalg.solve(f, mean - m))
                for f, m in zip(factors, means, strict=True)
            ]
            if min(away) > APART - 1e-6:  # nobody else is nearer
                return mean, covariances[near] / 2

    def block(self, number: int) -> npt.NDArray[np.float32]:
        """Draw a block (n, D)."""
        rows = super().block(number)
        generator = np.random.default_rng([self.seed, number, 1])
        chosen = np.flatnonzero(generator.uniform(size=len(rows)) < self.share)
        mean, covariance = self.small()
        rows[chosen] = generator.multivariate_normal(mean, covariance, len(chosen))
        return rows


def fitted(workers: Workers, folder: Path, planted: Planted, seed: int) -> dict[str, Any]:
    """Fit once; return whether the class was found, and how often the data were read."""
    text = CONFIG.format(
        path=folder / "data.zarr",
        K=K + 1,
        seed=seed,
        sample_rows=round(IN_SAMPLE / planted.share),
    )
    (folder / "rare.yaml").write_text(text)
    job = plan_configured(load_config(folder / "rare.yaml"))
    selected, n_passes = fit_candidates(job, workers, Clock())
    winner = selected.winner
    mixture = winner.solution.parameters.outside(winner.contender.plan.frame)
    mean, covariance = planted.small()
    away = np.linalg.norm(
        np.linalg.solve(np.linalg.cholesky(covariance), (mixture.means - mean).T), axis=0
    )
    nearest = int(away.argmin())
    weight = float(mixture.weights[nearest]) / planted.share
    return {
        "found": bool(away[nearest] < 1.0 and abs(weight - 1.0) < 0.2),
        "away": float(away[nearest]),
        "weight": weight,
        "passes": n_passes,
    }


def measure(workers: Workers, folder: Path, planted: Planted) -> list[dict[str, Any]]:
    """Fit one array with every seed, with the second draw and without it."""
    write_zarr(folder / "data.zarr", planted)
    found = []
    for seed in SEEDS:
        with_it = fitted(workers, folder, planted, seed)
        with patch.object(finishers, "LARGEST_SHARE", 0.0):
            without = fitted(workers, folder, planted, seed)
        found.append({"array": planted.seed, "seed": seed, "with": with_it, "without": without})
        click.echo(str(found[-1]), err=True)
    return found


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    fits = result["fits"]
    lines = [
        *beginning("A small class, of which the sample holds two rows", __doc__ or "", result),
        f"{result['rows']:,} rows, of which {result['share']:.2%} belong to the class: "
        f"{result['rows'] * result['share']:,.0f}, and {IN_SAMPLE:g} of them to the sample, on "
        "average.\n",
        "| second draw | found | readings, segmentation apart |\n|---|---:|---:|",
    ]
    for name in ("with", "without"):
        each = [fit[name] for fit in fits]
        passes = [fit["passes"] for fit in each]
        found = sum(fit["found"] for fit in each)
        lines.append(f"| {name} | {found} of {len(each)} | {min(passes)} to {max(passes)} |")
    return "\n".join(lines) + "\n\n![Where the nearest class is](rare.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw how far the nearest component is from the class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, marker in (("without", "x"), ("with", "o")):
        away = [fit[name]["away"] for fit in result["fits"]]
        axes.plot(range(1, len(away) + 1), away, marker, label=f"{name} the second draw")
    axes.axhline(1.0, color="#969696", linewidth=1)
    axes.set(yscale="log", xlabel="fit", ylabel="standard deviations from the class")
    axes.legend(frameon=False)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--rows", type=float, help=f"Rows, such as 20e6; by default {ROWS:,}.")
@click.option("--require", default=0.0, help="Least share of the fits that find the class.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool, rows: float | None, require: float, directory: Path | None, output: Path | None
) -> None:
    """Look for a small class with many seeds."""
    n = int(rows or (QUICK_ROWS if quick else ROWS))
    share = 1e-4 if n >= FULL else 1e-3
    fits = []
    with tempfile.TemporaryDirectory(dir=directory) as place, local_workers(2, 1, None) as workers:
        for array in ARRAYS[:1] if quick else ARRAYS:
            planted = Planted(D, K, n, min(CHUNK_ROWS, max(1, n // 8)), seed=array, share=share)
            fits += measure(workers, Path(place), planted)
    result = {"machine": described(), "quick": quick, "rows": n, "share": share, "fits": fits}
    deliver("rare", result, table(result), picture(result), output)
    found = float(np.mean([fit["with"]["found"] for fit in fits]))
    required("share of the fits that find the class", found, least=require)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_rare", arguments)


if __name__ == "__main__":
    sys.exit(main())
