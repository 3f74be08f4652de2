"""How the likelihood rose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dask_gmm.plots.axes import ALARM, LIGHT, STRONG, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_convergence(
    history: Sequence[Mapping[str, Any]] | Any,
    ax: Axes | None = None,
    *,
    stage: str | None = None,
) -> Axes:
    """Draw the mean log-likelihood per row against the iteration.

    Full-data passes are one strong line with a dot per pass, sample starts are light lines; an
    iteration in which the likelihood fell carries an orange-red triangle. Where the first two
    iterations would flatten all others, they lie below the axes.

    Parameters
    ----------
    history : fitted mixture, or sequence of mapping
        A mixture with ``lower_bounds_``; or the records of a run's ``history.jsonl``: ``stage``
        ("sample" or "full"), ``start``, ``iteration``, ``mean_log_likelihood`` (nats per row) and
        ``fall``.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default (save it with ``ax.figure.savefig``).
    stage : {"sample", "full"}, optional
        Draw that stage alone, where the other would flatten it. The winning sample start is
        then the strong line.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        If it is a mixture that knows nothing of its fit: one that was loaded.
    """
    from matplotlib.ticker import MaxNLocator

    if hasattr(history, "lower_bounds_"):
        history = _history_of(history.lower_bounds_)
    elif not isinstance(history, Sequence):
        raise TypeError(
            f"{type(history).__name__} has no lower_bounds_: it was not fitted here; give the "
            "records of the run's history.jsonl"
        )
    ax = axes_or_new(ax, (6.4, 4.0))
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
            color=STRONG if strong else LIGHT,
            label=f"start {start} on the sample",
        )
    for iterations, likelihoods, _ in full.values():
        ax.plot(
            iterations,
            likelihoods,
            color=STRONG,
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
                color=ALARM,
                ls="none",
                marker="v",
                ms=5.0,
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


def _history_of(likelihoods: Sequence[float]) -> list[dict[str, Any]]:
    """Return a fitted mixture's likelihoods as the records of a run."""
    before = [-np.inf, *likelihoods]
    return [
        {
            "stage": "full",
            "iteration": i + 1,
            "mean_log_likelihood": x,
            "fall": bool(x < before[i] - 1e-12 * abs(x)),
        }
        for i, x in enumerate(likelihoods)
    ]


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
