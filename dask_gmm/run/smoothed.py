"""A field over the cells of an array: what the mixture says of each, smoothed.

A cell is read with a margin, and taken in tiles with margins of their own, so that memory is
bounded; a pixel hears of none beyond its margin, so that neither cells nor tiles can be told from
the result. What is counted of the mixture is counted inside, where every pixel is once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block
from dask_gmm.data.halo import Neighbourhood, Region, enlarged, lengths, within
from dask_gmm.mixture.field import LEAST, Field, concluded, inside, planes_for, smooth
from dask_gmm.mixture.prediction import Prediction

#: What the probabilities of a tile may take, unless its margins outgrow it.
TILE_BYTES = 192 << 20
#: Rows that are predicted together; a multiple of every kernel's micro-block.
ROWS = 1 << 16


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
