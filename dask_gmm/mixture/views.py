"""Views: the pairs of features through which a mixture is looked at, and the windows they open.

A view is two features and a grid of equal bins over each. The grids are decided before the data are
read, from the mixture, so that sums over any chunks are of the same bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtr

from dask_gmm.mixture.arrays import Array, Indices, canonical
from dask_gmm.mixture.parameters import Parameters

#: Views at most: all pairs of up to four features.
MOST_VIEWS = 6
#: Bins along each feature of a pair, and along a feature that is alone.
BINS, BINS_ALONE = 48, 192
#: Of a feature's values this share may lie outside of its window, at either end.
OUTSIDE = 1e-3
#: Of more rows than this the distances of some are taken, of one in ``SPARSE`` at the fewest: the
#: shares of a million rows are known to a thousandth, and taking one costs 8 ns for each component
#: that a row may belong to. The number is odd, so that columns of pictures take turns.
MANY, SPARSE = 1 << 20, 7
#: Features among whose pairs views are looked for, and classes that they are to tell apart: the
#: most telling features, and the largest classes.
_MOST_FEATURES, _MOST_CLASSES = 64, 32


@dataclass(frozen=True, eq=False)
class Views:
    """What is looked at.

    Attributes
    ----------
    features : (F,)
        Those that are looked at, counted from 0, rising.
    pairs : (P, 2)
        Places in ``features``; none where there is a single feature.
    low : (F,)
        Where the first bin begins, in original units.
    width : (F,)
        Of a bin.
    bins : int
        Along each feature, N; what lies outside of them is counted on either side.
    every : int
        Of one row in so many the distances to the components are taken; counted are all.
    """

    features: Indices
    pairs: Indices
    low: Array
    width: Array
    bins: int
    every: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", canonical(self.low))
        object.__setattr__(self, "width", canonical(self.width))
        F = len(self.features)
        if self.low.shape != (F,) or self.width.shape != (F,) or not np.all(self.width > 0):
            raise ValueError("every feature of a view has a lower end and a width above zero")
        if self.pairs.shape[1:] != (2,) or (self.pairs.size and self.pairs.max() >= F):
            raise ValueError("pairs are two places among the features of the views each")

    @property
    def counts_shape(self) -> tuple[int, ...]:
        """Shape of what is counted: (P, N + 2, N + 2), or of a single feature (1, N + 2)."""
        size = self.bins + 2
        return (len(self.pairs), size, size) if len(self.pairs) else (1, size)

    def edges(self, place: int) -> Array:
        """Return the edges (N + 1,) of the bins of the feature at ``place``."""
        return np.asarray(self.low[place] + self.width[place] * np.arange(self.bins + 1))

    def is_like(self, other: Views) -> bool:
        """Tell whether counts of both may be added."""
        names = ("features", "pairs", "low", "width")
        same = all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)
        return same and (self.bins, self.every) == (other.bins, other.every)


def views_of(
    mixture: Parameters,
    steps: Sequence[float] | None = None,
    extrema: tuple[Array, Array] | None = None,
    n_rows: int = 0,
) -> Views:
    """Choose the views of a mixture.

    Parameters
    ----------
    mixture : Parameters
        In original units.
    steps : sequence of float, optional
        (D,) of features that have values in steps, 0 where they do not: bins hold whole steps, or
        some would be fuller than others for no reason.
    extrema : (D,) and (D,), optional
        The smallest and largest values that there are.
    n_rows : int
        That will be looked at.
    """
    pairs = telling_pairs(mixture)
    features = np.unique(np.array(pairs or [(0, 0)], dtype=np.intp))
    low, high = _quantiles(mixture, features)
    origin = np.zeros(len(features))
    if extrema is not None:
        origin, top = (each[features] for each in extrema)
        low, high = np.maximum(low, origin), np.minimum(high, top)
    bins = BINS if pairs else BINS_ALONE
    # A feature that hardly spreads, beside its magnitude, still has bins that differ.
    least = np.maximum(1e-12 * np.maximum(np.abs(low), np.abs(high)), 1e-300)
    narrow = ~(high - low > least * bins)
    low, high = (
        np.where(narrow, low - least * bins, low),
        np.where(narrow, high + least * bins, high),
    )
    margin = 0.02 * (high - low)
    low, width = low - margin, (high - low + 2 * margin) / bins
    if steps is not None:
        step = np.asarray(steps, dtype=np.float64)[features]
        stepped, one = step > 0, np.where(step > 0, step, 1.0)
        aligned = origin + (np.floor((low - origin) / one) - 0.5) * one
        low = np.where(stepped, aligned, low)
        width = np.where(stepped, one * np.ceil(width / one + 1e-9), width)
    places = np.searchsorted(features, np.array(pairs, dtype=np.intp).reshape(-1, 2))
    every = max(1, min(SPARSE, n_rows // MANY))
    return Views(features, places.astype(np.intp), low, width, bins, every)


def telling_pairs(mixture: Parameters, most: int = MOST_VIEWS) -> list[tuple[int, int]]:
    """Return the pairs of features that tell the classes apart best, at most ``most``.

    One after the other, each the pair that best parts those classes that the pairs before leave
    together: of all pairs of classes, weighted by both weights, the sum of how far their densities
    overlap in the best view of them is to be the least.
    """
    D = mixture.D
    if D == 1:
        return []
    if most >= D * (D - 1) // 2:
        return list(combinations(range(D), 2))
    candidates, apart = _apart(mixture)
    parted = np.zeros(apart.shape[1])
    chosen: list[int] = []
    for _ in range(most):
        gain = np.maximum(apart, parted).sum(axis=1) + 1e-6 * apart.sum(axis=1)
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        parted = np.maximum(parted, apart[chosen[-1]])
    return sorted(candidates[i] for i in chosen)


def _apart(mixture: Parameters) -> tuple[list[tuple[int, int]], Array]:
    """Return pairs of features, and how far they part each pair of classes, times its weights."""
    order = np.argsort(-mixture.weights, kind="stable")[:_MOST_CLASSES]
    w, means = mixture.weights[order], mixture.means[order]
    covariances = mixture.family.dense(mixture.covariances, mixture.K, mixture.D)[order]
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    k, j = np.triu_indices(len(order), 1)
    if not len(k):  # one class: what varies together is worth a look
        k = j = np.zeros(1, dtype=np.intp)
    both = w[k] * w[j]
    alone = 1.0 - _overlap_1d(means[k] - means[j], variances[k], variances[j])
    best = np.sort(np.argsort(-(both @ alone), kind="stable")[:_MOST_FEATURES])
    candidates = list(combinations(best.tolist(), 2))
    apart = np.array(
        [
            1.0 - _overlap_2d(means[k][:, at] - means[j][:, at], *_blocks(covariances, k, j, at))
            for at in (list(pair) for pair in candidates)
        ]
    )
    return candidates, apart * both


def _blocks(covariances: Array, k: Indices, j: Indices, at: list[int]) -> tuple[Array, Array]:
    block = covariances[:, at][:, :, at]
    return block[k], block[j]


def _overlap_1d(d: Array, a: Array, b: Array) -> Array:
    """Return by how much Gaussians of variances ``a`` and ``b`` overlap, means ``d`` apart."""
    mean = (a + b) / 2
    return np.asarray(np.sqrt(np.sqrt(a * b) / mean) * np.exp(-(d**2) / mean / 8))


def _overlap_2d(d: Array, a: Array, b: Array) -> Array:
    """Return the same for covariances (n, 2, 2) and differences (n, 2)."""
    mean = (a + b) / 2
    root = np.sqrt(_det(a) * _det(b))
    det = _det(mean)
    (xx, xy), (_, yy) = mean[:, 0].T, mean[:, 1].T
    square = (yy * d[:, 0] ** 2 - 2 * xy * d[:, 0] * d[:, 1] + xx * d[:, 1] ** 2) / det
    return np.asarray(np.sqrt(root / det) * np.exp(-square / 8))


def _det(a: Array) -> Array:
    # Collinear features have a determinant that rounding may take below zero.
    det = a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] * a[:, 1, 0]
    return np.asarray(np.maximum(det, 1e-12 * a[:, 0, 0] * a[:, 1, 1]))


def _quantiles(mixture: Parameters, features: Indices) -> tuple[Array, Array]:
    """Return what all but a share of ``OUTSIDE`` lies above, and below, of each feature."""
    mean, deviation = mixture.means[:, features], np.sqrt(mixture.variances[:, features])

    def quantile(p: float) -> Array:
        low, high = (mean - 9 * deviation).min(axis=0), (mean + 9 * deviation).max(axis=0)
        for _ in range(80):
            middle = (low + high) / 2
            below = mixture.weights @ ndtr((middle - mean) / deviation) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)

    return quantile(OUTSIDE), quantile(1.0 - OUTSIDE)
