"""Counting the rows of one leaf as they come, until there prove to be too many different ones."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from dask_gmm.mixture.arrays import AnyArray, Array
from dask_gmm.mixture.counts import DENSE_BITS, Counts, counted_bytes
from dask_gmm.mixture.keys import packed_rows, row_keys, row_width, rows_of_keys
from dask_gmm.mixture.moments import Moments, moments_of_rows

#: Rows that are sorted together, and bytes of them. A leaf of more rows with short keys counts by
#: table instead: 2 to 5 ns a row where sorting takes 20 to 30, and 40 ms to go through 2^24 places,
#: which a leaf of the least size, 8 MiB, outweighs.
_SORTED, _SORTED_BYTES = 1 << 17, 8 << 20
#: Rows of a leaf that show whether there is any hope: sorting them takes less than a millisecond.
FIRST_LOOK = 1 << 13
#: A limit for parts of a leaf, whose rows are still needed when there are too many for counts.
_NONE = 2**62


def sorted_rows(width: int) -> int:
    """Return how many rows of ``width`` bytes are sorted together."""
    return min(_SORTED, max(1, _SORTED_BYTES // width))


def counter_bytes(width: int, n_rows: int, limit: int) -> int:
    """Return what counting ``n_rows`` of ``width`` bytes in one leaf takes at most."""
    if not limit:
        return 0
    waiting = min(n_rows, sorted_rows(width))
    table = 8 << 8 * width if 8 * width <= DENSE_BITS and n_rows > _SORTED else 0
    distinct = min(limit, n_rows)
    # Rows that wait, together, and in order; parts, of which two are being merged.
    return table + (3 * waiting + 5 * distinct) * counted_bytes(width)


class Counter:
    """Counts the rows of a leaf, and takes the moments of those that it was given.

    Distinct rows and weights have the moments of all rows, at a fraction of the cost.

    Attributes
    ----------
    counting : bool
        False once there are too many distinct rows: then no more may be added.
    moments : Moments
        Of all rows added; complete once the counter is not counting any more.
    """

    def __init__(self, limit: int, D: int) -> None:
        self.counting = limit > 0
        self.moments = Moments.zero(D)
        self._limit = limit
        self._waiting: list[tuple[AnyArray, Array | None]] = []
        self._n_waiting, self._looked = 0, False
        self._parts: list[Counts] = []
        self._table: Array | None = None
        self._like: AnyArray = np.empty((0, D))

    def add(self, values: AnyArray, weights: Array | None) -> None:
        """Add rows (n, D), all of them finite, with weights (n,), or 1 each."""
        rows = packed_rows(values)
        if self._table is not None:
            at = row_keys(rows).view(np.int64)
            np.add.at(self._table, at, 1.0 if weights is None else weights)
            return
        # A copy: a view would keep the whole cell in memory.
        self._waiting.append((rows.copy(), weights))
        self._n_waiting += len(rows)
        if not self._looked and self._n_waiting >= FIRST_LOOK:
            self._looked = True
            first = np.concatenate([rows for rows, _ in self._waiting])[:FIRST_LOOK]
            if _repeats_too_little(len(first), len(Counts.of(first, None, _NONE)), self._limit):
                self._close()
                return
        if self._n_waiting >= sorted_rows(row_width(rows.dtype, rows.shape[1])):
            self._gather(full=True)

    def finished(self) -> Counts:
        """Return the counts, and stop counting."""
        if self.counting and self._waiting:
            self._gather(full=False)
        if self._table is not None:
            keys = np.flatnonzero(self._table).astype(np.uint64)
            rows = rows_of_keys(keys, self._like.dtype, self._like.shape[1])
            self._parts = [Counts(_NONE, keys, rows, self._table[keys])]
        if not self.counting or not self._parts:
            return Counts(self._limit, too_many=self._limit > 0 and not self.counting)
        total = reduce(add, self._parts)
        self._close()
        fits = not total.too_many and len(total) <= self._limit
        return replace(total, limit=self._limit) if fits else Counts(self._limit, too_many=True)

    def _gather(self, full: bool) -> None:
        """Count the rows that wait; ``full``: as many as are sorted together."""
        rows = np.concatenate([rows for rows, _ in self._waiting])
        weights = _joined(self._waiting)
        self._waiting, self._n_waiting, self._like = [], 0, rows[:0]
        bits = 8 * row_width(rows.dtype, rows.shape[1])
        if full and bits <= DENSE_BITS:
            self._table = np.zeros(1 << bits)
            self.add(rows, weights)
            return
        part = Counts.of(rows, weights, _NONE)
        if part.too_many:  # two rows with one hash: as good as no counts
            self._waiting = [(rows, weights)]
            self._close()
            return
        hopeless = full and _repeats_too_little(len(rows), len(part), self._limit)
        self._parts.append(part)
        # Parts shrink by half from one to the next: every row is merged a few times, not often.
        while len(self._parts) > 1 and len(self._parts[-2]) <= 2 * len(self._parts[-1]):
            merged = self._parts[-2] + self._parts[-1]
            if merged.too_many:
                break
            self._parts[-2:] = [merged]
        if hopeless or max(map(len, self._parts)) > self._limit:
            self._close()

    def _close(self) -> None:
        for rows, weights in self._waiting:
            w = np.ones(len(rows)) if weights is None else weights
            self.moments = self.moments + moments_of_rows(rows, w)
        for part in self._parts:
            self.moments = self.moments + moments_of_rows(part.rows, part.weights)
        self.counting, self._waiting, self._parts, self._table = False, [], [], None


def _joined(waiting: list[tuple[AnyArray, Array | None]]) -> Array | None:
    if all(weights is None for _, weights in waiting):
        return None
    return np.concatenate([np.ones(len(rows)) if w is None else w for rows, w in waiting])


def _repeats_too_little(n: int, distinct: int, limit: int) -> bool:
    """Tell whether n rows repeat less than half as often as ``limit`` distinct ones would have to.

    Rows drawn from so many, in whatever proportions, show at most limit (1 - exp(-n / limit))
    distinct ones on average. Data in an order that hides repetition are taken for such that have
    none, which costs time and nothing else.
    """
    expected = n - limit * -np.expm1(-n / limit)
    return bool(n - distinct < expected / 2)
