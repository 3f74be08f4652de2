"""Taking the profile of rows as they are predicted: what the kernel has computed is looked at once.

Distances cost next to nothing, since log-joints hold them: with c_k the log of weight and norm,
``d_k^2 = 2 (c_k - log_joint_k)``. A softmax has left exp(log_joint - peak), so the most probable
component needs no logarithm, and of the others only those that matter are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dask_gmm.mixture.arrays import AnyArray, Array, Indices
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.loops import TILE, compiled
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profile import (
    DISTANCE_BINS,
    LEAST_DENSITY,
    Profile,
    distance_edges,
    first_distance,
)
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.views import Views
from dask_gmm.mixture.workspace import Workspace


class Profiler:
    """Adds micro-blocks of one leaf to a profile.

    Parameters
    ----------
    kernel : Kernel
    views : Views
    """

    def __init__(self, kernel: Kernel, views: Views) -> None:
        self.views, self._kernel = views, kernel
        self._total = Profile.zero(views, kernel.K, kernel.D)
        frame, features = kernel.frame, views.features
        scale = frame.scale[features]
        self._low = (views.low - frame.shift[features]) / scale
        self._per = scale / views.width
        self._places = np.empty((len(features), TILE), np.uint16)
        self._constant = kernel.log_norms
        self._least = LEAST_DENSITY * kernel.parameters.weights
        width = float(np.diff(distance_edges(kernel.D)[:2])[0])
        self._first, self._per_distance = first_distance(kernel.D), 1.0 / width

    def add(self, work: Workspace, shared: Array | float) -> None:
        """Add the rows in ``work``, after a softmax; ``work.component`` is the most probable.

        ``shared`` is the quadratic term that log-joints leave out, see
        :meth:`~dask_gmm.mixture.kernel.Kernel.shared_quadratic`.
        """
        views, total, B = self.views, self._total, self._kernel.B
        window = (views.features, self._low, self._per, self._places)
        if len(views.pairs):
            _add_pairs(total.counts, work.padded_phi, work.w, B, window, views.pairs)
        else:
            _add_alone(total.counts[0], work.padded_phi, work.w, B, window)
        rows = (work.component, work.peak + shared, work.total, work.w)
        rule = (self._constant, self._least, self._first, self._per_distance)
        _add_distances(total.distances, work.padded_R, B, views.every, rows, rule)

    def finished(self) -> Profile:
        """Return the profile of all rows added."""
        return self._total


def profile(blocks: Iterable[RowBlock], parameters: Parameters, views: Views) -> Profile:
    """Return the profile of ``blocks`` under ``parameters``, in original units."""
    from dask_gmm.mixture.prediction import Wanted, predict

    kernel = Kernel.in_own_frame(parameters)
    profiler = Profiler(kernel, views)
    for block in blocks:
        predict(kernel, block, Wanted(labels=True), profiler)
    return profiler.finished()


@compiled()
def _find_places(
    phi: Array, start: int, window: tuple[Indices, Array, Array, AnyArray], bins: int
) -> None:
    """Write the bins of TILE rows into ``places``: 0 below, 1 to N, N + 1 above."""
    features, low, per, places = window
    highest = float(bins + 1)
    for f in range(len(features)):
        x, out = phi[features[f] + 1, start : start + TILE], places[f]
        by, times = low[f], per[f]
        for t in range(TILE):
            out[t] = int(min(max((x[t] - by) * times + 1.0, 0.0), highest))


@compiled()
def _add_pairs(
    counts: Array,
    phi: Array,
    w: Array,
    B: int,
    window: tuple[Indices, Array, Array, AnyArray],
    pairs: Indices,
) -> None:
    places = window[3]
    for start in range(0, B, TILE):
        _find_places(phi, start, window, counts.shape[1] - 2)
        share = w[start : start + TILE]
        for p in range(len(pairs)):
            a, b, out = places[pairs[p, 0]], places[pairs[p, 1]], counts[p]
            for t in range(TILE):
                out[a[t], b[t]] += share[t]


@compiled()
def _add_alone(
    counts: Array, phi: Array, w: Array, B: int, window: tuple[Indices, Array, Array, AnyArray]
) -> None:
    places = window[3]
    for start in range(0, B, TILE):
        _find_places(phi, start, window, len(counts) - 2)
        for t in range(TILE):
            counts[places[0, t]] += w[start + t]


@compiled()
def _add_distances(
    distances: Array,
    R: Array,
    B: int,
    every: int,
    rows: tuple[AnyArray, Array, Array, Array],
    rule: tuple[Array, Array, float, float],
) -> None:
    component, peak, total, w = rows
    constant, least, first, per = rule
    K, lowest = len(distances), least.min()
    for t in range(0, B, every):
        if w[t] == 0.0:
            continue
        best = component[t]
        if total[t] - 1.0 <= lowest:
            # No other component's share can matter.
            d = math.sqrt(max(2.0 * (constant[best] - peak[t]), 0.0))
            at = int(min(max((d - first) * per, 0.0), float(DISTANCE_BINS)))
            distances[best, at] += w[t] / total[t]
            continue
        share = w[t] / total[t]
        for k in range(K):
            r = R[k, t]
            if r > least[k] * total[t]:
                log = 0.0 if k == best else math.log(r)
                d = math.sqrt(max(2.0 * (constant[k] - peak[t] - log), 0.0))
                at = int(min(max((d - first) * per, 0.0), float(DISTANCE_BINS)))
                distances[k, at] += r * share
