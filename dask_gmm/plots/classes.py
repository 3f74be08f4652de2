"""Classes by their colours: as bars, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dask_gmm.palette import MASKED_COLOR, class_colors
from dask_gmm.plots.axes import axes_or_new
from dask_gmm.plots.mixtures import FittedMixture, names_of, parts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def plot_classes(
    mixture: FittedMixture,
    ax: Axes | None = None,
    *,
    feature_names: Sequence[str] | None = None,
) -> Axes:
    """Draw one bar per class: its weight, in its colour, with its mean written beside it.

    Parameters
    ----------
    mixture : fitted mixture
        Ours or scikit-learn's. Classes are numbered from 1, as labels of a run are; of each mean
        the first four features are written.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes by default.
    feature_names : sequence of str, optional
        D names for the heading; by default those that the mixture was fitted with, if any.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        If it is no fitted mixture.
    ValueError
        If its weights and means do not belong to the same number of classes.
    """
    w, mu = parts_of(mixture)
    n_classes, n_features = mu.shape
    ax = axes_or_new(ax, (6.4, 1.0 + 0.35 * n_classes))
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
    if feature_names is not None or hasattr(mixture, "feature_names_in_"):
        names = ", ".join(names_of(mixture, feature_names)[:4])
        heading = f"mean of ({names}{', …' if n_features > 4 else ''})"
        ax.set_title(heading, loc="right", parse_math=False)
    return ax
