"""Canonical arrays: the same numbers in the same layout give the same bits."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]
AnyArray: TypeAlias = npt.NDArray[Any]


def canonical(values: npt.ArrayLike) -> Array:
    """Return a read-only, C-contiguous, native float64 copy of ``values``.

    Matrix products take other code paths, and give other last bits, for other layouts.
    """
    array = np.array(values, dtype=np.float64, order="C", copy=True)
    array.flags.writeable = False
    return array
