"""Reading a cell with a margin around it, its *halo*: what an operator on neighbours looks at.

A halo is clipped at the border of the image, and nowhere else: what an operator does where there
are no neighbours is its own, and the same for every chunking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block, Grid

Region = tuple[slice, ...]


class RegionSource(Protocol):
    """A source on a regular grid that reads any region of its leading axes."""

    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def n_features(self) -> int: ...  # noqa: D102
    def read_region(self, region: Region) -> Block: ...  # noqa: D102


@dataclass(frozen=True)
class Neighbourhood:
    """A cell and what lies around it.

    Parameters
    ----------
    block : Block
        Rows of the enlarged region, in its C order.
    region : tuple of slice
        The enlarged region, in global coordinates.
    crop : tuple of slice
        The cell within the enlarged region.
    """

    block: Block
    region: Region
    crop: Region

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the enlarged region."""
        return lengths(self.region)

    def cropped(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return of rows of the enlarged region (m, ...) those of the cell (n, ...), as a copy."""
        inner = rows.reshape(*self.shape, *rows.shape[1:])[self.crop]
        return np.ascontiguousarray(inner).reshape(-1, *rows.shape[1:])

    def cell(self) -> Block:
        """Return the rows of the cell alone."""
        return self.part(self.crop)

    def part(self, region: Region) -> Block:
        """Return the rows of a region within the enlarged one."""
        if lengths(region) == self.shape:
            return self.block
        block = self.block
        planes = block.values.T.reshape(-1, *self.shape)[(slice(None), *region)]
        values = np.ascontiguousarray(planes).reshape(len(planes), -1).T
        weights, valid, nodata = (
            each if each is None else np.ascontiguousarray(each.reshape(self.shape)[region]).ravel()
            for each in (block.weights, block.valid, block.nodata)
        )
        return Block(values, weights, valid, nodata, block.failure)


def enlarged(region: Region, halo: Sequence[int], shape: Sequence[int]) -> tuple[Region, Region]:
    """Return a region with a halo (one length per axis) around it, and the region within that.

    The halo ends at the border of the image.
    """
    outer = tuple(
        slice(max(span.start - h, 0), min(span.stop + h, n))
        for span, h, n in zip(region, halo, shape, strict=True)
    )
    return outer, within(region, outer)


def within(inner: Region, outer: Region) -> Region:
    """Return the slices that cut a region out of a larger one."""
    return tuple(
        slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True)
    )


def lengths(region: Region) -> tuple[int, ...]:
    """Return the shape of a region."""
    return tuple(span.stop - span.start for span in region)


class Neighbourhoods:
    """Reads cells with a halo, one after the other, and keeps what the next one needs as well.

    Cells are best asked for in rising order, as a leaf has them: along the axis that changes
    fastest (the last one that is cut at all) every column of chunks is then read once. What lies
    beside that axis is read once for every row of chunks that it reaches into: a halo shorter than
    a chunk has the chunks of a plane decoded three times, of a volume nine times, and where chunks
    are whole rows, once.

    Parameters
    ----------
    source : RegionSource
        Everything is read through it, with all its checks.
    halo : sequence of int
        Per leading axis.
    """

    def __init__(self, source: RegionSource, halo: Sequence[int]) -> None:
        self._source, self._grid = source, source.grid
        self._halo = tuple(halo)
        self._axis = leading_axis(self._grid)
        self._beside: Region | None = None
        self._held = dict[int, Block]()

    def __call__(self, cell: int) -> Neighbourhood:
        """Read one cell with its halo.

        Raises
        ------
        InputDataError
            Naming file and chunk, if the cell or a neighbour cannot be read.
        """
        inner = self._grid.region(cell)
        outer, crop = enlarged(inner, self._halo, self._grid.shape)
        if self._halo[self._axis] == 0 or self._grid.counts[self._axis] == 1:
            return Neighbourhood(self._source.read_region(outer), outer, crop)
        beside = outer[: self._axis] + outer[self._axis + 1 :]
        if beside != self._beside:
            self._held, self._beside = {}, beside
        along, chunk = outer[self._axis], self._grid.chunks[self._axis]
        own = inner[self._axis].start // chunk
        pieces = range(along.start // chunk, -(-along.stop // chunk))
        self._held = {k: held for k, held in self._held.items() if k in pieces}
        parts = [self._part(k, own, outer) for k in pieces]
        return Neighbourhood(_joined(parts, outer, self._axis), outer, crop)

    def _part(self, number: int, own: int, outer: Region) -> tuple[Block, Region]:
        """Return a column of chunks, as much of it as there is, and its region."""
        chunk, axis = self._grid.chunks[self._axis], self._axis
        stop = min((number + 1) * chunk, self._grid.shape[axis])
        whole = (*outer[:axis], slice(number * chunk, stop), *outer[axis + 1 :])
        if number not in self._held:
            if number < own:  # Only the end of it is needed, and no cell to come needs more.
                part = slice(max(number * chunk, outer[axis].start), stop)
                region = (*outer[:axis], part, *outer[axis + 1 :])
                return self._source.read_region(region), region
            self._held[number] = self._source.read_region(whole)
        return self._held[number], whole


def leading_axis(grid: Grid) -> int:
    """Return the axis along which consecutive cells follow each other."""
    return max((axis for axis, count in enumerate(grid.counts) if count > 1), default=0)


def _joined(parts: Sequence[tuple[Block, Region]], outer: Region, axis: int) -> Block:
    """Lay columns of chunks side by side, as far as they lie in a region."""
    shape, first = lengths(outer), parts[0][0]
    planes = np.empty((first.values.shape[1], *shape), first.values.dtype.newbyteorder("="))
    flags = {
        name: np.empty(shape, getattr(first, name).dtype)
        for name in ("weights", "valid", "nodata")
        if getattr(first, name) is not None
    }
    for block, region in parts:
        low = max(region[axis].start, outer[axis].start)
        high = min(region[axis].stop, outer[axis].stop)
        here = (*region[:axis], slice(low, high), *region[axis + 1 :])
        source, target = within(here, region), within(here, outer)
        each = (slice(None),)
        planes[each + target] = block.values.T.reshape(-1, *lengths(region))[each + source]
        for name, flag in flags.items():
            flag[target] = getattr(block, name).reshape(lengths(region))[source]
    rows: dict[str, Any] = {name: flag.ravel() for name, flag in flags.items()}
    return Block(planes.reshape(len(planes), math.prod(shape)).T, **rows)
