"""Pictures of a fitted mixture: class colours, label images, convergence and class plots.

Matplotlib is imported inside the functions that draw, and never through pyplot: no backend is
chosen, no figure is kept alive, no window opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dask_gmm.palette import MASKED_COLOR, class_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "MASKED_COLOR",
    "class_colors",
    "label_image",
    "plot_classes",
    "plot_convergence",
    "plot_selection",
]

_STRONG, _LIGHT, _ALARM = "#0072b2", "#969696", "#d55e00"


def label_image(labels: ArrayLike, n_classes: int) -> NDArray[np.uint8]:
    """Paint a label array in its class colours.

    Parameters
    ----------
    labels : array_like of shape (h, w), integers
        0 = masked, else 1..K.
    n_classes : int
        K.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Raises
    ------
    ValueError
        If a label lies outside 0..K.
    TypeError
        If the labels are not integers.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels have dtype {array.dtype}; integers 0..{n_classes} are needed")
    if array.size and (array.min() < 0 or array.max() > n_classes):
        raise ValueError(
            f"labels go from {array.min()} to {array.max()}; "
            f"0 (masked) to n_classes={n_classes} are allowed"
        )
    table = np.concatenate([np.array([MASKED_COLOR], np.uint8), class_colors(n_classes)])
    painted: NDArray[np.uint8] = table[array]
    return painted


def plot_convergence(
    history: Sequence[Mapping[str, Any]], ax: Axes | None = None, *, stage: str | None = None
) -> Axes:
    """Draw the mean log-likelihood per row against the iteration.

    Full-data passes are one strong line with a dot per pass, sample starts are light lines; an
    iteration in which the likelihood fell carries an orange-red triangle. Where the first two
    iterations would flatten all others, they lie below the axes.

    Parameters
    ----------
    history : sequence of mapping
        The records of ``history.jsonl``: ``stage`` ("sample" or "full"), ``start``,
        ``iteration``, ``mean_log_likelihood`` (nats per row) and ``fall``.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default (save it with ``ax.figure.savefig``).
    stage : {"sample", "full"}, optional
        Draw that stage alone, where the other would flatten it. The winning sample start is
        then the strong line.

    Returns
    -------
    matplotlib Axes
    """
    from matplotlib.ticker import MaxNLocator

    ax = ax if ax is not None else _new_axes((6.4, 4.0))
    sample = {} if stage == "full" else _curves(history, "sample")
    full = {} if stage == "sample" else _curves(history, "full")
    finals = _curves(history, "full") or sample  # the start that won, or leads on the sample
    best = max(finals, key=lambda start: finals[start][1][-1], default=None)
    for start, (iterations, likelihoods, _) in sample.items():
        strong = stage == "sample" and start == best
        ax.plot(
            iterations,
            likelihoods,
            lw=1.8 if strong else 1.1,
            zorder=3 if strong else 2,
            color=_STRONG if strong else _LIGHT,
            label=f"start {start} on the sample",
        )
    for iterations, likelihoods, _ in full.values():
        ax.plot(
            iterations,
            likelihoods,
            color=_STRONG,
            lw=1.8,
            marker="o",
            ms=4.0,
            zorder=4,
            label="all rows",
        )
    for iterations, likelihoods, fell in [*sample.values(), *full.values()]:
        if fell.any():
            ax.plot(
                iterations[fell],
                likelihoods[fell],
                color=_ALARM,
                ls="none",
                marker="v",
                ms=7.0,
                zorder=5,
                label="fell",
            )
    ax.set_xlabel("iteration")
    ax.set_ylabel("mean log-likelihood, nats per row")
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _leave_out_first_steps(
        ax, [likelihoods for _, likelihoods, _ in [*sample.values(), *full.values()]]
    )
    return ax


