"""Masks, weights and values that stand for no data, laid over any source on a regular grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Block, Grid
from dask_gmm.data.halo import Neighbourhoods, Region
from dask_gmm.data.manifest import ArrayManifest, together
from dask_gmm.data.stored import StoredArray, check_content
from dask_gmm.errors import ConfigurationError, InputDataError

#: Rows that are compared together.
_ROWS = 1 << 16


class GridSource(Protocol):
    """A source whose cells are regions of leading axes."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def n_features(self) -> int: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102
    @property
    def feature_names(self) -> tuple[str, ...] | None: ...  # noqa: D102
    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]: ...  # noqa: D102
    @property
    def feature_steps(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def beside_bytes(self) -> int: ...  # noqa: D102
    @property
    def geometry(self) -> Geometry | None: ...  # noqa: D102
    def part(self, cells: Sequence[int]) -> GridSource: ...  # noqa: D102
    def where(self, first: int, last: int | None = None) -> str: ...  # noqa: D102
    def read(self, cell: int) -> Block: ...  # noqa: D102
    def read_region(self, region: Region) -> Block: ...  # noqa: D102
    def neighbourhoods(self, halo: Sequence[int]) -> Neighbourhoods: ...  # noqa: D102
    def manifest(self) -> ArrayManifest: ...  # noqa: D102


@dataclass(frozen=True)
class Mask:
    """An array of the leading shape that says which rows to keep.

    Parameters
    ----------
    array : StoredArray
        Of booleans or integers.
    keep : {"nonzero", "zero"}
    """

    array: StoredArray
    keep: str

    def read(self, region: tuple[slice, ...]) -> npt.NDArray[np.bool_]:
        """Return which rows of a region are kept, (n,)."""
        values = self.array.read(region).ravel()
        return np.asarray(values != 0 if self.keep == "nonzero" else values == 0)


@dataclass(frozen=True)
class AlignedSource:
    """A source of whose rows some are left out or weighted.

    A row does not take part if a mask drops it, or if *any* of its features equals a nodata value
    (as GDAL and xarray mean it: that band has no measurement there, and a mixture needs them all),
    or if *all* of them equal `blank`. Weights of rows that do not take part are not looked at.

    Parameters
    ----------
    source : GridSource
    masks : tuple of Mask
        The configuration's, and the file's own.
    weights : StoredArray or None
        Frequencies, of the leading shape, in any chunks.
    nodata : tuple of float
        In stored units; NaN is allowed.
    blank : tuple of float, or None
        What a scene's frame was filled with, (D,), where the file does not say so.
    """

    source: GridSource
    masks: tuple[Mask, ...] = ()
    weights: StoredArray | None = None
    nodata: tuple[float, ...] = ()
    blank: tuple[float, ...] | None = None

    @property
    def path(self) -> str:
        """Of the values."""
        return self.source.path

    @property
    def grid(self) -> Grid:
        """Of the values."""
        return self.source.grid

    @property
    def n_features(self) -> int:
        """D."""
        return self.source.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.source.dtype

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Of the values."""
        return self.source.feature_names

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """Of the values."""
        return self.source.feature_dtypes

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """Of the values."""
        return self.source.feature_steps

    @property
    def geometry(self) -> Geometry | None:
        """Of the values."""
        return self.source.geometry

    def part(self, cells: Sequence[int]) -> AlignedSource:
        """Return what a task needs that reads only these cells: the whole value, it is small."""
        return self

    def where(self, first: int, last: int | None = None) -> str:
        """Name a run of cells, of the values."""
        return self.source.where(first, last)

    @property
    def beside_bytes(self) -> int:
        """What reading a cell takes beyond its values: mask and weights, and chunks of theirs."""
        rows, own = math.prod(self.grid.chunks), 3  # rows valid, of no data, and one comparison
        own += sum(array.dtype.itemsize for array in self._arrays) + 16 * (self.weights is not None)
        chunks = sum(3 * array.decoded_together for array in self._arrays)
        return self.source.beside_bytes + rows * own + chunks

    def read(self, cell: int) -> Block:
        """Read one cell as rows, with what is known of each of them.

        Raises
        ------
        InputDataError
            As the source does, and naming file, place and chunk of a weight that is negative, NaN
            or infinite.
        """
        return self.read_region(self.grid.region(cell))

    def read_region(self, region: Region) -> Block:
        """Read a region of the leading axes as rows, with what is known of each of them.

        Raises
        ------
        InputDataError
            As `read`.
        """
        block = self.source.read_region(region)
        valid, nodata = block.valid, None
        for mask in self.masks:
            kept = mask.read(region)
            valid = kept if valid is None else valid & kept
        if self.nodata or self.blank is not None:
            empty = _holds_any(block.values, self.nodata)
            if self.blank is not None:
                empty |= _holds_only(block.values, self.blank)
            nodata = empty if valid is None else empty & valid
            valid = ~empty if valid is None else valid & ~empty
        weights = None if self.weights is None else self._weights(region, valid)
        return Block(block.values, weights, valid, nodata)

    def neighbourhoods(self, halo: Sequence[int]) -> Neighbourhoods:
        """Return what reads cells, one after the other, with a halo of so much per axis."""
        return Neighbourhoods(self, halo)

    def manifest(self) -> ArrayManifest:
        """Describe the source with its mask and weights: all of them make the fingerprint.

        Raises
        ------
        InputDataError
            If chunks of any of them are missing or empty.
        """
        manifest = self.source.manifest()
        found = [array.inventory() for array in self._arrays]
        return replace(
            manifest,
            stored_bytes=manifest.stored_bytes + sum(each.stored_bytes for each in found),
            fingerprint=together([manifest.fingerprint, *(each.fingerprint for each in found)]),
            checksums=manifest.checksums and all(each.checksums for each in found),
            mask=next((mask.array.name for mask in self.masks), None),
            weights=None if self.weights is None else self.weights.name,
            nodata=(*map(str, self.nodata), *self._blank_in_words()),
        )

    @property
    def _arrays(self) -> list[StoredArray]:
        weights = () if self.weights is None else (self.weights,)
        return [*(mask.array for mask in self.masks), *weights]

    def _blank_in_words(self) -> tuple[str, ...]:
        return () if self.blank is None else ("0 in all features",)

    def _weights(
        self, region: tuple[slice, ...], valid: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[np.float64]:
        array = self.weights
        assert array is not None
        found = array.read(region)
        weights = found.astype(np.float64).ravel()
        if valid is not None:
            weights[~valid] = 0.0
        good = (weights >= 0) & (weights < np.inf)
        if good.all():
            return weights
        first = np.unravel_index(int(np.argmin(good)), found.shape)
        place = [s.start + int(i) for s, i in zip(region, first, strict=True)]
        raise InputDataError(
            f"{array.name}: {array.chunk_at(place)} holds the weight {found[first]} at "
            f"{tuple(place)}; allowed are finite numbers from 0: mend it, or mask the row"
        )


def open_mask(array: StoredArray, keep: str, source: GridSource) -> Mask:
    """Lay a mask over a source.

    Raises
    ------
    ConfigurationError
        If it has another shape, is not of booleans or integers, or `keep` is not allowed.
    """
    if keep not in ("nonzero", "zero"):
        raise ConfigurationError(f"source.mask.keep: found {keep!r}; allowed: nonzero, zero")
    _require_fit(array, source, "source.mask")
    if array.dtype.kind not in "biu":
        raise ConfigurationError(
            f"source.mask: {array.name} has dtype {array.dtype}; allowed are bool and integers"
        )
    return Mask(array, keep)


def open_weights(array: StoredArray, source: GridSource) -> StoredArray:
    """Lay weights over a source.

    Raises
    ------
    ConfigurationError
        If they have another shape.
    """
    _require_fit(array, source, "source.weights")
    return array


def possible_nodata(values: Sequence[float], dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return those of some nodata values that can occur in a dtype, integers as integers."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return tuple(v for v in values if not np.isinf(dtype.type(v)) or math.isinf(v))
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    whole = [int(v) for v in values if math.isfinite(v) and v == int(v)]
    return tuple(v for v in whole if low <= v <= high)


def _require_fit(array: StoredArray, source: GridSource, key: str) -> None:
    check_content(array)
    if array.shape != source.grid.shape:
        raise ConfigurationError(
            f"{key}: {array.name} has shape {array.shape}, but the leading shape of {source.path} "
            f"(all axes but the features') is {source.grid.shape}; they must be equal"
        )


def _holds_any(values: npt.NDArray[Any], nodata: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Tell which rows (n, D) hold one of some values, (n,)."""
    found = np.zeros(len(values), dtype=bool)
    for start in range(0, len(values), _ROWS):
        rows = values[start : start + _ROWS]
        for value in nodata:
            equal = np.isnan(rows) if math.isnan(value) else rows == value
            found[start : start + _ROWS] |= equal.any(axis=1)
    return found


def _holds_only(values: npt.NDArray[Any], blank: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Tell which rows (n, D) are one row, (n,)."""
    found, row = np.empty(len(values), dtype=bool), np.asarray(blank, values.dtype)
    for start in range(0, len(values), _ROWS):
        here = slice(start, start + _ROWS)
        found[here] = (values[here] == row).all(axis=1)
    return found
