"""Count readings of the data: from survey to the end of EM, and for a slow mixture, accelerated.

The same rows for both sides. Plain EM starts from k-means on all rows, which is not counted, and
runs to a change of 1e-7 nats per row; a fit as a run does it is a survey, starts on the sample, and
EM until what is left means nothing. The slow mixture is fitted to 1e-12 by both.

``python -m benchmarks.bench_passes`` writes table, JSON and picture; a missed bar is a failure.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.bench_starts import known_mixture
from benchmarks.machine import described, sentence
from benchmarks.output import RESULTS, exit_code, write_results
from benchmarks.whole_fit import whole_fit
from dask_gmm.fit.loop import Rules, Solution, fit_em
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.fit.sample import start_parameters
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Bars: readings at most, how far below plain EM the likelihood may be, and the slow one's share.
MOST_READINGS, BELOW, SHARE = 6, 1e-6, 1 / 5
#: D, K, how far apart, and the seed of each overlapping mixture.
MIXTURES = ((3, 8, 2.0, 1), (6, 16, 2.0, 2), (8, 10, 1.2, 3))


def overlapping(D: int, K: int, apart: float, seed: int, n: int) -> dict[str, Any]:
    """Return readings and likelihoods of a fit as a run does it, and of plain EM."""
    rows = known_mixture(D, K, apart, seed, n)
    readings = MemoryReadings(Rows(rows))
    ours = whole_fit(readings, D, K, seed=0)
    plan, expectation = ours.plan, expectation_over(readings, ours.plan.frame, None)
    start = start_parameters(plan, rows, None, np.random.RandomState(0))
    plain = fit_em(expectation, start, Rules(plan.floor, Tolerance(1e-7), 2000))
    return {
        "name": f"D={D} K={K}",
        "readings": ours.readings,
        "plain": plain.n_iter,
        "likelihood": expectation(ours.parameters.inside(plan.frame)).mean_log_likelihood,
        "plain_likelihood": expectation(plain.parameters).mean_log_likelihood,
    }


def slow(n: int, limit: int) -> dict[str, Any]:
    """Return evaluations to 1e-12 of three groups in one feature, two deviations apart."""
    generator = np.random.default_rng(1)
    rows = (2.0 * generator.integers(0, 3, n) + generator.normal(size=n))[:, None]
    frame = Frame.of_sample(rows, isotropic=False)
    expectation = expectation_over(MemoryReadings(Rows(rows)), frame, None)
    start = Parameters.of("full", np.full(3, 1 / 3), [[0.0], [2.5], [4.0]], np.ones((3, 1, 1)))

    def fitted(accelerate: bool) -> Solution:
        rules = Rules(frame.floor(1e-6), Tolerance(1e-12), limit, accelerate)
        return fit_em(expectation, start.inside(frame), rules)

    fast, plain = fitted(True), fitted(False)
    return {
        "name": "three groups, two deviations apart",
        "readings": fast.n_iter,
        "refused": len(fast.refused),
        "plain": plain.n_iter,
        "likelihood": fast.lower_bound,
        "plain_likelihood": plain.lower_bound,
    }


def missed(result: dict[str, Any]) -> list[str]:
    """Return the bars that were missed, in words."""
    found = []
    for each in result["overlapping"]:
        if each["readings"] > MOST_READINGS:
            found.append(f"{each['name']}: {each['readings']} readings, {MOST_READINGS} allowed")
        if each["likelihood"] < each["plain_likelihood"] - BELOW:
            found.append(
                f"{each['name']}: {each['plain_likelihood'] - each['likelihood']:.2g} below"
            )
    each = result["slow"]
    if each["readings"] > SHARE * each["plain"]:
        found.append(f"{each['name']}: {each['readings']} of {each['plain']} evaluations")
    if each["likelihood"] < each["plain_likelihood"] - BELOW:
        found.append(f"{each['name']}: {each['plain_likelihood'] - each['likelihood']:.2g} below")
    return found


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    toy = "This is a toy run: it shows that the script works.\n\n" if result["quick"] else ""
    lines = [
        "## Readings of the data\n",
        (__doc__ or "").split("\n\n")[1].replace("\n", " ") + "\n",
        f"{toy}{result['rows']:,} rows. {sentence(result['machine'])}\n",
        "| mixture | readings | plain EM | likelihood above plain EM's, nats a row |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {each['name']} | {each['readings']} | {each['plain']} "
        f"| {each['likelihood'] - each['plain_likelihood']:+.2g} |"
        for each in (*result["overlapping"], result["slow"])
    ]
    return "\n".join(lines) + "\n\n![Readings of the data](passes.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw readings beside those of plain EM."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    cases = [*result["overlapping"], result["slow"]]
    at = np.arange(len(cases))
    axes.barh(at - 0.2, [each["plain"] for each in cases], 0.4, color="#969696", label="plain EM")
    axes.barh(at + 0.2, [each["readings"] for each in cases], 0.4, color="#0072b2", label="here")
    axes.set(yticks=at, yticklabels=[each["name"] for each in cases], xscale="log")
    axes.set_xlabel("readings of the data")
    axes.invert_yaxis()
    axes.legend(frameon=False)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(quick: bool, rows: int, output: Path | None) -> None:
    """Count readings of the data."""
    n, mixtures = (4_000, MIXTURES[:1]) if quick else (rows, MIXTURES)
    with threadpool_limits(1):
        result = {
            "machine": described(),
            "quick": quick,
            "rows": n,
            "overlapping": [overlapping(*each, n) for each in mixtures],
            "slow": slow(min(n, 20_000), 400 if quick else 20_000),
        }
    if output is None and quick:
        click.echo(table(result))
    else:
        write_results(output or RESULTS, "passes", result, table(result), picture(result))
    if not quick and missed(result):
        raise click.ClickException("; ".join(missed(result)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_passes", arguments)


if __name__ == "__main__":
    sys.exit(main())
