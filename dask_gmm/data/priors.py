"""Maps of prior probabilities: how probable each class is at each place, before it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.halo import Region, lengths
from dask_gmm.data.manifest import together
from dask_gmm.data.stored import StoredArray, check_content
from dask_gmm.errors import ConfigurationError, InputDataError

_KEY = "smoothing.spatial.prior"


@dataclass(frozen=True)
class PriorMaps:
    """Prior probabilities of every class, over the leading axes of an input.

    Parameters
    ----------
    arrays : tuple of StoredArray
        One whose last axis is that of the classes, or one of the leading shape for each class.
    """

    arrays: tuple[StoredArray, ...]

    @classmethod
    def over(cls, arrays: Sequence[StoredArray], shape: tuple[int, ...], K: int) -> PriorMaps:
        """Lay maps over an input of a leading shape.

        Raises
        ------
        ConfigurationError
            If they have another shape, or are not of so many classes.
        """
        for array in arrays:
            check_content(array)
        found = [array.shape for array in arrays]
        if found not in ([(*shape, K)], [shape] * K):
            shown = " and ".join(dict.fromkeys(map(str, found)))
            raise ConfigurationError(
                f"{_KEY}: found {len(found)} array{'s' if len(found) > 1 else ''} of shape "
                f"{shown}; allowed is one of shape {(*shape, K)}, the classes along its last axis, "
                f"or {K} of shape {shape}, as there are {K} classes"
            )
        return cls(tuple(arrays))

    @property
    def fingerprint(self) -> str:
        """What changes where any of the maps does."""
        return together([each.inventory().fingerprint for each in self.arrays])

    @property
    def beside_bytes(self) -> int:
        """What reading a region takes beyond its numbers."""
        return 3 * sum(each.decoded_together for each in self.arrays)

    def read(self, region: Region) -> npt.NDArray[np.float32]:
        """Return the probabilities (K, n) of a region, with sums of 1; NaN where nothing is said.

        Nothing is said where a number is NaN, or all of them are zero.

        Raises
        ------
        InputDataError
            Naming file and place of a number that is negative or infinite.
        """
        shape = lengths(region)
        if len(self.arrays) > 1 or len(self.arrays[0].shape) == len(region):
            planes = np.stack([self._checked(each, region) for each in self.arrays])
        else:
            (array,) = self.arrays
            whole = self._checked(array, (*region, slice(0, array.shape[-1])))
            planes = np.moveaxis(whole, -1, 0)
        planes = np.ascontiguousarray(planes).reshape(-1, int(np.prod(shape)))
        total = planes.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: npt.NDArray[np.float32] = planes / total
        return found

    @staticmethod
    def _checked(array: StoredArray, region: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        read = array.read(region)
        values = read.astype(np.float32)
        bad = (values < 0) | np.isinf(values)
        if bad.any():
            first = np.unravel_index(int(np.argmax(bad)), values.shape)
            place: list[Any] = [s.start + int(i) for s, i in zip(region, first, strict=True)]
            raise InputDataError(
                f"{array.name}: {array.chunk_at(place)} holds the prior probability {read[first]} "
                f"at {tuple(place)}; allowed are finite numbers from 0, and NaN where nothing is "
                "known"
            )
        return values
