"""The two rules that decide how fast the kernel is: rows per micro-block, and phi or centred.

The constants are nanoseconds per row, measured on one core (``benchmarks/bench_em_step.py`` shows
what they lead to); only their ratios matter, and a wrong choice near the border costs little.
"""

from __future__ import annotations

import numpy as np

from dask_gmm.mixture.families import Family

#: Bytes of buffers that a micro-block may fill: about what a core's caches hold of them.
CACHE_BYTES = 2 << 20
#: Rows of a micro-block, at least and at most: Python's share of the time, and memory's.
FEWEST, MOST = 1024, 8192
#: Features from which on a row is worth a loop of its own.
LONG_ROW = 64


def block_rows(n_buffers: int) -> int:
    """Return B, the rows of a micro-block: the power of two whose (n_buffers, B) fills the caches.

    Half the speed is lost with a wrong one: short blocks leave the time in the interpreter, long
    ones in memory. Every product of a run has this width, whatever the data.
    """
    fitting = CACHE_BYTES / (8 * n_buffers)
    return int(np.clip(2 ** round(np.log2(fitting)), FEWEST, MOST))


def fills_by_rows(family: Family, D: int) -> bool:
    """Tell whether phi is laid out row by row instead of feature by feature.

    Rows come as rows: keeping them so saves a transposition, which costs most for many features,
    and products take either layout. Cross terms are made of whole features, and short rows are all
    overhead: those stay feature by feature.
    """
    return D >= LONG_ROW and family.n_features(D) <= 2 * D + 1


def centred_is_cheaper(family: Family, K: int, D: int) -> bool:
    """Tell whether the centred kernel needs less time per row than phi.

    phi costs a store and two loads per feature, shared by all components, and two products; where
    it outgrows the caches, more. The centred kernel costs two triangular products and a few passes
    over (D, B) for every component. Families without cross terms have few features: phi wins.
    """
    Q = family.n_features(D)
    if Q <= 2 * D + 1:
        return False
    store_and_load = 0.6 if K == 1 else 1.15 + 0.55 * min(1.0, Q / 2000)
    by_phi = Q * (store_and_load + 0.08 * K)
    centred = K * (0.052 * D**2 + 1.6 * D + 13.0) + 8.0
    return bool(centred < by_phi)


def workspace_bytes(family: Family, K: int, D: int) -> int:
    """Return what the kernel's buffers take in one thread at most, temporaries included.

    Which components are centred depends on the data: both kernels' buffers are counted.
    """
    n_buffers = family.n_features(D) + D + K
    temporaries = family.n_features(D) + 2 * K + 8
    return 8 * block_rows(n_buffers) * 2 * (n_buffers + temporaries)
