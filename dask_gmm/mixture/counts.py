"""Counts: the distinct rows of data that repeat themselves, each with the sum of its weights.

A fit on them is the fit on all rows, for the price of the distinct ones. Whether rows repeat is
only known once they are counted, so counting must cost little where they do not: a leaf gives up as
soon as it shows more distinct rows than the limit, or too little repetition to stay below it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dask_gmm.mixture.arrays import AnyArray, Array, Indices
from dask_gmm.mixture.keys import (
    Keys,
    keys_are_rows,
    row_keys,
    rows_of_keys,
)

#: Distinct rows are counted as long as all of them take at most this: a value that many workers
#: hold, sixteen of which may wait for their sum on one of them.
BUDGET_BYTES = 16 << 20
#: Rows per distinct row from which on counts are worth having. It depends on the data alone: a
#: choice that depended on the workers would change bits with them.
WORTH = 8
#: Keys of so many bits have a table with a place for each.
DENSE_BITS = 24


def most_distinct(n_rows: int, width: int) -> int:
    """Return how many distinct rows of ``width`` bytes are counted at most among ``n_rows``."""
    return min(BUDGET_BYTES // counted_bytes(width), n_rows // WORTH)


def counted_bytes(width: int) -> int:
    """Return the bytes of one distinct row: its key, its weight and itself."""
    return 16 + width


@dataclass(frozen=True, eq=False)
class Counts:
    """Distinct rows and their weights, or the knowledge that there are too many: a monoid.

    Attributes
    ----------
    limit : int
        Distinct rows at most; 0 where nothing is to be counted.
    keys : (m,)
        In rising order; see :mod:`dask_gmm.mixture.keys`.
    rows : (m, D)
        In original units and the data's own type, native byte order.
    weights : (m,)
        Sum over the equal rows; their number where rows have no weights.
    too_many : bool
        There are more than ``limit`` distinct rows, and none of them is kept. It absorbs: whatever
        is added, there are too many.
    """

    limit: int
    keys: Keys = field(default_factory=lambda: np.empty(0, np.uint64))
    rows: AnyArray = field(default_factory=lambda: np.empty((0, 0)))
    weights: Array = field(default_factory=lambda: np.empty(0))
    too_many: bool = False

    @classmethod
    def of(cls, rows: AnyArray, weights: Array | None, limit: int) -> Counts:
        """Count rows (n, D), n >= 1, as :func:`~dask_gmm.mixture.keys.packed_rows` gives them."""
        keys, dtype, D = row_keys(rows), rows.dtype, rows.shape[1]
        if weights is None and keys_are_rows(dtype, D):
            keys = np.sort(keys)
            starts = _starts(keys)
            counted = np.diff(starts, append=len(keys)).astype(np.float64)
            keys = keys[starts]
            return cls._limited(limit, keys, rows_of_keys(keys, dtype, D), counted)
        return cls._grouped(limit, keys, rows, np.ones(len(rows)) if weights is None else weights)

    def __add__(self, other: Counts) -> Counts:
        if self.limit != other.limit:
            raise ValueError("counts with different limits cannot be added")
        if self.too_many or other.too_many:
            return Counts(self.limit, too_many=True)
        if not (len(self.keys) and len(other.keys)):
            return self if len(self.keys) else other
        if (self.rows.dtype, self.rows.shape[1]) != (other.rows.dtype, other.rows.shape[1]):
            raise ValueError("counts of rows of different types cannot be added")
        return self._grouped(
            self.limit,
            np.concatenate([self.keys, other.keys]),
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.weights, other.weights]),
        )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def known(self) -> bool:
        """Tell whether every row has been counted."""
        return self.limit > 0 and not self.too_many

    @classmethod
    def _grouped(cls, limit: int, keys: Keys, rows: AnyArray, weights: Array) -> Counts:
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        starts = _starts(keys)
        if not keys_are_rows(rows.dtype, rows.shape[1]):
            again = np.ones(len(keys), bool)
            again[starts] = False
            if not np.array_equal(rows[again], rows[np.flatnonzero(again) - 1]):
                # Two different rows with one hash: rarer than a worn-out memory cell. No counts.
                return cls(limit, too_many=True)
        summed = np.add.reduceat(weights[order], starts)
        return cls._limited(limit, keys[starts], rows[starts], summed)

    @classmethod
    def _limited(cls, limit: int, keys: Keys, rows: AnyArray, weights: Array) -> Counts:
        if len(keys) > limit:
            return cls(limit, too_many=True)
        return cls(limit, keys, rows, weights)


def _starts(keys: Keys) -> Indices:
    """Return where groups of equal keys begin (m,), in sorted keys."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
