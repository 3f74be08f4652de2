"""Buffers of the kernel, allocated once per thread: large temporaries cost more than arithmetic."""

from __future__ import annotations

import threading

import numpy as np


class Workspace:
    """Buffers for one micro-block, allocated once per thread and shape."""

    def __init__(self, Q: int, K: int, B: int) -> None:
        self.phi = np.empty((Q, B))
        self.phi[0] = 1.0
        self.R = np.empty((K, B))
        self.peak = np.empty(B)
        self.total = np.empty(B)
        self.w = np.empty(B)
        self.valid = np.empty(B, dtype=bool)
        self.ones = np.ones(max(K, Q))


_local = threading.local()


def workspace(Q: int, K: int, B: int) -> Workspace:
    """Return this thread's buffers of that shape."""
    held = getattr(_local, "held", None)
    if held is None or held[0] != (Q, K, B):
        # One shape at a time: a worker's memory is promised.
        held = _local.held = ((Q, K, B), Workspace(Q, K, B))
    return held[1]
