"""Prediction as look-up: what a mixture says of each distinct row, computed once and then found.

The table is small and sent to the workers; each of them makes itself a finder, from keys to places
in the table. Rows that were not counted (invalid ones, those of weight 0) are not in it: the kernel
is asked about them, so that a look-up says what the kernel says, whatever it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import AnyArray
from dask_gmm.mixture.counts import DENSE_BITS, Counts
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.keys import Keys, packed_rows, row_keys, row_width
from dask_gmm.mixture.loops import compiled
from dask_gmm.mixture.prediction import Prediction, Wanted, predict
from dask_gmm.mixture.rows import RowBlock, Rows

#: A larger table is not sent: the kernel predicts.
LARGEST_TABLE = 64 << 20
_COLUMNS = ("labels", "probabilities", "uncertainty", "log_density")

Places = npt.NDArray[np.int32]


def look_up_bytes(n_distinct: int, K: int) -> int:
    """Return what a table of so many rows takes at most, all columns counted."""
    return (n_distinct + 1) * (8 + np.min_scalar_type(K).itemsize + 4 * K + 4 + 8 + 1)


def finder_bytes(n_distinct: int, width: int) -> int:
    """Return what finds places in a table of so many rows of ``width`` bytes."""
    return 5 << 8 * width if 8 * width <= DENSE_BITS else 12 * _slots(n_distinct)


@dataclass(frozen=True, eq=False)
class LookUp:
    """What a mixture says of the distinct rows.

    Attributes
    ----------
    dtype : dtype
        Of the data, in native byte order.
    n_features : int
    keys : (m,)
        Of the distinct rows, in rising order.
    said : Prediction
        Of m + 1 rows: place 0 stands for rows that were not counted, place i + 1 for key i.
    """

    dtype: np.dtype[Any]
    n_features: int
    keys: Keys
    said: Prediction

    @classmethod
    def of(cls, counts: Counts, kernel: Kernel, wanted: Wanted) -> LookUp:
        """Let the kernel predict the distinct rows."""
        D = counts.rows.shape[1]
        said = predict(kernel, Rows(counts.rows), wanted)
        columns = {
            name: None if (column := getattr(said, name)) is None else _after_nothing(column)
            for name in _COLUMNS
        }
        valid = np.concatenate([[False], said.valid])
        return cls(counts.rows.dtype, D, counts.keys, Prediction(**columns, valid=valid))

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what every process makes for itself."""
        names = ("dtype", "n_features", "keys", "said")
        return {name: getattr(self, name) for name in names}

    def predict(self, kernel: Kernel, block: RowBlock, wanted: Wanted) -> Prediction:
        """Return what :func:`~dask_gmm.mixture.prediction.predict` would, of what was prepared."""
        rows = self._rows(block.values)
        labels_alone = wanted == replace(_LABELS, dtype=wanted.dtype)
        if labels_alone and self._dense_labels is not None:
            labels = _labels(self._dense_labels, rows)
            counted = labels != NOT_COUNTED
            found = Prediction(labels, None, None, None, counted)
        else:
            places = self._finder.places(row_keys(rows))
            counted = places > 0
            at = places.astype(np.intp)
            columns = {
                name: np.take(getattr(self.said, name), at, axis=0, mode="clip")
                if getattr(wanted, name)
                else None
                for name in _COLUMNS
            }
            found = Prediction(**columns, valid=counted)
        missing = ~counted if block.valid is None else ~counted & block.valid
        if missing.any():
            _ask_kernel(kernel, block, wanted, found, np.flatnonzero(missing))
        if block.valid is not None:
            np.logical_and(found.valid, block.valid, out=found.valid)
        return found

    def _rows(self, values: AnyArray) -> AnyArray:
        rows = packed_rows(values)
        if (rows.dtype, rows.shape[1]) != (self.dtype, self.n_features):
            raise ValueError(
                f"the table is of rows of {self.n_features} {self.dtype}, "
                f"these are {rows.shape[1]} {rows.dtype}"
            )
        return rows

    @property
    def _key_bits(self) -> int:
        return 8 * row_width(self.dtype, self.n_features)

    @cached_property
    def _finder(self) -> _DenseFinder | _HashFinder:
        dense = self._key_bits <= DENSE_BITS
        return _DenseFinder(self.keys, self._key_bits) if dense else _HashFinder(self.keys)

    @cached_property
    def _dense_labels(self) -> npt.NDArray[np.uint8] | None:
        """Labels by key, for labels alone: one step less."""
        labels = self.said.labels
        if labels is None or labels.dtype != np.uint8 or self._key_bits > DENSE_BITS:
            return None
        table = np.full(1 << self._key_bits, NOT_COUNTED)
        table[self.keys] = labels[1:]
        return table


