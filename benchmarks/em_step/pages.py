"""The table and the picture of ``bench_em_step``, from its numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.machine import sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAMILY_COLORS = {"full": "#0072b2", "tied": "#e69f00", "diag": "#009e73", "spherical": "#cc79a7"}

_QUESTION = """\
## One EM iteration on one core, and label prediction

What does one EM iteration (E-step with statistics, and M-step) cost per row? The peer is
`sklearn.mixture.GaussianMixture`: its own `_e_step` and `_m_step`, and its `predict`; same process,
same rows in memory, same parameters, float64, one BLAS thread for both, turn by turn in changing
order. Both steps gave the same parameters to {difference:.0e} or better (weights; means and
covariances whitened). Figures are medians of {pairs} turns; beside the ratio stand its extremes.
Not counted is what is done once per data set: our frame, and the total scatter that makes tied
covariances cheap, which the survey before EM takes; of scikit-learn, its checks of the input.
The limit is 4 K Q flop a row at the rate of the matrix product (median {gflops:.0f} GFLOP/s) and
K exponentials ({exp:.2f} ns each), both measured between the turns. Products with a short side do
not reach that rate: beside the share of the limit stands that of the same products in our own
shapes, from buffers in the cache, with the same exponentials; the rest of our time makes features,
sums and logarithms. Rows are chosen so that scikit-learn's (N, K) arrays are of a realistic size.

{machine}
"""

_HEAD = """\
| D, K | family | rows | scikit-learn, ns/row | ours, ns/row | ratio | of limit | of products \
| labels, ratio |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""


def table(result: dict[str, Any]) -> str:
    """Return the page: question, machine, table, picture."""
    cases = result["cases"]
    middle = sorted(cases, key=lambda each: each["gflops"])[len(cases) // 2]
    text = _QUESTION.format(
        difference=max(each["difference"] for each in cases),
        pairs=min(each["pairs"] for each in cases),
        gflops=middle["gflops"],
        exp=middle["exp_ns"],
        machine=sentence(result["machine"]),
    )
    text += _where_the_peer_wins(cases)
    if result["quick"]:
        text += "\n**A toy run: it shows that the script works, and nothing about speed.**\n"
    rows = "".join(_row(each) for each in cases)
    return f"{text}\n{_HEAD}{rows}\n![Speed against scikit-learn and the limit](em_step.png)\n"


def _where_the_peer_wins(cases: list[dict[str, Any]]) -> str:
    """Say first where scikit-learn is faster."""
    lost = [
        f"{what} at {each['D']}, {each['K']} {each['family']} ({1 / each[key][0]:.1f} times)"
        for what, key in (("the iteration", "ratio"), ("labels", "predict_ratio"))
        for each in cases
        if each[key][0] < 1.0
    ]
    return f"\n**scikit-learn is faster** for {'; '.join(lost)}.\n" if lost else ""


def _row(each: dict[str, Any]) -> str:
    times, (ratio, low, high) = each["ns_per_row"], each["ratio"]
    return (
        f"| {each['D']}, {each['K']} | {each['family']} | {each['rows']:,} "
        f"| {times['peer'][0]:,.0f} | {times['ours'][0]:,.0f} "
        f"| **{ratio:.1f}** ({low:.1f}-{high:.1f}) | {each['of_limit'][0]:.0%} "
        f"| {each['of_products'][0]:.0%} | {each['predict_ratio'][0]:.1f} |\n"
    )


def picture(result: dict[str, Any]) -> Figure:
    """Draw, per (D, K) and family, the speed against scikit-learn and the share of the limit."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, result["cases"], "ratio", 1.0)
    left.axhline(1.0, color="black", lw=0.8)
    left.set_yscale("log")
    left.set_ylabel("times scikit-learn's speed")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("")
    _bars(right, result["cases"], "of_limit", 100.0)
    right.set_ylim(0, 100)
    right.set_ylabel("% of the limit of the machine")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    for ax in (left, right):
        ax.set_xlabel("features, components")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", alpha=0.3)
        ax.set_axisbelow(True)
    return figure


def _bars(ax: Axes, cases: list[dict[str, Any]], key: str, unit: float) -> None:
    """Draw one group of bars per (D, K), with the extremes of the turns as whiskers."""
    shapes = list(dict.fromkeys((each["D"], each["K"]) for each in cases))
    families = [name for name in _FAMILY_COLORS if any(each["family"] == name for each in cases)]
    width = 0.8 / len(families)
    for i, family in enumerate(families):
        mine = [each for each in cases if each["family"] == family]
        at = [shapes.index((e["D"], e["K"])) + width * (i - (len(families) - 1) / 2) for e in mine]
        middle, low, high = zip(*([unit * x for x in each[key]] for each in mine), strict=True)
        below = [m - a for m, a in zip(middle, low, strict=True)]
        above = [b - m for m, b in zip(middle, high, strict=True)]
        ax.bar(at, middle, width, color=_FAMILY_COLORS[family], label=family)
        ax.errorbar(at, middle, [below, above], fmt="none", ecolor="#444444", lw=0.8)
    ax.set_xticks(range(len(shapes)), [f"{D}, {K}" for D, K in shapes])
