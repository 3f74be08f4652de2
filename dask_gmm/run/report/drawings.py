"""The report's drawings: curves as inline SVG in the page's own colours, light and dark.

Nothing in them comes from a name or a path: they are numbers and this package's own words.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profile import Profile, distance_edges
from dask_gmm.plots import (
    plot_convergence,
    plot_density,
    plot_distances,
    plot_ellipses,
    plot_selection,
)
from dask_gmm.plots.selection import INFORMATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that matplotlib draws with, and what the page's style sheet calls them in light and dark.
_INKS = {"#010101": "var(--soft)", "#020202": "var(--line)"}
# Some of these are classes' colours too, which stay what they are.
_THEME = _INKS | {
    "#0072b2": "var(--accent)",
    "#969696": "var(--faint)",
    "#d55e00": "var(--alarm)",
    "#009e73": "var(--good)",
}


def convergence_svg(history: Sequence[Mapping[str, Any]], stage: str) -> str | None:
    """Return one stage's convergence as inline SVG in the page's colours; None if it is empty.

    Nothing in it comes from a name or a path: numbers and this package's own words.
    """
    if not any(entry.get("stage") == stage for entry in history):
        return None
    return _svg(lambda axes: plot_convergence(history, axes, stage=stage), stage)


def selection_svgs(selection: Mapping[str, Any]) -> dict[str, str]:
    """Return how the criteria depend on K, as inline SVG by name; none where there is one K alone.

    One drawing has AIC, BIC and ICL; of several kinds of covariance each has one of its own.
    """
    candidates = selection.get("candidates") or []
    if len({each.get("n_components") for each in candidates}) < 2:
        return {}
    kinds = {each.get("covariance_type") for each in candidates}
    drawn: dict[str, Sequence[str]] = {"AIC, BIC and ICL": INFORMATION}
    if len(kinds) > 1:
        drawn = {name.upper(): (name,) for name in INFORMATION}
    if any(each.get("heldout") is not None for each in candidates):
        drawn["Held-out likelihood"] = ("heldout",)

    def drawing(criteria: Sequence[str]) -> Callable[[Axes], Any]:
        return lambda axes: plot_selection(candidates, criteria, axes)

    return {
        name: _svg(drawing(criteria), f"selection-{i}")
        for i, (name, criteria) in enumerate(drawn.items())
    }


def view_svgs(profile: Profile, mixture: Parameters) -> list[tuple[tuple[int, ...], str]]:
    """Return the views of a profile with the classes over them: features, and inline SVG."""
    views, fitted = profile.views, _fitted(mixture)
    if not len(views.pairs):
        counts = (profile.counts[0][1:-1], views.edges(0))
        svg = _svg(
            lambda axes: _unnamed(plot_density(fitted, 0, axes, histogram=counts)),
            "view-0",
            (7.0, 3.4),
            _INKS,
        )
        return [((0,), svg)]
    found: list[tuple[tuple[int, ...], str]] = []
    for number, (a, b) in enumerate(views.pairs.tolist()):
        features = (int(views.features[a]), int(views.features[b]))
        counted = (profile.counts[number][1:-1, 1:-1], views.edges(a), views.edges(b))

        def draw(axes: Axes, of: Any = features, counted: Any = counted) -> None:
            _unnamed(plot_ellipses(fitted, of, axes, histogram=counted))

        found.append((features, _svg(draw, f"view-{number}", (3.6, 3.3), _INKS)))
    return found


def distance_svg(profile: Profile, k: int) -> str:
    """Return how far the rows of class k lie from its mean, as inline SVG."""
    D = profile.n_features

    def draw(axes: Axes) -> None:
        _unnamed(plot_distances(profile.distances[k], distance_edges(D), D, axes))
        axes.set_yticks([])

    return _svg(draw, f"distance-{k + 1}", (2.7, 1.8))


def _fitted(mixture: Parameters) -> SimpleNamespace:
    """Return a mixture as plots take it."""
    return SimpleNamespace(
        covariance_type=mixture.family.name,
        weights_=mixture.weights,
        means_=mixture.means,
        covariances_=mixture.covariances,
    )


def _unnamed(axes: Axes) -> None:
    """Take the names off: the page has them in its text, where they are escaped."""
    axes.set_xlabel("")
    axes.set_ylabel("")


def _svg(
    draw: Callable[[Axes], Any],
    prefix: str,
    size: tuple[float, float] = (4.6, 3.0),
    theme: Mapping[str, str] = _THEME,
) -> str:
    """Draw in the page's style; no id in the SVG is another's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "axes.edgecolor": "#010101",
        "axes.labelcolor": "#010101",
        "xtick.color": "#010101",
        "ytick.color": "#010101",
        "text.color": "#010101",
        "grid.color": "#020202",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "font.size": 10.0,
        "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
        "svg.hashsalt": "dask-gmm",  # the same run gives the same bytes
    }
    with rc_context(style):  # type: ignore[arg-type]
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), prefix, theme)


def _inline(svg: str, prefix: str, theme: Mapping[str, str]) -> str:
    """Make a stand-alone SVG fit to stand inside a page beside others."""
    svg = svg[svg.index("<svg") :]
    # matplotlib's style element would style the whole page, its metadata serve no reader.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for color, name in theme.items():
        svg = svg.replace(color, name)
    return svg