_LABELS = Wanted(labels=True)
#: Stands in a table of labels; 255 components have labels up to 254.
NOT_COUNTED = np.uint8(255)


def _labels(table: npt.NDArray[np.uint8], rows: AnyArray) -> npt.NDArray[np.uint8]:
    """Return the labels (n,) that a table has for packed rows."""
    if row_width(rows.dtype, rows.shape[1]) != 3:
        return np.take(table, row_keys(rows).view(np.int64), mode="clip")
    labels = np.empty(len(rows), np.uint8)
    _labels_of_three_bytes(table, rows.reshape(-1).view(np.uint8), labels)
    return labels


@compiled()
def _labels_of_three_bytes(
    table: npt.NDArray[np.uint8], rows: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
) -> None:
    """Write the labels of rows of three bytes each, keys and all: the most common picture."""
    for i in range(len(labels)):
        a, b, c = np.int64(rows[3 * i]), np.int64(rows[3 * i + 1]), np.int64(rows[3 * i + 2])
        labels[i] = table[a | (b << 8) | (c << 16)]


def _after_nothing(column: AnyArray) -> AnyArray:
    """Return a column with a place 0 before it."""
    return np.concatenate([np.zeros_like(column, shape=(1, *column.shape[1:])), column])


def _ask_kernel(
    kernel: Kernel,
    block: RowBlock,
    wanted: Wanted,
    found: Prediction,
    missing: npt.NDArray[np.intp],
) -> None:
    """Fill in what the kernel says of rows that are not in the table."""
    said = predict(kernel, Rows(block.values[missing]), wanted)
    for name in (*_COLUMNS, "valid"):
        column = getattr(found, name)
        if column is not None:
            column[missing] = getattr(said, name)


class _DenseFinder:
    """A place for every key that there can be."""

    def __init__(self, keys: Keys, bits: int) -> None:
        self._places = np.zeros(1 << bits, np.int32)
        self._places[keys] = np.arange(1, len(keys) + 1)

    def places(self, keys: Keys) -> Places:
        """Return each key's number (n,), counted from 1; 0 for a key that is unknown."""
        return np.take(self._places, keys.view(np.int64), mode="clip")


class _HashFinder:
    """Open addressing: a key stands in the first free slot from the one that its hash names."""

    def __init__(self, keys: Keys) -> None:
        n_slots = _slots(len(keys))
        self._shift = np.uint64(64 - n_slots.bit_length() + 1)
        self._last = np.intp(n_slots - 1)
        self._keys = np.zeros(n_slots, np.uint64)
        self._places = np.zeros(n_slots, np.int32)
        todo, slots = np.arange(len(keys), dtype=np.int32), self._first_slots(keys)
        while len(todo):
            free = self._places[slots] == 0
            # Of those that want one slot the last is written, and finds itself there.
            self._places[slots[free]] = todo[free] + 1
            placed = self._places[slots] == todo + 1
            self._keys[slots[placed]] = keys[todo[placed]]
            todo, slots = todo[~placed], (slots[~placed] + 1) & self._last

    def places(self, keys: Keys) -> Places:
        """Return each key's number (n,), counted from 1; 0 for a key that is unknown."""
        slots = self._first_slots(keys)
        places = np.take(self._places, slots, mode="clip")
        other = np.take(self._keys, slots, mode="clip") != keys
        open_ = np.flatnonzero(other & (places > 0))
        slots = slots[open_]
        while len(open_):
            slots = (slots + 1) & self._last
            places[open_] = self._places[slots]
            going_on = (self._keys[slots] != keys[open_]) & (places[open_] > 0)
            open_, slots = open_[going_on], slots[going_on]
        return places

    def _first_slots(self, keys: Keys) -> npt.NDArray[np.intp]:
        # Fibonacci hashing: the upper bits of a product with 2^64 over the golden ratio.
        spread = keys * np.uint64(0x9E3779B97F4A7C15)
        spread >>= self._shift
        return spread.view(np.int64).astype(np.intp, copy=False)


def _slots(n_keys: int) -> int:
    """Return the slots of a table that is at most half full: a power of two."""
    return 1 << max(1, (2 * n_keys - 1).bit_length())
