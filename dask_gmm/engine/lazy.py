"""Lazy Dask arrays as leaves: every block is one leaf, whatever graph stands behind it.

Chunk sizes may be unknown, blocks and partitions empty; the rows that come are the same as from the
dense array. Blocks of dtype object become float64, as scikit-learn makes them.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import Delayed, delayed


class ArrayBlock:
    """One computed block of a Dask array (..., D), as rows.

    Attributes
    ----------
    values : (n, D)
    weights : (n,) or None
    valid : None
        A lazy array knows of no mask.
    n_nodata : int
        Nor of values that stand for no data.
    """

    valid = None
    n_nodata = 0

    def __init__(
        self,
        block: npt.NDArray[Any],
        weights: npt.NDArray[Any] | None,
        number: int,
        offsets: tuple[int, ...] | None,
        shape: tuple[int, ...],
    ) -> None:
        block = plain_array(block)
        self.values = block.reshape(-1, block.shape[-1])
        self.weights = None if weights is None else np.asarray(weights, np.float64).ravel()
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError(
                f"block {number} has {len(self.values)} rows and {len(self.weights)} weights"
            )
        self._leading = block.shape[:-1]
        self._number, self._offsets, self._shape = number, offsets, shape

    def __call__(self) -> Generator[ArrayBlock]:
        """Yield the block: it is a leaf of its own."""
        yield self

    def row_index(self) -> npt.NDArray[np.uint64]:
        """Return each row's global C-order index, (n,).

        Where chunk sizes are unknown nobody knows it; blocks then count from 2^40 apart.
        """
        if self._offsets is None:
            first = np.uint64(self._number) << np.uint64(40)
            return first + np.arange(len(self.values), dtype=np.uint64)
        index: npt.NDArray[np.uint64] = np.zeros((), np.uint64)
        for length, start, n in zip(self._shape, self._offsets, self._leading, strict=True):
            along = np.arange(start, start + n, dtype=np.uint64)
            index = index[..., None] * np.uint64(length) + along
        return index.ravel()


def plain_array(block: Any) -> npt.NDArray[Any]:
    """Return a block as a NumPy array; what hides under a mask is no data."""
    if np.ma.is_masked(block):
        raise ValueError(
            "a block is a masked array with masked values, which a mixture would take for data: "
            "drop these rows, or give them sample_weight 0"
        )
    return np.asarray(block)


def real_numbers(block: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return a block of dtype object as float64; pandas' NA and None as NaN.

    Raises
    ------
    ValueError
        If it holds what is no real number.
    """
    pandas = sys.modules.get("pandas")  # whoever has NA has imported it
    missing = (block == None) if pandas is None else pandas.isna(block)  # noqa: E711
    try:
        return np.where(missing, np.nan, block).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a block of dtype object holds what is no real number ({error}): convert that column, "
            "or leave it out"
        ) from error


def array_leaves(X: da.Array, weights: da.Array | None = None) -> list[Delayed]:
    """Return one leaf per block of X (..., D), features in one chunk.

    Parameters
    ----------
    X : dask.array.Array
    weights : dask.array.Array, optional
        Row weights of X's leading shape.
    """
    X = X.rechunk({X.ndim - 1: -1})
    leading = X.chunks[:-1]
    known = not np.isnan(np.concatenate([np.asarray(c, float) for c in leading])).any()
    if weights is not None and known and weights.chunks != leading:
        weights = weights.rechunk(leading)
    blocks = X.to_delayed().reshape(-1)
    beside = [None] * len(blocks) if weights is None else weights.to_delayed().reshape(-1)
    starts = [np.concatenate([[0], np.cumsum(c)[:-1]]) for c in leading] if known else []
    positions = list(np.ndindex(*(len(c) for c in leading)))
    make = delayed(ArrayBlock, pure=False)
    return [
        make(
            block,
            weight,
            number,
            tuple(int(s[i]) for s, i in zip(starts, position, strict=True)) if known else None,
            tuple(int(n) for n in X.shape[:-1]) if known else (),
        )
        for number, (block, weight, position) in enumerate(
            zip(blocks, beside, positions, strict=True)
        )
    ]
