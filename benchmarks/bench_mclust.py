"""Compare with R's mclust: whose optima are higher, which K is chosen, is a likelihood the same.

Mixtures of 1 to 6 components of the four families on data sets that come with mclust and R: full
is mclust's VVV (V in one feature), tied EEE (E), diag VVI, spherical VII. mclust starts as it does
by default, from hierarchical clustering, and runs to its own tolerance and to one of 1e-12; the
better of the two counts. Ours is the estimator without ``reg_covar``, in
raw units, the best of ten starts, half of them by k-means and half by k-means++, to 1e-10 nats a
row. A likelihood has no bound where a component shrinks upon few rows or a plane: an optimum is
called spurious where a component is thinner in some direction than a hundredth of the data, or has
a covariance of its own from fewer than D + 2 rows. Of several fits the highest that is not spurious
counts, for both sides; a cell (data, family, K) where one side has none, or where mclust found its
covariances singular, is compared no further. Equal is within 1e-6 of the likelihood. Apart from all
this, our kernel's likelihood at mclust's parameters is compared with mclust's own there.

``python -m benchmarks.bench_mclust`` writes table, JSON and picture; needs Rscript and mclust
(Debian: r-cran-mclust). About 10 minutes, and no more memory than Python and R take.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from threadpoolctl import threadpool_limits

from benchmarks.machine import described
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from benchmarks.peers.mclust_cells import cells, peer_fits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA = (
    *("faithful", "acidity", "precip", "Test1D", "diabetes", "iris"),
    *("thyroid", "banknote", "wreath", "GvHD.control"),
)
QUICK_DATA = ("faithful", "acidity")
MOST_K, QUICK_K = 6, 3
STARTS, QUICK_STARTS = 10, 3
FAMILIES = {"full": "#0072b2", "tied": "#d55e00", "diag": "#009e73", "spherical": "#cc79a7"}
COMPARED = ("mclust higher", "equal", "ours higher")


def measure(names: Sequence[str], most_k: int, n_init: int) -> dict[str, Any]:
    """Return versions and cells."""
    with tempfile.TemporaryDirectory() as place:
        said = peer_fits(Path(place) / "fits.jsonl", most_k, names)
    found = []
    with threadpool_limits(1):
        for each in cells(said, n_init):
            found.append(each)
            words = f"{each['data']}, {each['family']}, K = {each['K']}: {each['verdict']}"
            click.echo(words, err=True)
    return {
        "r": said[0]["r"],
        "mclust": said[0]["mclust"],
        "shapes": {each["data"]: each["shape"] for each in said if "rows" in each},
        "starts": n_init,
        "cells": found,
        "verdicts": Counter(each["verdict"] for each in found),
        "kernel": max(each["kernel"] for each in found if each["kernel"] is not None),
    }


def chosen(found: Sequence[dict[str, Any]], side: str) -> dict[str, Any] | None:
    """Return the cell of least BIC that is neither singular nor spurious."""
    sound = [each for each in found if each[side] and not each[side]["spurious"]]
    return min(sound, key=lambda each: each[side]["bic"], default=None)


def first_words(result: dict[str, Any]) -> str:
    """Say where mclust wins, then the rest."""
    counts, n = Counter(result["verdicts"]), len(result["cells"])
    n_compared = sum(counts[name] for name in COMPARED)
    worse = [each for each in result["cells"] if each["verdict"] == "mclust higher"]
    at = ""
    if worse:
        most = min(worse, key=lambda each: each["above"])
        nats = f"{-most['above']:,.{0 if most['above'] < -10 else 2}f} nats"
        at = f", by {nats} at most ({most['data']}, {most['family']}, K = {most['K']})"
    others = [f"{name} {counts[name]}" for name in sorted(counts) if name not in COMPARED]
    spurious = sum(each["highest_is_spurious"] for each in result["cells"])
    return (
        f"mclust's optimum is the higher one in {len(worse)} of {n_compared} cells compared{at}; "
        f"they are equal in {counts['equal']}, and ours is higher in {counts['ours higher']}. "
        f"{n - n_compared} more cells are not compared"
        + (f" ({'; '.join(others)})" if others else "")
        + f". In {spurious} of all {n} cells the highest of our starts is a spurious one, which "
        f"``n_init={result['starts']}`` without ``reg_covar`` would have returned. At mclust's "
        f"parameters our kernel's likelihood is mclust's to a relative {result['kernel']:.1e} or "
        "better, in every cell.\n"
    )


def _of_family(result: dict[str, Any], data: str, name: str) -> str:
    """Return a row of the table."""
    found = [each for each in result["cells"] if (each["data"], each["family"]) == (data, name)]
    counts = Counter(each["verdict"] for each in found)
    n, D = result["shapes"][data]
    text = f"| {data} ({n} x {D}) | {name} |"
    for side in ("mclust", "ours"):
        best = chosen(found, side)
        text += f" {best['K']} | {best[side]['bic']:.2f} |" if best else " | |"
    numbers = [counts[verdict] for verdict in COMPARED]
    singular = sum(each["mclust"] is None for each in found)
    spurious = [
        sum(bool(each[side]) and each[side]["spurious"] for each in found)
        for side in ("mclust", "ours")
    ]
    best = chosen(found, "ours")
    thin = f"{best['ours']['thinnest']:.1g} | {best['ours']['fewest']:.0f}" if best else " | "
    return text + "".join(f" {each} |" for each in (*numbers, singular, *spurious)) + f" {thin} |"


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    head = (
        *("data", "family", "K by BIC: mclust", "BIC", "ours: K", "BIC"),
        *("cells: mclust higher", "equal", "ours higher"),
        *("mclust singular", "mclust spurious", "ours spurious"),
        *("ours, chosen: thinnest", "fewest rows"),
    )
    pairs = dict.fromkeys((each["data"], each["family"]) for each in result["cells"])
    lines = [
        *beginning("Against mclust (R)", __doc__ or "", result),
        first_words(result),
        f"mclust {result['mclust']}, R {result['r']}. BIC is that of scikit-learn, less is better: "
        "mclust's with the other sign. The thinnest direction is a variance, of the data's own.\n",
        f"| {' | '.join(head)} |",
        f"|---|---|{'---:|' * (len(head) - 2)}",
        *(_of_family(result, *pair) for pair in pairs),
    ]
    return "\n".join(lines) + "\n\n![Log-likelihood above mclust's](mclust.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw how far our likelihood is above mclust's, a dot a cell."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes, names = figure.subplots(), list(result["shapes"])
    for shift, (name, colour) in enumerate(FAMILIES.items()):
        dots = [
            (names.index(each["data"]) + 0.18 * (shift - 1.5), each["above"], 8 * each["K"])
            for each in result["cells"]
            if each["family"] == name and each["verdict"] in COMPARED
        ]
        if dots:
            x, y, size = zip(*dots, strict=True)
            axes.scatter(x, y, size, color=colour, alpha=0.7, linewidths=0, label=name)
    axes.axhline(0.0, color="#969696", linewidth=0.8, zorder=0)
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylabel("ours above mclust's, nats\n(larger dots: more components)")
    figure.legend(loc="outside right center", frameon=False)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--require-kernel", default=inf, help="Most difference of a likelihood, relative.")
@click.option("--require-share", default=-inf, help="Least share of cells where ours is as high.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(quick: bool, require_kernel: float, require_share: float, output: Path | None) -> None:
    """Compare likelihoods and BIC with mclust's on its own data sets."""
    plan = (QUICK_DATA, QUICK_K, QUICK_STARTS) if quick else (DATA, MOST_K, STARTS)
    result = {"machine": described(), "quick": quick, **measure(*plan)}
    deliver("mclust", result, table(result), picture(result), output)
    counts = result["verdicts"]
    required("likelihood at mclust's parameters", result["kernel"], most=require_kernel)
    share = 1 - counts["mclust higher"] / sum(counts[name] for name in COMPARED)
    required("cells where ours is as high, of those compared", share, least=require_share)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_mclust", arguments)


if __name__ == "__main__":
    sys.exit(main())
