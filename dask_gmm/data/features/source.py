"""A source whose rows are features of another one's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_gmm.data.features.computing import Features, is_band
from dask_gmm.data.features.resolving import bands_of, resolve
from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Block, Cells
from dask_gmm.data.halo import Neighbourhood, Region, enlarged, within
from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sources import Source
from dask_gmm.data.sources.several import SeveralSource, members_of
from dask_gmm.recipes import Recipe


@dataclass(frozen=True)
class FeatureSource:
    """Features of a source, computed when a cell is read.

    Parameters
    ----------
    source : Source
        What is read.
    recipes : tuple of Recipe
    features : Features
        The recipes, resolved against the source.
    """

    source: Source
    recipes: tuple[Recipe, ...]
    features: Features

    @classmethod
    def of(cls, source: Source, recipes: Sequence[Recipe], where: str) -> FeatureSource:
        """Resolve recipes against a source; ``where`` names it in errors.

        Raises
        ------
        ConfigurationError
            If they do not fit.
        """
        bands = bands_of(where, source)
        steps = resolve(recipes, bands)
        features = Features(bands.names, steps, np.dtype(np.float64))
        kept = source.dtype if features.chosen is not None else _floating(source.dtype)
        return cls(source, tuple(recipes), replace(features, dtype=kept))

    @property
    def grid(self) -> Cells:
        """Of what is read."""
        return self.source.grid

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.features.names)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the features: as stored, where all are bands."""
        return self.features.dtype

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of the features."""
        return self.features.names

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """(D,): a band's own; else that of the features."""
        return tuple(
            self.dtype if number is None else self.source.feature_dtypes[number]
            for number in self._numbers
        )

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """(D,), of bands their own; what is computed has none."""
        return tuple(
            0.0 if number is None else self.source.feature_steps[number] for number in self._numbers
        )

    @property
    def geometry(self) -> Geometry | None:
        """Of what is read."""
        return self.source.geometry

    @property
    def beside_bytes(self) -> int:
        """What reading a cell takes beyond its features: bands with a halo, and planes of a tile.

        Of bands there are those of the columns of chunks that a cell reaches into, and laid side by
        side.
        """
        grid: Any = self.grid
        chunks = getattr(grid, "chunks", (grid.largest,))
        shape = grid.shape
        halo = self._halo
        pixels = math.prod(min(c + 2 * h, n) for c, h, n in zip(chunks, halo, shape, strict=True))
        row = self.source.n_features * self.source.dtype.itemsize + 10  # weights and flags
        below = -(-self.source.beside_bytes * pixels // grid.largest)
        return below + 4 * pixels * row + self.features.tile_bytes(chunks, shape)

    @property
    def _numbers(self) -> list[int | None]:
        """The band that a feature is, by number; None: it is computed."""
        bands = self.features.bands
        return [
            bands.index(name) if is_band(step) else None
            for step in self.features.steps
            for name in step.names
        ]

    @property
    def _halo(self) -> tuple[int, ...]:
        return self.features.halo or (0,) * len(self.grid.shape)

    def part(self, cells: Sequence[int]) -> FeatureSource:
        """Return what a task needs that reads only these cells."""
        return replace(self, source=self.source.part(cells))

    def where(self, first: int, last: int | None = None) -> str:
        """Name a cell, or a run of them, as the source does."""
        return self.source.where(first, last)

    def read(self, cell: int) -> Block:
        """Read one cell as rows of features.

        Raises
        ------
        InputDataError
            Naming file and chunk, if the cell or a neighbour cannot be read.
        """
        if any(self._halo):
            return self.read_region(self.grid.region(cell))
        return self._features(self.source.read(cell), *[self.grid.region(cell)] * 2)

    def read_region(self, region: Region) -> Block:
        """Read a region of the leading axes as rows of features, in its C order.

        Raises
        ------
        InputDataError
            As `read`.
        """
        outer, _ = enlarged(region, self._halo, self.grid.shape)
        source: Any = self.source  # of an array: a table has no regions
        return self._features(source.read_region(outer), outer, region)

    def reading(self) -> Callable[[int], Block]:
        """Return what reads cells in order, and keeps what the next one needs as well."""
        if not any(self._halo):
            return self.read
        near = self.neighbourhoods((0,) * len(self._halo))
        return lambda cell: near(cell).block

    def neighbourhoods(self, halo: Sequence[int]) -> Callable[[int], Neighbourhood]:
        """Return what reads cells, one after the other, with a halo of features around them."""
        source: Any = self.source
        together = tuple(own + more for own, more in zip(self._halo, halo, strict=True))
        read = source.neighbourhoods(together)

        def features(cell: int) -> Neighbourhood:
            inner, found = self.grid.region(cell), read(cell)
            outer, _ = enlarged(inner, halo, self.grid.shape)
            block = self._features(found.block, found.region, outer)
            return Neighbourhood(block, outer, within(inner, outer))

        return features

    def _features(self, block: Block, have: Region, want: Region) -> Block:
        chosen = self.features.chosen
        if chosen is not None:
            return replace(block, values=block.values[:, list(chosen)])
        return self.features.of(block, have, want)

    def manifest(self) -> InputManifest:
        """Describe what is read."""
        return self.source.manifest()


def with_features(source: Source, recipes: Sequence[Recipe] | None, where: str) -> Source:
    """Return a source of features, each of many inputs by itself; of no recipes, the source."""
    if not recipes:
        return source
    if isinstance(source, SeveralSource):
        pairs = zip(source.members, source.names, strict=True)
        members = [FeatureSource.of(each, recipes, name) for each, name in pairs]
        return replace(source, members=tuple(members))
    return FeatureSource.of(source, recipes, where)


def members_with_features(source: Source) -> tuple[FeatureSource, ...]:
    """Return the sources of features that a source is, or consists of."""
    return tuple(each for each in members_of(source) if isinstance(each, FeatureSource))


def bands_below(source: Source) -> Source:
    """Return the source that features are made of, of many inputs each; else the source itself."""
    if isinstance(source, SeveralSource):
        return replace(source, members=tuple(map(bands_below, source.members)))
    return source.source if isinstance(source, FeatureSource) else source


def looks_around(source: Source) -> bool:
    """Tell whether rows of a source depend on what lies around them."""
    if isinstance(source, SeveralSource):
        return any(map(looks_around, source.members))
    return isinstance(source, FeatureSource) and any(source.features.halo)


def _floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of features: float32 where it holds all that is stored."""
    return np.dtype(np.result_type(dtype.newbyteorder("="), np.float32))
