"""Results of OME-Zarr as OME-Zarr 0.5: the finest level cell by cell, then its pyramid.

Coarser levels take every second pixel (nearest neighbour: classes have no mean). A block of cells
that makes one chunk of the coarsest level has all of its pyramid in itself, so every block is a
task, and every chunk of every level is written whole, by one task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.cells import cannot_write
from dask_gmm.data.sinks.zarr import ZarrSink
from dask_gmm.errors import ConfigurationError

#: Levels are made until the larger side of a plane is at most this, and not more than these.
_SIDE, _LEVELS = 256, 6
#: An axis is halved while its pixels are at most so much longer than the shortest.
_LONGER = 1.5
_NAMED = ("time", "space")


@dataclass(frozen=True)
class Pyramid:
    """The coarser levels of one output, and which blocks of them are to be made.

    Parameters
    ----------
    levels : tuple of ZarrSink
        Every level, the finest first; cells of all have the same chunks.
    halved : tuple of tuple of int
        Per level but the last and axis, 2 where the next one has half its length, else 1.
    blocks : tuple of int or None
        Chunks of the coarsest level; None: all.
    """

    levels: tuple[ZarrSink, ...] = field(repr=False)
    halved: tuple[tuple[int, ...], ...]
    blocks: tuple[int, ...] | None = None

    def batches(self) -> tuple[Pyramid, ...]:
        """Cut it into blocks, each the work of one task."""
        return tuple(replace(self, blocks=(i,)) for i in range(len(self.levels[-1].grid)))

    def join(self) -> None:
        """Make the coarser levels of the blocks, every chunk whole.

        Raises
        ------
        RunFailedError
            If the file system refuses.
        """
        top = self.levels[-1].grid
        for block in range(len(top)) if self.blocks is None else self.blocks:
            place = top.coordinates(block)
            for number in range(1, len(self.levels)):
                finer, level, steps = (
                    self.levels[number - 1],
                    self.levels[number],
                    self.halved[number - 1],
                )
                for cell in self._inside(place, number):
                    level.write(cell, finer.read_every(steps, level.grid.region(cell)))

    def discard_parts(self) -> None:
        """Leave all that is there: nothing was made on the way."""

    def _inside(self, place: tuple[int, ...], number: int) -> Iterator[int]:
        """Yield the cells of a level that a chunk of the coarsest one covers."""
        grid = self.levels[number].grid
        per_chunk = [math.prod(along) for along in zip(*self.halved[number:], strict=True)] or [
            1 for _ in grid.shape
        ]
        spans = [
            range(i * n, min((i + 1) * n, count))
            for i, n, count in zip(place, per_chunk, grid.counts, strict=True)
        ]
        for index in np.ndindex(*(len(span) for span in spans)):
            at = tuple(span[i] for span, i in zip(spans, index, strict=True))
            yield int(np.ravel_multi_index(at, grid.counts))


@dataclass(frozen=True)
class OmeZarrSink:
    """An image, or labels of one: a group with levels, of which tasks fill the finest.

    Make one with `OmeZarrSink.create`.
    """

    pyramid: Pyramid

    @classmethod
    def create(
        cls,
        path: Path,
        grid: Grid,
        trailing: tuple[int, ...],
        dtype: npt.DTypeLike,
        fill_value: float,
        geometry: Geometry | None,
        *,
        colors: Sequence[tuple[int, int, int]] = (),
        attributes: Mapping[str, Any] = MappingProxyType({}),
        again: bool = False,
    ) -> OmeZarrSink:
        """Create the group and the arrays of all levels; with ``again`` they are there already.

        Parameters
        ----------
        path, grid, trailing, dtype, fill_value, again
            As of `ZarrSink.create`. Trailing axes become the channels, in front of those of space.
        geometry : Geometry
            Of an input that is OME-Zarr.
        colors : sequence of (int, int, int), optional
            Of the classes 1, 2, ...: the image is one of labels.
        attributes : mapping, optional
            Of the array of every level.

        Raises
        ------
        ConfigurationError
            If the input has no axes of OME-Zarr, or less than two of them are space.
        RunFailedError
            If `path` exists or cannot be written.
        """
        axes = () if geometry is None else geometry.axes
        before = sum(axis.kind != "space" for axis in axes)
        if len(axes) - before < 2 or any(axis.kind == "space" for axis in axes[:before]):
            raise ConfigurationError(
                f"{path}: an image of OME-Zarr has two or three axes of space, and they are last, "
                f"but here the axes are {', '.join(str(axis.name) for axis in axes)}; set kind: "
                "zarr"
            )
        halved = tuple(_halvings(grid.shape, axes))
        grids = [grid, *_coarser(grid, halved)]
        component = "c" if all(axis.name != "c" for axis in axes) else "component"
        if not again:
            component_axes = [{"name": component, "type": "channel"}][: len(trailing)]
            _create_group(path, _metadata(path.name, axes, component_axes, before, halved, colors))
        levels = tuple(
            ZarrSink.create(
                path / str(i),
                each,
                trailing,
                dtype,
                fill_value,
                attributes,
                again=again,
                before=before if trailing else None,
                trailing_name=component,
            )
            for i, each in enumerate(grids)
        )
        return cls(Pyramid(levels, halved))

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Write one cell of the finest level, as `ZarrSink.write`."""
        return self.pyramid.levels[0].write(cell, values)

    def missing_cells(self) -> list[int]:
        """Return the cells of the finest level that are not there, in order."""
        return self.pyramid.levels[0].missing_cells()

    def to_finish(self) -> tuple[Pyramid, ...]:
        """Return the coarser levels, where there are any."""
        return (self.pyramid,) if self.pyramid.halved else ()


