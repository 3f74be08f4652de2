"""Smoothing of what the mixture says, cell by cell: a field over the classes of neighbours.

A cell is read with a margin, and taken in tiles with margins of their own, so that memory is
bounded; a pixel hears of none beyond its margin, so that neither cells nor tiles can be told from
the result. What is counted of the mixture is counted inside, where every pixel is once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block, Grid
from dask_gmm.data.halo import Neighbourhood, Region, enlarged, leading_axis, lengths, within
from dask_gmm.data.priors import PriorMaps
from dask_gmm.data.sources import Source, SourceOptions
from dask_gmm.data.sources.openers import open_beside
from dask_gmm.data.sources.several import SeveralSource, members_of
from dask_gmm.data.stored import StoredArray
from dask_gmm.errors import ConfigurationError
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.field import (
    LEAST,
    NEIGHBOURHOODS,
    Field,
    concluded,
    inside,
    planes_for,
    smooth,
)
from dask_gmm.mixture.prediction import Prediction

if TYPE_CHECKING:
    from dask_gmm.run.config import Config

#: What the probabilities of a tile may take, unless its margins outgrow it.
TILE_BYTES = 192 << 20
#: Rows that are predicted together; a multiple of every kernel's micro-block.
ROWS = 1 << 16


@dataclass(frozen=True)
class SmoothingPlan:
    """The configuration's `smoothing.spatial`, as tasks need it.

    Attributes
    ----------
    strength, neighbourhood, iterations
        As configured.
    spacing : tuple of float or None
        Steps between pixels; None: as every input knows its own.
    prior : PriorMaps or None
        How probable the classes are, place by place.
    """

    strength: float
    neighbourhood: int
    iterations: int
    spacing: tuple[float, ...] | None = None
    prior: PriorMaps | None = None

    @classmethod
    def configured(cls, config: Config, source: Source) -> SmoothingPlan | None:
        """Return what a configuration asks for, over its source; None where nothing is smoothed.

        Raises
        ------
        ConfigurationError, InputDataError
            If there are prior maps, and these do not fit the source or cannot be opened.
        """
        if config.smoothing is None:
            return None
        asked = config.smoothing.spatial
        spacing = None if asked.spacing == "auto" else asked.spacing
        prior = _prior(config, source)
        return cls(asked.strength, asked.neighbourhood, asked.iterations, spacing, prior)

    def field_of(self, source: Source) -> Field:
        """Return the field over one input."""
        spacing = self.spacing
        if spacing is None:
            spacing = spacing_of(source, NEIGHBOURHOODS[self.neighbourhood][0])
        return Field(self.strength, self.neighbourhood, self.iterations, spacing)

    def raised(self, weights: Array) -> Prior:
        """Return what probabilities are multiplied by for prior maps to stand for the weights.

        Parameters
        ----------
        weights : (K,)
            Of the mixture, which its probabilities hold already.
        """
        maps = self.prior
        if maps is None:
            return lambda region: None
        known = np.maximum(weights, np.finfo(np.float32).tiny).astype(np.float32)[:, None]

        def ratios(region: Region) -> npt.NDArray[np.float32]:
            found = maps.read(region) / known
            return np.where(np.isnan(found), np.float32(1.0), found)

        return ratios

    def halo(self, source: Source) -> tuple[int, ...]:
        """Return the margin that cells are read with; inputs have equally many axes."""
        first = members_of(source)[0]
        return self.field_of(first).halo(len(first.grid.shape))

    def needs(self, source: Source, K: int) -> tuple[int, int]:
        """Return rows held for a cell with its margin, and the bytes of smoothing one, at most."""
        halo, found = self.halo(source), [(0, 0)]
        for grid in _grids(source):
            outer, axis = _outer(grid, halo), leading_axis(grid)
            # Columns of chunks along that axis: those that a cell reaches into are kept.
            chunk, held = grid.chunks[axis], 0
            if halo[axis] and grid.counts[axis] > 1:
                held = min((-(-2 * halo[axis] // chunk) + 2) * chunk, grid.shape[axis])
            rows = math.prod(outer)
            kept = rows // outer[axis] * held
            found.append((rows + kept, tile_bytes(grid.chunks, halo, grid.shape, K)))
        prior = 0 if self.prior is None else self.prior.beside_bytes + 24 * K * ROWS
        return max(a for a, _ in found), max(b for _, b in found) + prior

    def sentence(self, source: Source) -> str:
        """Say what will be done, for the plan."""
        halo = self.halo(source)
        grid = max(_grids(source), key=lambda each: each.largest)
        more = math.prod(_outer(grid, halo)) / math.prod(map(min, grid.chunks, grid.shape))
        return (
            f"{self.iterations} iterations among {self.neighbourhood} neighbours, strength "
            f"{self.strength:g}; chunks are read with {self.iterations} pixels around them, "
            f"{more:.2g} times their pixels"
        )


def of_smoothing(config: Config, source: Source, changed: int, used: int) -> dict[str, Any] | None:
    """Return what a manifest says of the field, as JSON values; None where there is none.

    Parameters
    ----------
    config : Config
    source : Source
    changed, used : int
        Pixels whose class the field has changed, and all that take part.
    """
    plan = SmoothingPlan.configured(config, source)
    if plan is None:
        return None
    spacing = plan.field_of(members_of(source)[0]).spacing
    return {
        "strength": plan.strength,
        "neighbourhood": plan.neighbourhood,
        "iterations": plan.iterations,
        "spacing": list(spacing) or None,
        "prior": plan.prior and [each.name for each in plan.prior.arrays],
        "changed": changed,
        "share": changed / used if used else None,
    }


def _prior(config: Config, source: Source) -> PriorMaps | None:
    """Open the prior maps that a configuration names."""
    opened = opened_prior(config)
    if not opened:
        return None
    key, sizes = "smoothing.spatial.prior", {K for _, K in config.model.kinds}
    if len(sizes) > 1:
        raise ConfigurationError(
            f"{key}: maps are of a known number of classes, but model.n_components is a list; "
            "choose one, or apply the model that was chosen with dask-gmm predict"
        )
    if isinstance(source, SeveralSource):
        raise ConfigurationError(
            f"{key}: maps lie over one image, but source.path names many; give each a run of its "
            "own (dask-gmm predict applies one model to them)"
        )
    return PriorMaps.over(opened, source.grid.shape, sizes.pop())


def opened_prior(config: Config) -> tuple[StoredArray, ...]:
    """Open the arrays of the prior maps that a configuration names: none, one, or several."""
    named = None if config.smoothing is None else config.smoothing.spatial.prior
    if named is None:
        return ()
    where = config.source
    options = SourceOptions(
        where.kind,
        where.path,
        missing_chunks=where.missing_chunks,
        storage_options=where.storage_options,
        directory=config.directory,
    )
    paths = (named,) if isinstance(named, str) else named
    return tuple(open_beside(path, options) for path in paths)


def spacing_of(source: Source, n: int) -> tuple[float, ...]:
    """Return the steps along the last n axes of an input; empty where it does not know them all.

    Steps in different units say nothing of distances.
    """
    axes = source.geometry.axes[-n:] if source.geometry is not None else ()
    steps = [abs(axis.step) for axis in axes if axis.step]
    if len(steps) < n or len({axis.unit for axis in axes}) > 1 or not np.isfinite(steps).all():
        return ()
    return tuple(steps)


def check_neighbours(config: Config, source: Source) -> None:
    """Refuse a field over what has no neighbours in so many directions.

    Raises
    ------
    ConfigurationError
    """
    if config.smoothing is None:
        return
    plan = SmoothingPlan.configured(config, source)
    assert plan is not None
    key, n = "smoothing.spatial.neighbourhood", NEIGHBOURHOODS[plan.neighbourhood][0]
    shapes = {len(member.grid.shape): member.grid.shape for member in members_of(source)}
    for shape in shapes.values():
        if len(shape) < n:
            what = "planes" if n == 2 else "volumes"
            raise ConfigurationError(
                f"{key}: found {plan.neighbourhood}, of {what}, but the leading shape of the input "
                f"(all axes but the features') is {shape}; "
                + ("allowed: 4 or 8" if len(shape) == 2 else "remove the section smoothing")
            )
    if len(shapes) > 1:
        raise ConfigurationError(
            f"{key}: the inputs have {' and '.join(map(str, sorted(shapes)))} leading axes; all "
            "that are smoothed by one run need equally many: give each a run of its own"
        )
    for member in members_of(source):
        axes = member.geometry.axes[-n:] if member.geometry is not None else ()
        if any(axis.kind == "time" for axis in axes):
            names = ", ".join(str(axis.name) for axis in axes)
            raise ConfigurationError(
                f"{key}: found {plan.neighbourhood}, but the last {n} axes of the input are "
                f"{names}, and moments are no neighbours in space; allowed: 4 or 8 where the last "
                "two axes are those of space"
            )


def _grids(source: Source) -> list[Grid]:
    """Return the grids of all inputs: a table, which has none of these, is not smoothed."""
    grids = (member.grid for member in members_of(source))
    return [grid for grid in grids if isinstance(grid, Grid)]


def _outer(grid: Grid, halo: Sequence[int]) -> list[int]:
    """Return the shape of the largest cell with its margin."""
    return [min(c + 2 * h, n) for c, h, n in zip(grid.chunks, halo, grid.shape, strict=True)]


def tile_shape(shape: Sequence[int], halo: Sequence[int], K: int) -> tuple[int, ...]:
    """Return the shape of the tiles that a region is smoothed in: halved until memory is bounded.

    An axis is not cut below four times its halo: margins would take more than what they surround.
    """
    tile, least = list(shape), [max(4 * h, 1) for h in halo]
    while _planes_bytes(tile, halo, K) > TILE_BYTES:
        may = [axis for axis, n in enumerate(tile) if n > least[axis]]
        if not may:
            break
        # Leading axes first: there a cut costs no margin.
        axis = next((a for a in may if not halo[a]), max(may, key=lambda a: tile[a] / least[a]))
        tile[axis] = max(-(-tile[axis] // 2), least[axis])
    return tuple(tile)


def tile_bytes(shape: Sequence[int], halo: Sequence[int], whole: Sequence[int], K: int) -> int:
    """Return what smoothing a cell of this shape takes at its peak, beside rows and results."""
    tile = tile_shape(shape, halo, K)
    held = [min(n + 2 * h, w) for n, h, w in zip(tile, halo, whole, strict=True)]
    return _planes_bytes(held, (0,) * len(held), K) + 8 * math.prod(tile)


def _planes_bytes(tile: Sequence[int], halo: Sequence[int], K: int) -> int:
    return 12 * K * math.prod(n + 2 * h + 2 for n, h in zip(tile, halo, strict=True))


def tiles(region: Region, shape: Sequence[int]) -> Iterator[Region]:
    """Cut a region into tiles of at most this shape."""
    cuts = [
        [slice(i, min(i + n, span.stop)) for i in range(span.start, span.stop, n)]
        for span, n in zip(region, shape, strict=True)
    ]
    yield from itertools.product(*cuts)


def layers(region: Region) -> Iterator[Region]:
    """Cut a region across its first axis that is long into parts of some :data:`ROWS` pixels."""
    shape = lengths(region)
    axis = 0
    while axis < len(shape) - 1 and math.prod(shape[axis + 1 :]) > ROWS:
        axis += 1
    step = max(1, ROWS // math.prod(shape[axis + 1 :]))
    yield from tiles(region, (*(1,) * axis, step, *shape[axis + 1 :]))


def shell(inner: Region, outer: Region) -> Iterator[Region]:
    """Cut what lies in ``outer`` and not in ``inner`` into boxes."""
    box = list(outer)
    for axis, (i, o) in enumerate(zip(inner, outer, strict=True)):
        for side in (slice(o.start, i.start), slice(i.stop, o.stop)):
            if side.stop > side.start:
                yield (*box[:axis], side, *box[axis + 1 :])
        box[axis] = i


#: From rows, and whether they are inside, to what the mixture says of them.
Predict = Callable[[Block, bool], Prediction]
#: From a region to what the probabilities in it are multiplied by.
Prior = Callable[[Region], npt.NDArray[np.float32] | None]


@dataclass(frozen=True)
class Smoothed:
    """What the field says of some pixels, a box of the cell.

    Attributes
    ----------
    region : tuple of slice
        In global coordinates.
    labels : (n,)
        The most probable class from 1; no meaning where not valid.
    probabilities : (n, K), float32
    uncertainty : (n,), float32
        Entropy over log K.
    log_density : (n,) or None
        Of the mixture, which the field leaves as it is.
    before : (n,)
        The mixture's own labels, from 1.
    valid : (n,)
    """

    region: Region
    labels: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32]
    uncertainty: npt.NDArray[np.float32]
    log_density: npt.NDArray[Any] | None
    before: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


def smoothed(
    around: Neighbourhood, cell: Region, field: Field, K: int, predict: Predict, prior: Prior
) -> Iterator[Smoothed]:
    """Yield what the field says of a cell, box by box.

    Parameters
    ----------
    around : Neighbourhood
        The cell as read, with the field's halo.
    cell : tuple of slice
        In global coordinates.
    field : Field
    K : int
    predict : callable
        What the mixture says of rows; those inside the cell are handed over once.
    prior : callable
        Of a region, what probabilities (K, n) are multiplied by; None: nothing.
    """
    halo = field.halo(len(cell))
    bounds = [span.stop for span in around.region]
    for tile in tiles(cell, tile_shape(lengths(cell), halo, K)):
        outer, _ = enlarged(tile, halo, bounds)
        outer = tuple(
            slice(max(a.start, b.start), a.stop) for a, b in zip(outer, around.region, strict=True)
        )
        planes = planes_for(K, lengths(outer), field)
        view = inside(planes, field)

        for box in (each for side in shell(tile, outer) for each in layers(side)):
            said = predict(around.part(within(box, around.region)), False)
            _fill(view[(slice(None), *within(box, outer))], said, prior(box))
        inner = list[tuple[Region, Prediction]]()
        for box in layers(tile):
            said = predict(around.part(within(box, around.region)), True)
            _fill(view[(slice(None), *within(box, outer))], said, prior(box))
            inner.append((box, replace(said, probabilities=None, uncertainty=None)))
        q = inside(smooth(planes, field), field)
        del planes, view
        for box, before in inner:
            assert before.labels is not None
            chosen = np.ascontiguousarray(q[(slice(None), *within(box, outer))]).reshape(K, -1)
            labels, uncertainty = concluded(chosen)
            yield Smoothed(
                region=box,
                labels=labels,
                probabilities=chosen.T,
                uncertainty=uncertainty,
                log_density=before.log_density,
                before=before.labels + before.labels.dtype.type(1),
                valid=before.valid,
            )


def _fill(
    view: npt.NDArray[np.float32], said: Prediction, prior: npt.NDArray[np.float32] | None
) -> None:
    """Write what the mixture says of a box into the planes: zeros where it is masked."""
    assert said.probabilities is not None
    p = np.maximum(said.probabilities.T, LEAST)
    if prior is not None:
        # Class after class, so that sums are the same bits wherever a pixel stands.
        p = np.ascontiguousarray(p) * prior
        p /= np.maximum(p.sum(axis=0), np.finfo(np.float32).tiny)
        p = np.maximum(p, LEAST)
    if not said.valid.all():
        p[:, ~said.valid] = 0.0
    view[...] = p.reshape(view.shape)
