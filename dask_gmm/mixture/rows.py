"""What the kernel and the survey read: blocks of rows, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import AnyArray, Array


class RowBlock(Protocol):
    """Some rows of the data, in original units."""

    @property
    def values(self) -> AnyArray:
        """The rows, (n, D), of any real dtype, in any layout."""

    @property
    def weights(self) -> Array | None:
        """Row weights (n,); None where every row counts once."""

    @property
    def valid(self) -> npt.NDArray[np.bool_] | None:
        """Rows that take part (n,); None where all do. NaN and inf are found by the reader."""

    @property
    def n_nodata(self) -> int:
        """How many of the rows that do not take part hold a value that stands for no data."""

    def row_index(self) -> npt.NDArray[np.uint64]:
        """Return each row's global C-order index, (n,)."""


@dataclass(frozen=True)
class Rows:
    """Rows held in memory, the first of them being row ``start`` of the data."""

    values: AnyArray
    weights: Array | None = None
    valid: npt.NDArray[np.bool_] | None = None
    start: int = 0
    n_nodata: int = 0

    def row_index(self) -> npt.NDArray[np.uint64]:
        """Return each row's global index, (n,)."""
        return np.arange(self.start, self.start + len(self.values), dtype=np.uint64)