def _halvings(shape: tuple[int, ...], axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """Yield per level which axes the next one has at half the length: those of short pixels."""
    lengths = list(shape)
    steps = [abs(axis.step or 1.0) for axis in axes]
    space = [i for i, axis in enumerate(axes) if axis.kind == "space"]
    for _ in range(_LEVELS - 1):
        if max(lengths[i] for i in space[-2:]) <= _SIDE:
            return
        longest = _LONGER * min(steps[i] for i in space if lengths[i] > 1)
        chosen = {i for i in space if lengths[i] > 1 and steps[i] <= longest}
        yield tuple(2 if i in chosen else 1 for i in range(len(lengths)))
        for i in chosen:
            lengths[i] = -(-lengths[i] // 2)
            steps[i] *= 2


def _coarser(grid: Grid, halved: Sequence[tuple[int, ...]]) -> Iterator[Grid]:
    shape = grid.shape
    for each in halved:
        shape = tuple(-(-n // step) for n, step in zip(shape, each, strict=True))
        # Chunks are never cut to the array: those of a level must cover whole ones of the finer.
        yield Grid(shape, grid.chunks, grid.names)


def _create_group(path: Path, metadata: Mapping[str, Any]) -> None:
    try:
        zarr.create_group(str(path), zarr_format=3, attributes={"ome": dict(metadata)})
    except OSError as error:
        raise cannot_write(str(path), error) from error


def _metadata(
    name: str,
    axes: Sequence[Axis],
    component: Sequence[Mapping[str, str]],
    before: int,
    halved: Sequence[tuple[int, ...]],
    colors: Sequence[tuple[int, int, int]],
) -> dict[str, Any]:
    """Return what the specification, version 0.5, asks of a group's attribute `ome`."""
    named = [_axis(axis, component) for axis in axes]
    start = [axis.start or 0.0 for axis in axes]
    scale = [abs(axis.step or 1.0) for axis in axes]
    datasets = []
    for level in range(len(halved) + 1):
        along = [*scale[:before], *(1.0 for _ in component), *scale[before:]]
        offset = [*start[:before], *(0.0 for _ in component), *start[before:]]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": along}]
        if any(start):
            transforms.append({"type": "translation", "translation": offset})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
        if level < len(halved):
            scale = [a * b for a, b in zip(scale, halved[level], strict=True)]
    multiscale = {
        "name": name,
        "axes": [*named[:before], *component, *named[before:]],
        "datasets": datasets,
        "type": "nearest",
        "metadata": {"description": "every second pixel of the level before, by dask-gmm"},
    }
    found: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if colors:
        values = range(len(colors) + 1)
        rgba = [[0, 0, 0, 0], *([*color, 255] for color in colors)]
        found["image-label"] = {
            "version": "0.5",
            "colors": [{"label-value": v, "rgba": c} for v, c in zip(values, rgba, strict=True)],
            "properties": [
                {"label-value": v, "class": f"class {v}" if v else "masked"} for v in values
            ],
        }
    return found


def _axis(axis: Axis, component: Sequence[Mapping[str, str]]) -> dict[str, str]:
    told = {"name": str(axis.name)}
    if axis.kind in _NAMED:
        told["type"] = str(axis.kind)
    elif axis.name == "c" and not component:
        told["type"] = "channel"
    return told | ({} if axis.unit is None else {"unit": axis.unit})
