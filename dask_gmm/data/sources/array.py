"""Rows out of a stored array with a feature axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Block, Grid
from dask_gmm.data.halo import Neighbourhoods, Region, lengths
from dask_gmm.data.manifest import ArrayManifest
from dask_gmm.data.stored import StoredArray, step_of, without


@dataclass(frozen=True)
class ArraySource:
    """An array whose cells are what is stored together, over all features.

    It holds no file handle: it pickles to about 1 kB, and every process opens the array when it
    first reads.

    Parameters
    ----------
    kind, path, variable
        As configured; the path absolute.
    array : StoredArray
    feature_axis : int or None
        Not negative; None: one feature, every axis is leading.
    columns : tuple of int or None
        The features that are read, in their order; None: all.
    feature_names : tuple of str or None
        Of the features that are read.
    geometry : Geometry or None
        Where the pixels lie.
    step : float or tuple of float, or None
        From one value to the next, where the dtype does not tell: of decoded integers. One for
        all features of the array, or one for each.
    """

    kind: str
    path: str
    variable: str | None
    array: StoredArray
    feature_axis: int | None
    columns: tuple[int, ...] | None
    feature_names: tuple[str, ...] | None
    geometry: Geometry | None = None
    step: float | tuple[float, ...] | None = None

    @property
    def grid(self) -> Grid:
        """The leading axes, cut into cells."""
        names = self.array.axis_names
        return Grid(
            without(self.array.shape, self.feature_axis),
            self.array.cell_shape(self.feature_axis),
            names and without(names, self.feature_axis),
        )

    @property
    def n_features(self) -> int:
        """D."""
        if self.columns is not None:
            return len(self.columns)
        return 1 if self.feature_axis is None else self.array.shape[self.feature_axis]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values that `read` returns: as stored, but uint8 for booleans."""
        return as_numbers(self.array.dtype)

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """(D,), as stored."""
        return (self.array.dtype,) * self.n_features

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """(D,), from one value to the next."""
        if isinstance(self.step, tuple):
            return tuple(self.step[i] for i in self.columns or range(self.n_features))
        step = step_of(self.array.dtype) if self.step is None else self.step
        return (step,) * self.n_features

    def part(self, cells: Sequence[int]) -> ArraySource:
        """Return what a task needs that reads only these cells: the whole value, it is small."""
        return self

    def where(self, first: int, last: int | None = None) -> str:
        """Name a run of cells: the path, and the chunks' places along the leading axes."""
        return name_cells(self.path, self.grid, first, last)

    @property
    def beside_bytes(self) -> int:
        """What reading a cell takes beyond its rows: columns not asked for, a whole file."""
        rows, itemsize, beside = math.prod(self.grid.chunks), self.dtype.itemsize, 0
        if self.array.decoded_together > rows * self.n_features * itemsize:
            beside = self.array.decoded_together
        if self.columns is None or self.feature_axis is None:
            return beside
        together = min(self.array.objects[self.feature_axis], self.array.shape[self.feature_axis])
        return beside + 3 * rows * together * itemsize

    def read(self, cell: int) -> Block:
        """Read one cell as rows.

        No other block has its memory, which may be read-only. With the features last its values
        are C-contiguous (n, D); with the features first, or columns chosen, they are the transpose
        of what was read, not a copy. What is stored big-endian stays so.

        Parameters
        ----------
        cell : int
            Number of the cell in `grid`.

        Returns
        -------
        Block
            Values of shape (n, D), rows in the cell's C order.

        Raises
        ------
        InputDataError
            Naming file and chunk, if something is missing, truncated or corrupt.
        """
        return self.read_region(self.grid.region(cell))

    def read_region(self, region: Region) -> Block:
        """Read a region of the leading axes as rows, in its C order.

        Raises
        ------
        InputDataError
            As `read`.
        """
        axis = self.feature_axis
        if axis is None:
            return Block(self._numbers(region).reshape(-1, 1))
        if self.columns is not None:
            return Block(self._chosen(region, axis, self.columns))
        values = self._numbers((*region[:axis], slice(0, self.n_features), *region[axis:]))
        return Block(np.moveaxis(values, axis, -1).reshape(-1, self.n_features))

    def neighbourhoods(self, halo: Sequence[int]) -> Neighbourhoods:
        """Return what reads cells, one after the other, with a halo of so much per axis."""
        return Neighbourhoods(self, halo)

    def manifest(self) -> ArrayManifest:
        """Describe the array from its metadata and the sizes of its chunks; reads none.

        Raises
        ------
        InputDataError
            If chunks are missing (unless they may be filled) or empty.
        """
        array, found = self.array, self.array.inventory()
        grid, axis = self.grid, self.feature_axis
        shape = tuple(self.n_features if i == axis else n for i, n in enumerate(array.shape))
        return ArrayManifest(
            kind=self.kind,
            path=self.path,
            variable=self.variable,
            shape=shape,
            feature_axis=self.feature_axis,
            n_features=self.n_features,
            dtype=array.dtype.str,
            chunks=found.chunks,
            cell_shape=grid.chunks,
            n_cells=len(grid),
            zarr_format=found.zarr_format,
            stored_bytes=found.stored_bytes,
            decoded_bytes=grid.n_rows_total * self.n_features * array.dtype.itemsize,
            missing=found.missing,
            fingerprint=found.fingerprint,
            checksums=found.checksums,
        )

    def _numbers(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        values = self.array.read(selection)
        return values.view(np.uint8) if values.dtype.kind == "b" else values

    def _chosen(
        self, region: tuple[slice, ...], axis: int, columns: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Read some features of a region; only chunks that hold any of them are fetched."""
        values = np.empty((len(columns), n_rows(region)), self.dtype)
        for span, places in _by_object(columns, self.array.objects[axis]):
            read = np.moveaxis(self._numbers((*region[:axis], span, *region[axis:])), axis, 0)
            for place in places:
                values[place] = read[columns[place] - span.start].ravel()
        return values.T


def name_cells(path: str, grid: Grid, first: int, last: int | None) -> str:
    """Name a run of cells by the chunks' places along the leading axes."""
    place = f"chunk {grid.coordinates(first)}"
    if last not in (None, first):
        place = f"chunks {grid.coordinates(first)} to {grid.coordinates(last)}"
    return f"{path}: {place} of the leading axes"


def as_numbers(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype, uint8 for booleans."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def n_rows(region: Sequence[slice]) -> int:
    """Return how many rows a region of leading axes holds."""
    return math.prod(lengths(tuple(region)))


def _by_object(columns: Sequence[int], length: int) -> Iterator[tuple[slice, list[int]]]:
    """Group columns by the stored object that holds them: its span, and their places."""
    for number in sorted({column // length for column in columns}):
        places = [i for i, column in enumerate(columns) if column // length == number]
        inside = [columns[i] for i in places]
        yield slice(min(inside), max(inside) + 1), places
