"""The two rules that decide how fast the kernel is: rows per micro-block, and phi or centred."""

from __future__ import annotations

import numpy as np

from dask_gmm.mixture.families import Family

#: Bytes of phi and responsibilities that a micro-block may fill: a core's second-level cache.
CACHE_BYTES = 1 << 20


def block_rows(Q: int, K: int) -> int:
    """Return B, the rows of a micro-block: the power of two whose (Q + K, B) fills the cache.

    Half the speed is lost with a wrong one: short blocks leave the time in the interpreter, long
    ones in memory. Every product of a run has this width, whatever the data.
    """
    fitting = CACHE_BYTES / (8 * (Q + K))
    return int(np.clip(2 ** round(np.log2(fitting)), 1024, 8192))


def centred_is_cheaper(family: Family, K: int, D: int) -> bool:
    """Tell whether the centred kernel needs less time per row than phi.

    Building phi costs a store per feature, shared by all components; the centred kernel pays its
    products per component.
    """
    return False


def workspace_bytes(Q: int, K: int) -> int:
    """Return the bytes of the kernel's buffers in one thread, temporaries included."""
    return 8 * block_rows(Q, K) * (2 * Q + 3 * K + 8)
