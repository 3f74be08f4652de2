"""The report's drawings: curves as inline SVG in the page's own colours, light and dark.

Nothing in them comes from a name or a path: they are numbers and this package's own words.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dask_gmm.plots import plot_convergence, plot_selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that matplotlib draws with, and what the page's style sheet calls them in light and dark.
_THEME = {
    "#0072b2": "var(--accent)",
    "#969696": "var(--faint)",
    "#d55e00": "var(--alarm)",
    "#010101": "var(--soft)",
    "#020202": "var(--line)",
}


def convergence_svg(history: Sequence[Mapping[str, Any]], stage: str) -> str | None:
    """Return one stage's convergence as inline SVG in the page's colours; None if it is empty.

    Nothing in it comes from a name or a path: numbers and this package's own words.
    """
    if not any(entry.get("stage") == stage for entry in history):
        return None
    return _svg(lambda axes: plot_convergence(history, axes, stage=stage), stage)


def selection_svg(selection: Mapping[str, Any]) -> str | None:
    """Return how the criterion depends on K, as inline SVG; None where there is one K alone."""
    candidates = selection.get("candidates") or []
    if len({each.get("n_components") for each in candidates}) < 2:
        return None
    criterion = str(selection.get("criterion"))
    return _svg(lambda axes: plot_selection(candidates, criterion, axes), "selection")


def _svg(draw: Callable[[Axes], Any], prefix: str) -> str:
    """Draw in the page's style; no id in the SVG is another's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "axes.edgecolor": "#010101",
        "axes.labelcolor": "#010101",
        "xtick.color": "#010101",
        "ytick.color": "#010101",
        "grid.color": "#020202",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "font.size": 10.0,
        "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
        "svg.hashsalt": "dask-gmm",  # the same run gives the same bytes
    }
    with rc_context(style):  # type: ignore[arg-type]
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), prefix)


def _inline(svg: str, prefix: str) -> str:
    """Make a stand-alone SVG fit to stand inside a page beside others."""
    svg = svg[svg.index("<svg") :]
    # matplotlib's style element would style the whole page, its metadata serve no reader.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for color, name in _THEME.items():
        svg = svg.replace(color, name)
    return svg
