"""What a configuration asks of a field over the classes of neighbours, and what that needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Grid
from dask_gmm.data.halo import Region, leading_axis
from dask_gmm.data.priors import PriorMaps
from dask_gmm.data.sources import Source, SourceOptions
from dask_gmm.data.sources.openers import open_beside
from dask_gmm.data.sources.several import SeveralSource, members_of
from dask_gmm.data.stored import StoredArray
from dask_gmm.errors import ConfigurationError
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.field import NEIGHBOURHOODS, Field
from dask_gmm.run.smoothed import ROWS, Prior, tile_bytes

if TYPE_CHECKING:
    from dask_gmm.run.config import Config
    from dask_gmm.run.segmented import Counted


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


def of_smoothing(
    plan: SmoothingPlan | None, source: Source, total: Counted
) -> dict[str, Any] | None:
    """Return what a manifest says of the field, as JSON values; None where there is none.

    Parameters
    ----------
    plan : SmoothingPlan or None
    source : Source
    total : Counted
        Of all inputs.
    """
    if plan is None:
        return None
    spacing = plan.field_of(members_of(source)[0]).spacing
    return {
        "strength": plan.strength,
        "neighbourhood": plan.neighbourhood,
        "iterations": plan.iterations,
        "spacing": list(spacing) or None,
        "prior": plan.prior and [each.name for each in plan.prior.arrays],
        "changed": total.changed,
        "share": total.changed / total.used if total.used else None,
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
    key, asked = "smoothing.spatial.neighbourhood", config.smoothing.spatial.neighbourhood
    n = NEIGHBOURHOODS[asked][0]
    shapes = {len(member.grid.shape): member.grid.shape for member in members_of(source)}
    for shape in shapes.values():
        if len(shape) < n:
            what = "planes" if n == 2 else "volumes"
            raise ConfigurationError(
                f"{key}: found {asked}, of {what}, but the leading shape of the input "
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
                f"{key}: found {asked}, but the last {n} axes of the input are "
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
