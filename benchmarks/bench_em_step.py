"""One EM iteration and one prediction, against scikit-learn and against the machine.

Question
    Time per row of one E-step with statistics and the M-step after it, on one core, per number of
    features D, number of components K and covariance family; the same for predicting labels.
Peer
    ``sklearn.mixture.GaussianMixture``: its own ``_e_step`` and ``_m_step``, which are what its
    ``fit`` repeats, and its ``predict``. Same process, same rows in memory, same parameters,
    float64, one BLAS thread for both, turn by turn; medians with the extremes beside them. Both
    steps must give the same parameters, or the run ends.
Limit
    4 K Q flop a row (two products of theta and of R with phi) at the rate of this machine's matrix
    product, and K exponentials at the rate of its exp, both measured between the turns. Beside it
    the same products in the step's own shapes and blocks, which bound it more closely.

Run it as ``make bench``, or ``python -m benchmarks.bench_em_step --only 6,16,full``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import rich_click as click
from threadpoolctl import threadpool_limits

from benchmarks.em_step.cases import Case, draw, estimators
from benchmarks.em_step.pages import picture, table
from benchmarks.em_step.steps import OurStep, PeerStep, Products, difference
from benchmarks.machine import Limits, described, seconds
from benchmarks.output import RESULTS, exit_code, write_results
from dask_gmm.mixture.families import FAMILIES

#: Rows per (D, K): scikit-learn's (N, K) arrays are 64 to 128 MB at small D, as in real use, and
#: its slowest iteration takes some four seconds.
ROWS = {
    (3, 8): 1_000_000,
    (6, 16): 1_000_000,
    (16, 16): 500_000,
    (32, 32): 150_000,
    (128, 32): 40_000,
}
QUICK_ROWS = {(3, 8): 20_000, (6, 16): 10_000}
#: Two programs' results may differ by rounding; whatever is more than this is a fault.
AGREEMENT = 1e-8


def measure(case: Case, pairs: int) -> dict[str, Any]:
    """Return one case's times in nanoseconds per row, as [median, fastest, slowest], and ratios."""
    X, start = draw(case)
    ours, peer = estimators(start, X)
    steps, limits = (OurStep(X, start), PeerStep(X, peer)), Limits()
    steps[1]()
    error = difference(steps[0].parameters(), peer)
    if not error < AGREEMENT:
        raise SystemExit(f"{case.name}: the steps differ by {error:.1e}, allowed is {AGREEMENT}")
    steps[1].back_to_start()
    products = Products(steps[0])
    products()
    turns = [_turn(steps, products, limits, case, ours_first=i % 2 == 0) for i in range(pairs)]
    steps[1].back_to_start()
    if not (ours.predict(X) != peer.predict(X)).mean() < AGREEMENT:  # and both are warm now
        raise SystemExit(f"{case.name}: the labels differ")
    predictions = [
        (seconds(lambda: ours.predict(X)), seconds(lambda: peer.predict(X))) for _ in range(pairs)
    ]
    ns = 1e9 / case.n_rows
    return {
        "case": case.name,
        "D": case.D,
        "K": case.K,
        "Q": case.Q,
        "family": case.family,
        "rows": case.n_rows,
        "pairs": pairs,
        "difference": error,
        "ns_per_row": {
            name: _spread(ns * turn[name] for turn in turns) for name in ("ours", "peer", "limit")
        },
        "predict_ns_per_row": {
            name: _spread(ns * each[i] for each in predictions)
            for i, name in enumerate(("ours", "peer"))
        },
        "ratio": _spread(turn["peer"] / turn["ours"] for turn in turns),
        "of_limit": _spread(turn["limit"] / turn["ours"] for turn in turns),
        "of_products": _spread(turn["products"] / turn["ours"] for turn in turns),
        "predict_ratio": _spread(theirs / mine for mine, theirs in predictions),
        "gflops": 1e-9 / median(turn["per_flop"] for turn in turns),
        "exp_ns": 1e9 * median(turn["per_exp"] for turn in turns),
    }


