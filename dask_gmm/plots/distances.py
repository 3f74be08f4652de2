"""Whether a class is Gaussian: how far its rows lie from its mean, and how far they would."""

from __future__ import annotations

from math import lgamma, log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from dask_gmm.plots.axes import STRONG, axes_or_new
from dask_gmm.plots.ellipses import GROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_distances(
    counts: ArrayLike, edges: ArrayLike, n_features: int, ax: Axes | None = None
) -> Axes:
    """Draw the Mahalanobis distances of a class's rows, and what they would be of a Gaussian.

    Parameters
    ----------
    counts : array_like of shape (n,) or (n + 1,)
        Of the distances (not squared) in each bin; a last one beyond the edges is those above.
    edges : array_like of shape (n + 1,)
    n_features : int
        D: the squares of a Gaussian's distances have the chi-square distribution of D degrees of
        freedom.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If counts and edges do not belong together.
    """
    found, at = np.asarray(counts, dtype=float), np.asarray(edges, dtype=float)
    if found.ndim != 1 or at.ndim != 1 or len(found) - len(at) not in (-1, 0):
        raise ValueError(
            f"counts {found.shape} and edges {at.shape} are not (n,) or (n + 1,) and (n + 1,)"
        )
    total, inner = float(found.sum()), found[: len(at) - 1]
    density = inner / max(total, 1e-300) / np.diff(at)
    d = np.linspace(max(at[0], 1e-9), at[-1], 300)
    # Of a root of a chi-square: d^(D - 1) exp(-d^2 / 2) / (2^(D/2 - 1) Gamma(D / 2)).
    norm = (n_features / 2 - 1) * log(2) + lgamma(n_features / 2)
    meant = np.exp((n_features - 1) * np.log(d) - d**2 / 2 - norm)
    ax = axes_or_new(ax, (3.2, 2.4))
    ax.stairs(density, at, fill=True, color=GROUND, alpha=0.7)
    ax.plot(d, meant, color=STRONG, lw=1.8)
    ax.set_xlim(at[0], at[-1])
    ax.set_ylim(0, 2.2 * float(meant.max()))  # one repeated value would flatten the curve
    ax.set_xlabel("distance from the mean")
    ax.set_ylabel("density")
    return ax
