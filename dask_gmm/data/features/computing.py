"""Features of a region, out of a block that holds it and its surroundings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.features.operations import Pointwise, evaluate
from dask_gmm.data.features.resolving import Step
from dask_gmm.data.grid import Block
from dask_gmm.data.halo import Region, lengths, within
from dask_gmm.recipes.expressions import Expression, Name

Plane = npt.NDArray[np.float64]
#: Pixels that are computed together: planes of so many stay in the cache more or less, and nothing
#: but the block itself grows with the size of a chunk.
TILE = 1 << 19
#: Planes of weights that a process keeps: tiles are of few shapes.
KEPT = 8


@dataclass(frozen=True)
class Features:
    """How features are made of bands.

    Parameters
    ----------
    bands : tuple of str
        Of the source.
    steps : tuple of Step
    dtype : numpy.dtype
        Of the features.
    """

    bands: tuple[str, ...]
    steps: tuple[Step, ...]
    dtype: np.dtype[Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""
        return tuple(name for step in self.steps for name in step.names)

    @property
    def halo(self) -> tuple[int, ...]:
        """How far any feature looks, along every leading axis."""
        return tuple(max(each) for each in zip(*(step.halo for step in self.steps), strict=True))

    @property
    def chosen(self) -> tuple[int, ...] | None:
        """The bands by number, where all features are bands as they are; else None."""
        if not all(is_band(step) for step in self.steps):
            return None
        return tuple(self.bands.index(name) for name in self.names)

    @property
    def used(self) -> tuple[int, ...]:
        """The bands that any feature is made of, by number."""
        names = {n for step in self.steps for i in step.inputs for n in Expression("", i).names}
        return tuple(i for i, name in enumerate(self.bands) if name in names)

    def tile_bytes(self, chunks: Sequence[int], shape: Sequence[int]) -> int:
        """Return what computing one tile takes: every plane, and some while one is made."""
        whole = tuple(slice(0, min(c, n)) for c, n in zip(chunks, shape, strict=True))
        halo = self.halo or (0,) * len(shape)
        sizes = (
            min(span.stop - span.start + 2 * h, n)
            for span, h, n in zip(next(_tiles(whole, halo)), halo, shape, strict=True)
        )
        return 8 * math.prod(sizes) * (len(self.used) + len(self.names) + 8 + KEPT)

    def of(self, block: Block, have: Region, want: Region) -> Block:
        """Compute the features of a region.

        Parameters
        ----------
        block : Block
            Bands of a larger region, as rows.
        have, want : tuple of slice
            That region, and the one that is asked for, in global coordinates. What lies between
            them is the halo, but at the image's borders.

        Returns
        -------
        Block
            Rows of ``want``; NaN where a feature has no value.
        """
        shape, inner = lengths(have), within(want, have)
        values = np.empty((len(self.names), *lengths(want)), self.dtype)
        planes = block.values.T.reshape(-1, *shape)
        valid = None if block.valid is None else block.valid.reshape(shape)
        halo = self.halo or (0,) * len(shape)
        for tile in _tiles(want, halo):
            around = tuple(
                slice(max(span.start - h, whole.start), min(span.stop + h, whole.stop))
                for span, h, whole in zip(tile, halo, have, strict=True)
            )
            crop = within(tile, around)
            found = self._tile(planes, valid, within(around, have), around)
            target = within(tile, want)
            for place, plane in zip(values, found, strict=True):
                with np.errstate(over="ignore", invalid="ignore"):
                    place[target] = plane[crop]
        weights, flag, nodata = (
            None if each is None else np.ascontiguousarray(each.reshape(shape)[inner]).ravel()
            for each in (block.weights, block.valid, block.nodata)
        )
        return Block(values.reshape(len(values), -1).T, weights, flag, nodata)

    def _tile(
        self,
        bands: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_] | None,
        here: Region,
        region: Region,
    ) -> list[Plane]:
        """Compute all features of one tile, borders included."""
        made = dict[str, Plane]()
        hidden = None if valid is None or valid[here].all() else ~valid[here]
        for number in self.used:
            plane = np.array(bands[number][here], dtype=np.float64, order="C")
            if hidden is not None:
                plane[hidden] = np.nan
            made[self.bands[number]] = plane
        found = list[Plane]()
        for step in self.steps:
            with np.errstate(all="ignore"):  # what has no value is NaN, and counted later
                inputs = [np.asarray(evaluate(each, made)) for each in step.inputs]
                planes = step.operation(inputs, region)
            if not is_band(step):
                made |= zip(step.names, planes, strict=True)
            found += planes
        return found


def is_band(step: Step) -> bool:
    """Tell whether a step hands a band on as it is."""
    same = isinstance(step.operation, Pointwise) and step.operation.kind == "band"
    return same and all(isinstance(each, Name) for each in step.inputs)


def _tiles(region: Region, halo: Sequence[int]) -> Iterator[Region]:
    """Cut a region into pieces that have about `TILE` pixels with their halos.

    The axis is halved along which that costs least; none is cut to less than a few halos.
    """
    sizes = list(lengths(region))
    while math.prod(n + 2 * h for n, h in zip(sizes, halo, strict=True)) > TILE:
        axis = max(range(len(sizes)), key=lambda i: sizes[i] / (2 * halo[i] + 1))
        if sizes[axis] < max(4 * halo[axis], 2):
            break
        sizes[axis] = -(-sizes[axis] // 2)
    starts = (range(span.start, span.stop, size) for span, size in zip(region, sizes, strict=True))
    for corner in product(*starts):
        yield tuple(
            slice(start, min(start + size, span.stop))
            for start, size, span in zip(corner, sizes, region, strict=True)
        )
