"""The page and the picture of ``bench_ablation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.ablation.ways import INSTEAD
from benchmarks.output import beginning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Nats per row: what is nearer to the best is drawn here.
LEAST = 1e-9


def table(result: dict[str, Any], script: str) -> str:
    """Return the page."""
    levels = list(next(iter(result["data"][0]["ways"].values()))["levels"])
    head = "".join(f"| to {level}: fits | readings | s " for level in levels)
    lines = [
        *beginning("What each part of a fit buys", script, result),
        *beaten(result),
        f"Medians of {result['seeds']} seeds. Below the best: nats per row at the end. To a level: "
        "how many of the fits came so near to the best optimum known, and after how many readings "
        "and seconds in memory (— where half of them or fewer did).\n",
        f"| data | way | readings | s, in memory | s, stored | below the best {head}|",
        "|---|---|---:|---:|---:|---:" + "|---:|---:|---:" * len(levels) + "|",
    ]
    for each in result["data"]:
        for way, found in each["ways"].items():
            cells = "".join(
                f"| {at['fits']} of {result['seeds']} | {_shown(at['readings'], 'g')} "
                f"| {_shown(at['seconds'], '.1f')} "
                for at in found["levels"].values()
            )
            lines.append(
                f"| {each['data']} | {way} | {found['readings']:g} | {found['seconds']:.1f} "
                f"| {found['stored_seconds']:.1f} | {_shown(found['below'], '.1e')} {cells}|"
            )
    lines += ["", *(f"- {way}: {what}" for way, what in INSTEAD.items())]
    sizes = "; ".join(
        f"{each['data']}: {each['rows']:,} rows, K = {each['K']}, a reading from Zarr in "
        f"{each['seconds_a_reading']:.2f} s"
        for each in result["data"]
    )
    return "\n".join(lines) + f"\n\n{sizes}.\n\n![Below the best, by readings](ablation.png)\n"


def beaten(result: dict[str, Any]) -> list[str]:
    """Say first where another way was better in every respect that counts, or nothing."""
    lost = []
    for each in result["data"]:
        ours = each["ways"]["ours"]
        for way, found in each["ways"].items():
            if way == "ours" or found["below"] is None:
                continue
            as_near = ours["below"] is None or found["below"] <= ours["below"] + 1e-6
            if as_near and found["stored_seconds"] < 0.9 * ours["stored_seconds"]:
                lost.append(f"{each['data']}: {way} ({found['stored_seconds']:.1f} s, stored)")
            elif ours["below"] is None or found["below"] < ours["below"] - 1e-5:
                lost.append(f"{each['data']}: {way} is likelier, in {found['readings']:g} readings")
    return [f"**Better than ours**: {'; '.join(lost)}.\n"] if lost else []


def _shown(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)


def picture(result: dict[str, Any]) -> Figure:
    """Draw how far below the best, against readings and against seconds."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    n = len(result["data"])
    figure = Figure(figsize=(10, 3.2 * n + 0.6), layout="constrained")
    grid = figure.subplots(n, 2, squeeze=False)
    for row, each in zip(grid, result["data"], strict=True):
        for column, axes in enumerate(row):
            for number, way in enumerate(INSTEAD):
                if way in each["ways"]:
                    _curve(axes, each["ways"][way], column, way, f"C{number}")
            axes.set(xscale="log", yscale="log", xlabel=("readings", "seconds, in memory")[column])
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3)
        row[0].set(title=each["data"], ylabel="nats per row below the best")
    lines = {line.get_label(): line for line in [*grid[0][0].lines, *grid[-1][0].lines]}
    ways = [way for way in INSTEAD if way in lines]
    figure.legend([lines[way] for way in ways], ways, ncols=4, loc="outside lower center")
    return figure


def _curve(axes: Axes, found: dict[str, Any], column: int, way: str, color: str) -> None:
    """Draw the median over the seeds of the best that was known, as steps; and where it ends."""
    traces = [np.array(fit["trace"]) for fit in found["fits"]]
    at = np.unique(np.concatenate([trace[:, column] for trace in traces]))
    known = np.array([[_known(trace, column, x) for x in at] for trace in traces])
    middle = np.maximum(np.median(known, axis=0), LEAST)
    lw, ms, above = (3.0, 9, 1.9) if way == "ours" else (1.2, 4, 2.0)
    axes.step(at, middle, where="post", label=way, color=color, lw=lw, zorder=above)
    axes.plot(at[-1:], middle[-1:], "o", color=color, ms=ms, zorder=above)


def _known(trace: np.ndarray, column: int, x: float) -> float:
    """Return how far below the best the mixture is that is known after x; infinitely before any."""
    before = trace[trace[:, column] <= x, 2]
    return float(before[-1]) if len(before) else np.inf
