"""Buffers of the kernel, allocated once per thread: large temporaries cost more than arithmetic."""

from __future__ import annotations

import copy
import threading

import numpy as np

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.loops import COMPONENTS_AT_ONCE, FEATURES_AT_ONCE, padded

#: Doubles behind every row of B: rows a power of two apart would share a few lines of the cache.
_APART = 8


class Workspace:
    """Buffers for one micro-block of B rows.

    ``phi`` (Q, B) holds 1, x and their products; ``R`` (K, B) log-joints, then responsibilities;
    ``residuals`` (n_residuals, B) serves the centred kernel, which needs D of them. ``peak``,
    ``total`` and ``mean`` (B,) are what a softmax leaves behind. ``padded_phi`` and ``padded_R``
    hold ``phi`` and ``R`` in the form that the compiled loops take: whole arrays, whose rows beyond
    Q and K are zeros.
    """

    def __init__(self, Q: int, K: int, B: int, n_residuals: int) -> None:
        self.padded_phi = padded_features(Q, B)
        self.padded_R = np.zeros((padded(K, COMPONENTS_AT_ONCE), B + _APART))
        self.phi, self.R = self.padded_phi[:Q, :B], self.padded_R[:K, :B]
        self.phi[0] = 1.0
        self.residuals = np.empty((n_residuals, B))
        self.peak, self.total, self.mean = np.empty(B), np.empty(B), np.empty(B)
        self.w = np.empty(B)
        self.valid = np.empty(B, dtype=bool)
        self.component = np.empty(B, dtype=np.intp)
        self.ones = np.ones(max(K, Q))

    def for_mixture(self, rows: slice, K: int) -> Workspace:
        """Return the same buffers, of ``R`` the padded rows of one mixture among several."""
        view = copy.copy(self)
        view.padded_R = self.padded_R[rows]
        view.R = view.padded_R[:K, : len(self.w)]
        return view


def padded_features(Q: int, B: int) -> Array:
    """Return zeros (Q, B), padded as the compiled loops take phi."""
    return np.zeros((padded(Q, FEATURES_AT_ONCE), B + _APART))


def padded_statistics(Q: int, K: int) -> Array:
    """Return zeros (K, Q), padded as :func:`dask_gmm.mixture.loops.add_statistics` takes them."""
    return np.zeros((padded(K, COMPONENTS_AT_ONCE), padded(Q, FEATURES_AT_ONCE)))


_local = threading.local()


def workspace(Q: int, K: int, B: int, n_residuals: int) -> Workspace:
    """Return this thread's buffers of that shape."""
    shape = (Q, K, B, n_residuals)
    held = getattr(_local, "held", None)
    if held is None or held[0] != shape:
        # One shape at a time: a worker's memory is promised.
        held = _local.held = (shape, Workspace(*shape))
    return held[1]
