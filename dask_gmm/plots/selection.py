"""How the candidates compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dask_gmm.plots.axes import ALARM, LIGHT, SECOND, STRONG, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: The criteria by which candidates compare: how they are called, and drawn.
_CRITERIA = {
    "bic": ("BIC", STRONG, "o"),
    "aic": ("AIC", LIGHT, "s"),
    "icl": ("ICL", SECOND, "D"),
    "heldout": ("held-out log-likelihood, nats per row", STRONG, "o"),
}
#: Together on one scale.
INFORMATION = ("bic", "aic", "icl")


def plot_selection(
    candidates: Sequence[Mapping[str, Any]] | Any,
    criterion: str | Sequence[str] = INFORMATION,
    ax: Axes | None = None,
) -> Axes:
    """Draw criteria against the number of components, a style of line for each covariance type.

    The candidate that was chosen is ringed; one that something speaks against is hollow.

    Parameters
    ----------
    candidates : Selection, or sequence of mapping
        What :func:`dask_gmm.select_components` returns; or what a run's ``manifest.json`` holds
        under ``selection`` as ``candidates``: ``n_components``, ``covariance_type``, the criteria
        by their names, ``objection``, ``chosen``.
    criterion : {"bic", "aic", "icl", "heldout"} or sequence of these
        By default the three that share a scale.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is no such criterion.
    """
    from matplotlib.ticker import MaxNLocator

    criteria = [criterion] if isinstance(criterion, str) else list(criterion)
    unknown = [each for each in criteria if each not in _CRITERIA]
    if unknown or not criteria:
        raise ValueError(f"criterion={criterion!r}; allowed are {', '.join(_CRITERIA)}")
    rows = _rows_of(candidates)
    ax = axes_or_new(ax, (6.4, 4.0))
    kinds = dict.fromkeys(str(each.get("covariance_type")) for each in rows)
    for name in criteria:
        for kind, style in zip(kinds, ("-", "--", "-.", ":"), strict=False):
            label = kind if len(criteria) == 1 else _CRITERIA[name][0]
            label += f", {kind}" if len(kinds) > 1 and len(criteria) > 1 else ""
            _draw_line(ax, rows, name, kind, style, label)
    ax.set_xlabel("components")
    ax.set_ylabel(_CRITERIA[criteria[0]][0] if len(criteria) == 1 else "criterion")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(kinds) * len(criteria) > 1:
        ax.legend(frameon=False)
    return ax


def _draw_line(
    ax: Axes, rows: Sequence[Mapping[str, Any]], name: str, kind: str, style: str, label: str
) -> None:
    """Draw one criterion of one covariance type."""
    _, color, marker = _CRITERIA[name]
    mine = [each for each in rows if str(each.get("covariance_type")) == kind]
    mine = [each for each in mine if each.get(name) is not None]
    mine.sort(key=lambda each: each["n_components"])
    sizes = [each["n_components"] for each in mine]
    ax.plot(sizes, [each[name] for each in mine], style, color=color, label=label)
    for each in mine:
        face = "none" if each.get("objection") else color
        at = ([each["n_components"]], [each[name]])
        ax.plot(*at, marker, ms=4.0, color=color, markerfacecolor=face)
        if each.get("chosen"):
            ax.plot(*at, "o", ms=11.0, color=ALARM, markerfacecolor="none")


def _rows_of(candidates: Any) -> list[Mapping[str, Any]]:
    """Return a mapping for each candidate."""
    if not hasattr(candidates, "assessed"):
        return list(candidates)
    best = candidates.best
    names = ("n_components", "covariance_type", "objection", *_CRITERIA)
    return [
        {name: getattr(each, name) for name in names}
        | {
            "chosen": (each.n_components, each.covariance_type)
            == (best.n_components, best.covariance_type)
        }
        for each in candidates.assessed
    ]
