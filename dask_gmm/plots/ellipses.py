"""Classes over the data: ellipses over two features, curves over one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dask_gmm.palette import class_colors, ink_on
from dask_gmm.plots.axes import INK, axes_or_new
from dask_gmm.plots.mixtures import FittedMixture, covariances_in, names_of, parts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The grey of counts, seen on a light and on a dark ground alike.
GROUND = (0.47, 0.51, 0.56)
#: Classes drawn: more hide each other.
MOST_DRAWN = 12


def plot_ellipses(
    mixture: FittedMixture,
    features: tuple[int, int] = (0, 1),
    ax: Axes | None = None,
    *,
    share: float = 0.9,
    histogram: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    feature_names: Sequence[str] | None = None,
) -> Axes:
    """Draw the classes over two features: an ellipse each, its number at the mean.

    Of more than twelve classes the twelve largest are drawn.

    Parameters
    ----------
    mixture : fitted mixture
        Ours or scikit-learn's. Classes are numbered from 1, as labels of a run are.
    features : (int, int), default=(0, 1)
        Which lie across and up, counted from 0.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.
    share : float, default=0.9
        Of a class, as far as these two features go, that lies in its ellipse.
    histogram : (counts, x edges, y edges), optional
        Of the data, as ``numpy.histogram2d`` returns it: drawn in grey below, on a logarithmic
        scale.
    feature_names : sequence of str, optional
        D names for the axes; by default those that the mixture was fitted with.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If a feature is none of the mixture's, or `share` is not between 0 and 1.
    """
    from matplotlib.patches import Ellipse

    weights, means = parts_of(mixture)
    names = names_of(mixture, feature_names)
    at = list(features)
    if len(at) != 2 or not all(0 <= f < means.shape[1] for f in at):
        raise ValueError(f"features={features}; two of 0 to {means.shape[1] - 1} are needed")
    if not 0 < share < 1:
        raise ValueError(f"share={share}; a number between 0 and 1 is needed")
    ax = axes_or_new(ax, (4.8, 4.4))
    if histogram is not None:
        _draw_counts(ax, *(np.asarray(each, dtype=float) for each in histogram))
    covariances, colors = covariances_in(mixture, at), class_colors(len(weights))
    radius = np.sqrt(-2 * np.log1p(-share))
    for k in _largest(weights):
        lengths, axes = np.linalg.eigh(covariances[k])
        size = 2 * radius * np.sqrt(np.maximum(lengths, 0))
        angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
        # Ink around the colour: some of the colours hardly show on paper, others not at night.
        for color, line in ((INK, 3.6), (colors[k] / 255, 2.2)):
            centre = (float(means[k, at[0]]), float(means[k, at[1]]))
            ax.add_patch(
                Ellipse(centre, size[1], size[0], angle=angle, fill=False, ec=color, lw=line)
            )
    for k in _largest(weights):
        _number(ax, k + 1, means[k, at], colors[k])
    if histogram is None:
        ax.autoscale_view()
    ax.set_xlabel(names[at[0]], parse_math=False)
    ax.set_ylabel(names[at[1]], parse_math=False)
    ax.grid(visible=False)
    return ax


def plot_density(
    mixture: FittedMixture,
    feature: int = 0,
    ax: Axes | None = None,
    *,
    histogram: tuple[ArrayLike, ArrayLike] | None = None,
    feature_names: Sequence[str] | None = None,
) -> Axes:
    """Draw the classes over one feature: a curve each, and their sum.

    Parameters
    ----------
    mixture : fitted mixture
        Ours or scikit-learn's.
    feature : int, default=0
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.
    histogram : (counts, edges), optional
        Of the data, as ``numpy.histogram`` returns it: drawn in grey below.
    feature_names : sequence of str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the feature is none of the mixture's.
    """
    weights, means = parts_of(mixture)
    names = names_of(mixture, feature_names)
    if not 0 <= feature < means.shape[1]:
        raise ValueError(f"feature={feature}; one of 0 to {means.shape[1] - 1} is needed")
    mean = means[:, feature]
    deviation = np.sqrt(covariances_in(mixture, [feature])[:, 0, 0])
    ax = axes_or_new(ax, (6.4, 3.6))
    low, high = float((mean - 3.5 * deviation).min()), float((mean + 3.5 * deviation).max())
    top = np.inf
    if histogram is not None:
        counts, edges = (np.asarray(each, dtype=float) for each in histogram)
        counts, edges = _cropped(counts, edges)
        low, high = float(edges[0]), float(edges[-1])
        density = counts / max(counts.sum(), 1e-300) / np.diff(edges)
        ax.stairs(density, edges, fill=True, color=GROUND, alpha=0.55)
        top = 3 * float(np.sort(density)[-max(1, len(density) // 20) :].min())
    x = np.linspace(low, high, 400)
    z = (x - mean[:, None]) / deviation[:, None]
    curves = weights[:, None] * np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * deviation[:, None])
    colors = class_colors(len(weights))
    ax.plot(x, curves.sum(axis=0), color=INK, lw=1.4, ls="--")
    for k in _largest(weights):
        ax.plot(x, curves[k], color=INK, lw=3.6)
        ax.plot(x, curves[k], color=colors[k] / 255, lw=2.2)
    highest = min(top, 1.08 * float(max(curves.sum(axis=0).max(), 1e-300)))
    ax.set_ylim(0, max(highest, 1e-300) * 1.1)
    for k in _largest(weights):
        if low <= mean[k] <= high:
            _number(ax, k + 1, (mean[k], min(float(curves[k].max()), highest)), colors[k])
    ax.set_xlabel(names[feature], parse_math=False)
    ax.set_ylabel("density")
    return ax


def _draw_counts(
    ax: Axes, counts: NDArray[Any], x_edges: NDArray[Any], y_edges: NDArray[Any]
) -> None:
    """Draw counts (x, y) in grey, the denser the stronger; only where there are any."""
    counts, x_edges, y_edges = _cropped(counts, x_edges, y_edges)
    density = np.log1p(counts)
    alpha = 0.12 + 0.78 * density / max(float(density.max()), 1e-300)
    pixels = np.zeros((*counts.T.shape, 4))
    pixels[..., :3] = GROUND
    pixels[..., 3] = np.where(counts.T > 0, alpha.T, 0)
    extent = (x_edges[0], x_edges[-1], y_edges[0], y_edges[-1])
    ax.imshow(pixels, origin="lower", extent=extent, aspect="auto", interpolation="none")
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])


def _cropped(counts: NDArray[Any], *edges: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Leave out empty bins at the ends of every axis."""
    found = list(edges)
    for axis, each in enumerate(edges):
        others = tuple(i for i in range(counts.ndim) if i != axis)
        filled = np.flatnonzero(counts.sum(axis=others))
        if len(filled):
            first, last = int(filled[0]), int(filled[-1])
            counts = np.take(counts, range(first, last + 1), axis=axis)
            found[axis] = each[first : last + 2]
    return (counts, *found)


def _largest(weights: NDArray[Any]) -> list[int]:
    """Return the classes to draw, the smallest last: it is drawn on top."""
    return [int(k) for k in np.argsort(-weights, kind="stable")[:MOST_DRAWN]]


def _number(ax: Axes, label: int, at: Any, color: NDArray[np.uint8]) -> None:
    """Put a class's number at a point, on a disc of its colour."""
    x, y = float(at[0]), float(at[1])
    ax.plot([x], [y], "o", ms=13, color=color / 255, mec=INK, mew=1.2, clip_on=True)
    ax.annotate(
        str(label),
        (x, y),
        ha="center",
        va="center_baseline",
        fontsize=8,
        fontweight="bold",
        color=ink_on(color),
        annotation_clip=True,
    )
