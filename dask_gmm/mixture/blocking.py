"""The two rules that decide how fast the kernel is: rows per micro-block, and phi or centred.

The constants are nanoseconds per row, measured on one core (``benchmarks/bench_kernels.py`` shows
what they lead to); only their ratios matter, and a wrong choice near the border costs little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dask_gmm.mixture.families import Family
from dask_gmm.mixture.loops import COMPONENTS_AT_ONCE, FEATURES_AT_ONCE, TILE, padded

#: Bytes of buffers that a micro-block may fill: about what a core's caches hold of them.
CACHE_BYTES = 1 << 20
#: Bytes of theta and of the sums of a mixture that the last cache holds; every micro-block goes
#: through both of them.
LAST_CACHE_BYTES = 1 << 25
#: Rows of a micro-block, at least and at most: Python's share of the time, and memory's.
FEWEST, MOST = TILE, 8192
#: Components of several mixtures that share a product, at most: the caches hold their blocks.
STACKED = 64


def block_rows(Q: int, K: int, n_residuals: int) -> int:
    """Return B, the rows of a micro-block: the power of two with which the buffers fill the caches.

    Half the speed is lost with a wrong one: short blocks leave the time in the interpreter, long
    ones in memory. Every product of a run has this width, whatever the data.
    """
    n_buffers = padded(Q, FEATURES_AT_ONCE) + padded(K, COMPONENTS_AT_ONCE) + n_residuals
    fitting = CACHE_BYTES / (8 * n_buffers)
    return int(np.clip(2 ** round(np.log2(fitting)), FEWEST, MOST))


def centred_is_cheaper(family: Family, K: int, D: int) -> bool:
    """Tell whether the centred kernel needs less time per row than phi.

    phi costs a product, a store and two loads per feature, shared by all components, and two
    matrix products; more where it outgrows the caches, and where theta and the sums do. The centred
    kernel costs two triangular products and a few passes over (D, B) for every component. Families
    without cross terms have few features: phi wins.
    """
    Q = family.n_features(D)
    if Q <= 2 * D + 1:
        return False
    outgrown = min(1.0, Q / 8000)
    spilled = 1.5 if 2 * 8 * K * Q > LAST_CACHE_BYTES else 1.0
    by_phi = Q * (0.6 + 0.9 * outgrown**2 + (0.1 + 0.03 * outgrown) * spilled * K)
    centred = K * (0.072 * D**2 + 1.9 * D + 20.0) + 8.0
    return bool(centred < by_phi)


def workspace_bytes(family: Family, K: int, D: int) -> int:
    """Return what the kernel's buffers take in one thread at most, temporaries included.

    Which components are centred depends on the data: both kernels' buffers are counted.
    """
    return _bytes(family.n_features(D), K, D)


def several_bytes(mixtures: Sequence[tuple[Family, int]], D: int) -> int:
    """Return the same for several mixtures (family, K) in one pass, with their sums."""
    Q = max(family.n_features(D) for family, _ in mixtures) + D + 2
    lengths = [padded(K, COMPONENTS_AT_ONCE) for _, K in mixtures]
    largest, total = max(lengths), sum(lengths)
    work = _bytes(Q, min(total, max(largest, STACKED)), D)
    return work + 8 * total * 4 * Q


def _bytes(Q: int, K: int, D: int) -> int:
    n_buffers = Q + D + K
    temporaries = Q + 2 * K + 8
    return 8 * block_rows(Q, K, 0) * 2 * (n_buffers + temporaries)