def plot_classes(
    weights: ArrayLike,
    means: ArrayLike,
    ax: Axes | None = None,
    *,
    feature_names: Sequence[str] | None = None,
) -> Axes:
    """Draw one bar per class: its weight, in its colour, with its mean written beside it.

    Parameters
    ----------
    weights : array_like of shape (K,)
    means : array_like of shape (K, D)
        In original units; the first four features are written.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.
    feature_names : sequence of str, optional
        D names for the heading.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If `weights` and `means` do not belong to the same number of classes.
    """
    w, mu = np.asarray(weights, dtype=float), np.asarray(means, dtype=float)
    if w.ndim != 1 or mu.ndim != 2 or len(w) != len(mu):
        raise ValueError(f"weights {w.shape} and means {mu.shape} are not (K,) and (K, D)")
    n_classes, n_features = mu.shape
    ax = ax if ax is not None else _new_axes((6.4, 1.0 + 0.35 * n_classes))
    ax.barh(np.arange(1, n_classes + 1), 100 * w, color=class_colors(n_classes) / 255)
    for label, (weight, mean) in enumerate(zip(w, mu, strict=True), start=1):
        written = ", ".join(f"{x:.4g}" for x in mean[:4]) + (", …" if n_features > 4 else "")
        ax.annotate(
            f"{weight:.1%}  ({written})",
            (100 * weight, label),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    ax.set_yticks(np.arange(1, n_classes + 1))
    ax.invert_yaxis()
    ax.set_xlim(0, 100 * max(1e-3, float(w.max())) * 1.6)  # room for the means
    ax.set_xlabel("weight, %")
    ax.set_ylabel("class")
    if feature_names is not None:
        names = ", ".join(str(name) for name in feature_names[:4])
        ax.set_title(f"mean of ({names}{', …' if n_features > 4 else ''})", loc="right")
    return ax


def plot_selection(
    candidates: Sequence[Mapping[str, Any]], criterion: str, ax: Axes | None = None
) -> Axes:
    """Draw a criterion against the number of components, a line for each kind of covariance.

    The candidate that was chosen is ringed; one that something speaks against is hollow.

    Parameters
    ----------
    candidates : sequence of mapping
        ``n_components``, ``covariance_type``, the criterion by its name, ``objection``, ``chosen``:
        what ``manifest.json`` holds under ``selection``.
    criterion : {"bic", "aic", "icl", "heldout"}
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.

    Returns
    -------
    matplotlib Axes
    """
    from matplotlib.ticker import MaxNLocator

    ax = ax if ax is not None else _new_axes((6.4, 4.0))
    kinds = dict.fromkeys(str(each.get("covariance_type")) for each in candidates)
    for kind, style in zip(kinds, ("-", "--", "-.", ":"), strict=False):
        mine = [
            each
            for each in candidates
            if str(each.get("covariance_type")) == kind and each.get(criterion) is not None
        ]
        mine.sort(key=lambda each: each["n_components"])
        sizes = [each["n_components"] for each in mine]
        ax.plot(sizes, [each[criterion] for each in mine], style, color=_STRONG, label=kind)
        for each in mine:
            face = "none" if each.get("objection") else _STRONG
            at = ([each["n_components"]], [each[criterion]])
            ax.plot(*at, "o", ms=4.0, color=_STRONG, markerfacecolor=face)
            if each.get("chosen"):
                ax.plot(*at, "o", ms=11.0, color=_ALARM, markerfacecolor="none")
    ax.set_xlabel("components")
    named = "held-out log-likelihood, nats per row" if criterion == "heldout" else criterion.upper()
    ax.set_ylabel(named)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(kinds) > 1:
        ax.legend(frameon=False)
    return ax


def _curves(
    history: Sequence[Mapping[str, Any]], stage: str
) -> dict[Any, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Collect iterations, likelihoods and falls of each start of a stage."""
    rows: dict[Any, list[tuple[float, float, bool]]] = {}
    for entry in history:
        likelihood = entry.get("mean_log_likelihood")
        if entry.get("refused"):  # it led nowhere: the next point goes on from the one before
            continue
        if entry.get("stage") == stage and likelihood is not None and np.isfinite(likelihood):
            curve = rows.setdefault(entry.get("start"), [])
            iteration = entry.get("iteration", len(curve) + 1)
            curve.append((iteration, likelihood, bool(entry.get("fall"))))
    return {
        start: (
            np.array([i for i, _, _ in curve]),
            np.array([x for _, x, _ in curve]),
            np.array([fell for _, _, fell in curve], dtype=bool),
        )
        for start, curve in rows.items()
    }


def _leave_out_first_steps(ax: Axes, curves: Sequence[NDArray[Any]]) -> None:
    """Start the axis at the third iteration where the first two would flatten all others."""
    later = [likelihoods[2:] for likelihoods in curves if len(likelihoods) > 2]
    if not later:
        return
    top = max(float(likelihoods.max()) for likelihoods in curves)
    bottom = min(float(likelihoods.min()) for likelihoods in curves)
    low = min(float(likelihoods.min()) for likelihoods in later)
    if top - bottom > 5 * (top - low) > 0:
        ax.set_ylim(low - 0.08 * (top - low), top + 0.08 * (top - low))


def _new_axes(size: tuple[float, float]) -> Axes:
    """Axes of a figure that pyplot does not know about."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").add_subplot()
