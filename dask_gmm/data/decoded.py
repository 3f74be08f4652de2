"""A stored array of packed numbers, read as the numbers that they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.stored import Inventory, StoredArray, step_of


@dataclass(frozen=True)
class DecodedArray:
    """Another array's numbers times a scale, plus an offset; NaN where it holds no measurement.

    Parameters
    ----------
    array : StoredArray
    scale, offset : float or tuple of float
        One for all, or one for each position along the first axis: of every band its own.
    empty : tuple of float
        Stored values that stand for no data, each one that the array can hold.
    """

    array: StoredArray
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    empty: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Of the stored array."""
        return self.array.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the stored array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 where that holds all stored numbers, and no offset takes digits; or float64."""
        kind, size = self.array.dtype.kind, self.array.dtype.itemsize
        exact = size <= 2 if kind in "biu" else size <= 4
        return np.dtype(np.float32 if exact and not np.any(self.offset) else np.float64)

    @property
    def step(self) -> float | tuple[float, ...]:
        """From one number to the next, one for each scale; 0 where floating point is stored."""
        step = step_of(self.array.dtype)
        if isinstance(self.scale, tuple):
            return tuple(abs(each) * step for each in self.scale)
        return abs(self.scale) * step

    @property
    def axis_names(self) -> tuple[str | None, ...] | None:
        """Of the stored array."""
        return self.array.axis_names

    @property
    def objects(self) -> tuple[int, ...]:
        """Of the stored array."""
        return self.array.objects

    @property
    def decoded_together(self) -> int:
        """Bytes of what is unpacked together, as stored and as numbers."""
        together, size = self.array.decoded_together, self.array.dtype.itemsize
        return together + together // size * self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return that of the stored array."""
        return self.array.cell_shape(feature_axis)

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region.

        Raises
        ------
        InputDataError
            As the stored array does.
        """
        stored = self.array.read(selection)
        values = stored.astype(self.dtype)
        values *= _along(self.scale, selection)
        values += _along(self.offset, selection)
        for value in self.empty:
            values[np.isnan(stored) if math.isnan(value) else stored == value] = np.nan
        return values

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name an element's place in the stored array."""
        return self.array.chunk_at(index)

    def inventory(self) -> Inventory:
        """Look at the stored array."""
        return self.array.inventory()


def _along(each: float | tuple[float, ...], selection: tuple[slice, ...]) -> Any:
    """Return what multiplies a region: a number, or one for each place along its first axis."""
    if not isinstance(each, tuple):
        return each
    return np.array(each[selection[0]]).reshape(-1, *(1 for _ in selection[1:]))
