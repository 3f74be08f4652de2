"""Rows as integers: equal rows have equal keys, and different rows different ones.

Rows of up to eight bytes *are* their key: 8-bit red, green and blue make 24 bits, quantised bands
in float32 their bit patterns. Longer rows are hashed to 64 bits; whoever groups by such a key
compares the rows too.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import AnyArray
from dask_gmm.mixture.hashing import mixed

Keys: TypeAlias = npt.NDArray[np.uint64]


def row_width(dtype: npt.DTypeLike, D: int) -> int:
    """Return the bytes of one row."""
    return D * np.dtype(dtype).itemsize


def keys_are_rows(dtype: npt.DTypeLike, D: int) -> bool:
    """Tell whether a row can be read back from its key."""
    return row_width(dtype, D) <= 8


def packed_rows(values: AnyArray) -> AnyArray:
    """Return rows (n, D) side by side in memory and in native byte order, with one zero.

    -0.0 equals 0.0 and has other bits.
    """
    rows = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return rows + rows.dtype.type(0) if rows.dtype.kind == "f" else rows


def row_keys(rows: AnyArray) -> Keys:
    """Return the keys (n,) of rows (n, D) as :func:`packed_rows` gives them."""
    n, width = len(rows), row_width(rows.dtype, rows.shape[1])
    if width > 8:
        return _hashed(rows, width)
    if width in (1, 2, 4, 8):
        return _words(rows, width)[:, 0].astype(np.uint64, copy=False)
    size = 4 if width == 3 else 8
    keys = np.empty(n, np.uint64)
    # One load a row, which reaches into the next one: several times faster than byte by byte. The
    # last rows have no next one.
    loaded = max(0, n - size // width)
    ahead = np.ndarray((loaded,), f"<u{size}", buffer=rows, strides=(width,))
    np.bitwise_and(ahead, ahead.dtype.type((1 << 8 * width) - 1), out=keys[:loaded])
    keys[loaded:] = _words(_padded(rows[loaded:], 8), 8)[:, 0]
    return keys


def rows_of_keys(keys: Keys, dtype: np.dtype[np.generic], D: int) -> AnyArray:
    """Return the rows (n, D) whose keys these are, where :func:`keys_are_rows`."""
    as_bytes = np.ascontiguousarray(keys, "<u8").view(np.uint8)
    used = as_bytes.reshape(len(keys), -1)[:, : row_width(dtype, D)]
    return np.ascontiguousarray(used).view(dtype.newbyteorder("=")).reshape(len(keys), D)


def _hashed(rows: AnyArray, width: int) -> npt.NDArray[np.uint64]:
    size = 8 if width % 8 == 0 else 4
    words = _words(rows if width % size == 0 else _padded(rows, width + -width % size), size)
    keys = np.zeros(len(rows), np.uint64)
    for word in words.T:
        keys = mixed(keys ^ word)
    return keys


def _words(rows: AnyArray, size: int) -> AnyArray:
    """Return the memory of contiguous rows as words of ``size`` bytes."""
    columns = row_width(rows.dtype, rows.shape[1]) // size
    return rows.reshape(-1).view(f"<u{size}").reshape(len(rows), columns)


def _padded(rows: AnyArray, width: int) -> npt.NDArray[np.uint8]:
    """Return rows as bytes (n, width), zeros behind each."""
    used = row_width(rows.dtype, rows.shape[1])
    padded = np.zeros((len(rows), width), np.uint8)
    padded[:, :used] = rows.reshape(-1).view(np.uint8).reshape(len(rows), used)
    return padded
