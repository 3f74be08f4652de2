"""Rows out of bands: stored arrays of one shape, each of them a feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Block, Grid
from dask_gmm.data.halo import Neighbourhoods, Region
from dask_gmm.data.manifest import ArrayManifest, together
from dask_gmm.data.sources.array import as_numbers, n_rows, name_cells
from dask_gmm.data.stored import StoredArray, step_of


@dataclass(frozen=True)
class BandSource:
    """Bands that are arrays of their own, of equal shape and chunks: every band is a feature.

    Parameters
    ----------
    path : str
        Absolute, of the group.
    bands : tuple of StoredArray
    feature_names : tuple of str
        Their names in the group.
    geometry : Geometry or None
        Where the pixels lie.
    kind : str
        As configured.
    steps : tuple of float, or None
        From one value of each band to the next, where its dtype does not tell.
    """

    path: str
    bands: tuple[StoredArray, ...]
    feature_names: tuple[str, ...]
    geometry: Geometry | None = None
    kind: str = "zarr"
    steps: tuple[float, ...] | None = None

    @property
    def grid(self) -> Grid:
        """All axes of a band, cut into cells."""
        first = self.bands[0]
        return Grid(first.shape, first.cell_shape(None), first.axis_names)

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest that holds the values of every band."""
        return np.result_type(*(as_numbers(band.dtype) for band in self.bands))

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """(D,), as stored."""
        return tuple(band.dtype for band in self.bands)

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """(D,), from one value to the next."""
        return self.steps or tuple(step_of(band.dtype) for band in self.bands)

    def part(self, cells: Sequence[int]) -> BandSource:
        """Return what a task needs that reads only these cells: the whole value, it is small."""
        return self

    def where(self, first: int, last: int | None = None) -> str:
        """Name a run of cells: the path, and the chunks' places along the leading axes."""
        return name_cells(self.path, self.grid, first, last)

    @property
    def beside_bytes(self) -> int:
        """What reading a cell takes beyond its rows: one band, stored, decoded and on its way."""
        widest = max(band.dtype.itemsize for band in self.bands)
        return 3 * math.prod(self.grid.chunks) * widest

    def read(self, cell: int) -> Block:
        """Read one cell of every band as rows.

        Returns
        -------
        Block
            Values of shape (n, D), the transpose of bands one after the other.

        Raises
        ------
        InputDataError
            Naming file and chunk, if something is missing, truncated or corrupt.
        """
        return self.read_region(self.grid.region(cell))

    def read_region(self, region: Region) -> Block:
        """Read a region of every band as rows, in its C order.

        Raises
        ------
        InputDataError
            As `read`.
        """
        values = np.empty((self.n_features, n_rows(region)), self.dtype)
        for place, band in zip(values, self.bands, strict=True):
            place[:] = band.read(region).ravel()
        return Block(values.T)

    def neighbourhoods(self, halo: Sequence[int]) -> Neighbourhoods:
        """Return what reads cells, one after the other, with a halo of so much per axis."""
        return Neighbourhoods(self, halo)

    def manifest(self) -> ArrayManifest:
        """Describe the bands from their metadata and the sizes of their chunks; reads none.

        Raises
        ------
        InputDataError
            If chunks are missing (unless they may be filled) or empty.
        """
        grid, found = self.grid, [band.inventory() for band in self.bands]
        named = zip(self.feature_names, found, strict=True)
        return ArrayManifest(
            kind=self.kind,
            path=self.path,
            variable=None,
            shape=(*grid.shape, self.n_features),
            feature_axis=len(grid.shape),
            n_features=self.n_features,
            dtype=self.dtype.str,
            chunks=(*found[0].chunks, 1),
            cell_shape=grid.chunks,
            n_cells=len(grid),
            zarr_format=found[0].zarr_format,
            stored_bytes=sum(each.stored_bytes for each in found),
            decoded_bytes=grid.n_rows_total * self.n_features * self.dtype.itemsize,
            missing=tuple(f"{name}/{key}" for name, each in named for key in each.missing),
            fingerprint=together(each.fingerprint for each in found),
            checksums=all(each.checksums for each in found),
        )
