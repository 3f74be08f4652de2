"""Which of the two kernels the cost rule takes, which was faster, and scikit-learn beside both.

Question
    For every number of features D from 1 to 256 and of components K from 1 to 128: does the rule
    (``dask_gmm.mixture.blocking.centred_is_cheaper``) take the faster of phi and the centred
    kernel, and is the one it takes ever slower than scikit-learn?
Peer
    ``sklearn.mixture.GaussianMixture``'s own ``_e_step`` and ``_m_step``, as in ``bench_em_step``:
    same process, rows and parameters, one BLAS thread. Every figure is the fastest of its turns,
    which go round: phi, centred, scikit-learn, phi, ...

``python -m benchmarks.bench_kernels`` writes table, JSON and picture; some six minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import rich_click as click
from threadpoolctl import threadpool_limits

from benchmarks.em_step.cases import Case, draw, estimators
from benchmarks.em_step.steps import OurStep, PeerStep
from benchmarks.machine import described, seconds, sentence
from benchmarks.output import RESULTS, exit_code, write_results
from dask_gmm.mixture.blocking import block_rows, centred_is_cheaper
from dask_gmm.mixture.families import FAMILIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEATURES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
COMPONENTS = (1, 2, 4, 8, 16, 32, 64, 128)
QUICK = (1, 8)
#: Floating-point operations of one turn: long enough for a clock, short enough for 72 cells.
WORK = 4e8
FEWEST_ROWS, MOST_ROWS = 2_048, 65_536
RULE = "dask_gmm.mixture.kernel.centred_is_cheaper"

_PAGE = """\
## Which kernel, for which D and K

The E-step has two kernels: phi, two matrix products with the quadratic features that all components
share, and the centred one, residuals through each component's Cholesky factor. A rule of cost takes
one of them for every (D, K), full covariances; tied, diag and spherical always take phi, unless
conditioning forbids it. Below: scikit-learn's time over ours for one EM iteration on one core, with
a **c** where the rule takes the centred kernel; in brackets how much slower the kernel taken was
than the other one, where it was. Fastest of {turns} turns each.

The kernel taken was slower than the other in {wrong} of {n} cells, by at most {worst:.0%};
{beaten}

{machine}

| D, K | {head} |
|---|{rule}|
{rows}
![Time of the centred kernel over phi's](kernels.png)
"""


def measure(D: int, K: int, turns: int) -> dict[str, Any]:
    """Return the nanoseconds per row of both kernels and of scikit-learn, and the rule's choice."""
    Q = FAMILIES["full"].n_features(D)
    n = int(np.clip(WORK / (4 * K * Q + 4 * K * D * D), FEWEST_ROWS, MOST_ROWS))
    block = block_rows(Q, K, 0)
    X, start = draw(Case(D, K, "full", -(-n // block) * block))
    step, peer = OurStep(X, start), PeerStep(X, estimators(start, X)[1])

    def ours(centred: bool) -> Callable[[], float]:
        def turn() -> float:
            with patch(RULE, lambda family, K, D: centred):
                return seconds(step)

        return turn

    def theirs() -> float:
        peer.back_to_start()
        return seconds(peer)

    ways = {"phi": ours(False), "centred": ours(True), "peer": theirs}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(turns + 1):  # the first pays for buffers
        for name, turn in ways.items():
            took = turn()
            if i:
                times[name].append(took)
    ns = {name: 1e9 * min(each) / len(X) for name, each in times.items()}
    taken = "centred" if centred_is_cheaper(FAMILIES["full"], K, D) else "phi"
    faster = min(ns["phi"], ns["centred"])
    return {
        "D": D,
        "K": K,
        "rows": len(X),
        "ns_per_row": ns,
        "taken": taken,
        "ratio": ns["peer"] / ns[taken],
        "slower_by": ns[taken] / faster - 1.0,
    }


def table(result: dict[str, Any]) -> str:
    """Return the page: question, machine, table, picture."""
    cells = {(each["D"], each["K"]): each for each in result["cells"]}
    Ks = sorted({K for _, K in cells})
    rows = "".join(
        f"| {D} | " + " | ".join(_shown(cells[D, K]) for K in Ks) + " |\n"
        for D in sorted({D for D, _ in cells})
    )
    lost = [each for each in result["cells"] if each["ratio"] < 1.0]
    text = _PAGE.format(
        turns=result["turns"],
        wrong=sum(each["slower_by"] > 0 for each in result["cells"]),
        n=len(cells),
        worst=max(each["slower_by"] for each in result["cells"]),
        beaten="it was never slower than scikit-learn."
        if not lost
        else "**scikit-learn was faster** at "
        + "; ".join(f"{each['D']}, {each['K']}" for each in lost)
        + ".",
        machine=sentence(result["machine"]),
        head=" | ".join(map(str, Ks)),
        rule="---:|" * (len(Ks) - 1) + "---:",
        rows=rows,
    )
    if result["quick"]:
        text += "\n**A toy run: it shows that the script works, and nothing about speed.**\n"
    return text


def _shown(cell: dict[str, Any]) -> str:
    mark = " **c**" if cell["taken"] == "centred" else ""
    wrong = f" ({cell['slower_by']:.0%})" if cell["slower_by"] >= 0.005 else ""
    return f"{cell['ratio']:.1f}{mark}{wrong}"


def picture(result: dict[str, Any]) -> Figure:
    """Draw, for every K, the centred kernel's time over phi's against D."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    ax = figure.subplots()
    for K in sorted({each["K"] for each in result["cells"]}):
        mine = sorted((e for e in result["cells"] if e["K"] == K), key=lambda e: e["D"])
        over = [e["ns_per_row"]["centred"] / e["ns_per_row"]["phi"] for e in mine]
        taken = [e["taken"] == "centred" for e in mine]
        (line,) = ax.plot([e["D"] for e in mine], over, lw=1.0, label=f"K = {K}")
        for filled in (False, True):
            some = [i for i, each in enumerate(taken) if each is filled]
            ax.plot(
                [mine[i]["D"] for i in some],
                [over[i] for i in some],
                "o",
                color=line.get_color(),
                fillstyle="full" if filled else "none",
            )
    ax.axhline(1.0, color="black", lw=0.8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("features D; filled where the rule takes the centred kernel")
    ax.set_ylabel("time of the centred kernel over phi's")
    ax.legend(frameon=False, ncols=2)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--require", is_flag=True, help="End with 1 where scikit-learn was faster.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=f"Where table, JSON and picture go; for the whole grid {RESULTS} by default.",
)
def command(quick: bool, turns: int, require: bool, output: Path | None) -> None:
    """Time both kernels and scikit-learn over a grid of D and K, on one core."""
    cells = []
    with threadpool_limits(1):
        for D in QUICK if quick else FEATURES:
            for K in QUICK if quick else COMPONENTS:
                cells.append(measure(D, K, turns))
                click.echo(f"D={D}, K={K}: {_shown(cells[-1])}", err=True)
    result = {"machine": described(), "quick": quick, "turns": turns, "cells": cells}
    if output is None and not quick:
        output = RESULTS
    if output is None:
        click.echo(table(result))
    else:
        write_results(output, "kernels", result, table(result), picture(result))
    lost = [f"{each['D']}, {each['K']}" for each in cells if each["ratio"] < 1.0]
    if require and lost:
        raise click.ClickException(f"scikit-learn was faster at {'; '.join(lost)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_kernels", arguments)


if __name__ == "__main__":
    sys.exit(main())
