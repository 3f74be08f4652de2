"""Buffers of the kernel, allocated once per thread: large temporaries cost more than arithmetic."""

from __future__ import annotations

import threading

import numpy as np


class Workspace:
    """Buffers for one micro-block of B rows.

    ``phi`` (Q, B) holds 1, x and their products, each feature's or, ``by_rows``, each row's values
    beside each other; ``R`` (K, B) log-joints, then responsibilities; ``residuals``
    (n_residuals, B) serves the centred kernel, which needs D of them.
    """

    def __init__(self, Q: int, K: int, B: int, n_residuals: int, by_rows: bool) -> None:
        self.phi = np.empty((B, Q)).T if by_rows else np.empty((Q, B))
        self.phi[0] = 1.0
        self.R = np.empty((K, B))
        self.residuals = np.empty((n_residuals, B))
        self.peak = np.empty(B)
        self.total = np.empty(B)
        self.w = np.empty(B)
        self.valid = np.empty(B, dtype=bool)
        self.ones = np.ones(max(K, Q))


_local = threading.local()


def workspace(Q: int, K: int, B: int, n_residuals: int, by_rows: bool) -> Workspace:
    """Return this thread's buffers of that shape."""
    shape = (Q, K, B, n_residuals, by_rows)
    held = getattr(_local, "held", None)
    if held is None or held[0] != shape:
        # One shape at a time: a worker's memory is promised.
        held = _local.held = (shape, Workspace(*shape))
    return held[1]