def _turn(
    steps: tuple[OurStep, PeerStep],
    products: Products,
    limits: Limits,
    case: Case,
    *,
    ours_first: bool,
) -> dict[str, float]:
    """Time both programs once, and the machine before, between and after them."""
    first, second = steps if ours_first else steps[::-1]
    rates = [limits.measured()]
    took = {first: seconds(first)}
    rates.append(limits.measured())
    took[second] = seconds(second)
    rates.append(limits.measured())
    per_flop, per_exp = (median(each) for each in zip(*rates, strict=True))
    exponentials = case.n_rows * case.K * per_exp
    return {
        "ours": took[steps[0]],
        "peer": took[steps[1]],
        "limit": case.n_rows * 4.0 * case.K * case.Q * per_flop + exponentials,
        "products": seconds(products) + exponentials,
        "per_flop": per_flop,
        "per_exp": per_exp,
    }


def _spread(values: Iterable[float]) -> list[float]:
    ordered = sorted(values)
    return [median(ordered), ordered[0], ordered[-1]]


def cases(quick: bool, only: Sequence[str]) -> list[Case]:
    """Return the grid, or the part of it that was asked for, such as ``6,16,full``."""
    sizes = QUICK_ROWS if quick else ROWS
    if not only:
        return [Case(D, K, family, n) for (D, K), n in sizes.items() for family in FAMILIES]
    return [_case(text, sizes) for text in only]


def _case(text: str, sizes: dict[tuple[int, int], int]) -> Case:
    try:
        D, K, family = text.split(",")
        shape = int(D), int(K)
        if min(shape) < 1 or family not in FAMILIES:
            raise ValueError(text)
    except ValueError:
        raise click.BadParameter(
            f"found {text!r}; allowed is D,K,FAMILY with FAMILY one of {', '.join(FAMILIES)}"
        ) from None
    unlisted = max(10_000, int(1e8) // (shape[1] * (shape[0] + 8) ** 2))
    return Case(*shape, family, sizes.get(shape, min(unlisted, 1_000_000)))


def _bars(texts: Sequence[str]) -> dict[str, float]:
    """Read ``15@6,16,full``: at least 15 times scikit-learn's speed in that case."""
    bars = {}
    for text in texts:
        ratio, _, case = text.partition("@")
        try:
            bars[_case(case, ROWS).name] = float(ratio)
        except ValueError:
            raise click.BadParameter(f"found {text!r}; allowed is RATIO@D,K,FAMILY") from None
    return bars


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--only", multiple=True, metavar="D,K,FAMILY", help="This case. May be repeated.")
@click.option("--pairs", default=5, show_default=True, type=click.IntRange(min=1), help="Turns.")
@click.option(
    "--require",
    multiple=True,
    metavar="RATIO@D,K,FAMILY",
    help="End with 1 where scikit-learn's time over ours is less. May be repeated.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=f"Where table, JSON and picture go; for the whole grid {RESULTS} by default.",
)
def command(
    quick: bool, only: Sequence[str], pairs: int, require: Sequence[str], output: Path | None
) -> None:
    """Time one EM iteration and label prediction against scikit-learn, on one core."""
    bars = _bars(require)
    measured = []
    with threadpool_limits(1):
        for case in cases(quick, only):
            measured.append(measure(case, pairs))
            click.echo(_line(measured[-1]), err=True)
    result = {"machine": described(), "quick": quick, "cases": measured}
    if output is None and not (quick or only):
        output = RESULTS
    if output is not None:
        write_results(output, "em_step", result, table(result), picture(result))
    else:
        click.echo(table(result))
    short = [
        f"{each['case']}: {each['ratio'][0]:.1f} of {bars[each['case']]:g}"
        for each in measured
        if each["ratio"][0] < bars.get(each["case"], 0.0)
    ]
    absent = bars.keys() - {each["case"] for each in measured}
    if short or absent:
        raise click.ClickException(
            "; ".join(
                [*(f"below its bar: {s}" for s in short), *(f"not measured: {a}" for a in absent)]
            )
        )


def _line(each: dict[str, Any]) -> str:
    times = each["ns_per_row"]
    return (
        f"{each['case']:>18}: ours {times['ours'][0]:9.1f} ns, "
        f"scikit-learn {times['peer'][0]:9.1f} ({each['ratio'][0]:.1f}x), "
        f"{each['of_limit'][0]:.0%} of the limit, labels {each['predict_ratio'][0]:.1f}x"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_em_step", arguments)


if __name__ == "__main__":
    sys.exit(main())
