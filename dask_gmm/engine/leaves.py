"""Leaves: runs of consecutive cells that one task reads, cut by the data and never by the workers.

One task per cell is too dear (milliseconds each on a distributed scheduler), and a cut that
depended on the workers would change the order of sums, and with it the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMALLEST, LARGEST = 8 << 20, 512 << 20
#: Leaves that a data set is cut into, where their size allows.
WANTED = 256
#: What a leaf is filled up to, rather than to `SMALLEST`, where so many of them can be had: a task
#: takes some milliseconds of the cores' time, and few leaves share two workers badly.
WORTHWHILE, ENOUGH = 16 << 20, 16
#: Results that are added at a time.
FAN_IN = 16


def cut_leaves(cell_bytes: Sequence[int] | np.ndarray) -> tuple[range, ...]:
    """Cut cells, given by their decoded bytes (n,) in order, into leaves.

    A leaf is filled up to clamp(total / 256, 8 MiB, 512 MiB), and up to 16 MiB as long as there are
    sixteen; a cell larger than that is a leaf of its own. No cell is ever split.

    Returns
    -------
    tuple of range
        Consecutive runs of cell numbers that cover all cells in order.
    """
    sizes = np.asarray(cell_bytes, dtype=np.int64)
    total = int(sizes.sum())
    target = int(np.clip(max(total // WANTED, min(total // ENOUGH, WORTHWHILE)), SMALLEST, LARGEST))
    leaves, start, filled = list[range](), 0, 0
    for cell, size in enumerate(sizes.tolist()):
        if cell > start and filled + size > target:
            leaves.append(range(start, cell))
            start, filled = cell, 0
        filled += size
    if start < len(sizes):
        leaves.append(range(start, len(sizes)))
    return tuple(leaves)
