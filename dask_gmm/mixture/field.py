r"""A Markov random field over the classes of neighbouring pixels: smoothing that knows the mixture.

The prior of a labelling c is Potts', exp(beta sum over neighbours of w_ij [c_i = c_j]); with what
the mixture says of every pixel, p_i(k), mean-field's fixed point is

    q_i(k)  proportional to  p_i(k) exp(beta sum_j w_ij q_j(k)),    w_ij = finest step / distance,

which is iterated from q = p, all pixels at a time (G. Celeux, F. Forbes, N. Peyrard, "EM procedures
using mean field-like approximations for Markov model-based image segmentation", 2003). After T
iterations a pixel has heard of those T pixels away and of none beyond, so that an image with a
margin of T pixels around it gives what the whole would have given, bit for bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.exact import LOWEST_EXPONENT, exact, exp, fma, log

Planes: TypeAlias = npt.NDArray[np.float32]

#: Of every neighbourhood the number of axes, and along how many of them a neighbour may differ.
NEIGHBOURHOODS = {4: (2, 1), 8: (2, 2), 6: (3, 1), 26: (3, 3)}
#: Probabilities are held above this: no class is ever ruled out by the mixture alone.
LEAST = np.float32(1e-30)
#: Pixels of a row that are updated together; where none of them and of their neighbours has
#: changed they are left as they are.
TILE = 128


@dataclass(frozen=True)
class Field:
    """How strongly neighbours are to agree, and who is a neighbour.

    Attributes
    ----------
    strength : float
        beta: how much more likely, as a logarithm, a class is for a neighbour that surely has it.
    neighbourhood : {4, 8, 6, 26}
        In planes those with a common side (4) or corner (8); in volumes with a common face (6) or
        corner (26).
    iterations : int
    spacing : tuple of float
        Steps between pixels along the last two or three axes; empty: they are equal.
    """

    strength: float
    neighbourhood: int
    iterations: int
    spacing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.neighbourhood not in NEIGHBOURHOODS:
            raise ValueError(f"neighbourhood={self.neighbourhood}: allowed are 4, 8, 6 and 26")
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: allowed are numbers from 1")
        if not 0.0 <= self.strength < math.inf:
            raise ValueError(f"strength={self.strength}: allowed are finite numbers from 0")
        if self.spacing and len(self.spacing) != self.n_axes:
            raise ValueError(
                f"spacing has {len(self.spacing)} numbers; a neighbourhood of "
                f"{self.neighbourhood} needs {self.n_axes}"
            )
        if not all(0.0 < step < math.inf for step in self.spacing):
            raise ValueError(f"spacing={self.spacing}: allowed are finite numbers above 0")

    @property
    def n_axes(self) -> int:
        """How many of the last axes are those of space."""
        return NEIGHBOURHOODS[self.neighbourhood][0]

    def halo(self, n_axes: int) -> tuple[int, ...]:
        """Return how far a pixel hears, along each of ``n_axes`` leading axes."""
        return (0,) * (n_axes - self.n_axes) + (self.iterations,) * self.n_axes

    def directions(self) -> list[tuple[tuple[int, ...], float]]:
        """Return one of every two opposite neighbours: its offset, and its weight w_ij."""
        spacing = self.spacing or (1.0,) * self.n_axes
        most = NEIGHBOURHOODS[self.neighbourhood][1]
        offsets = itertools.product((0, 1, -1), repeat=self.n_axes)
        half = [o for o in offsets if 0 < sum(map(abs, o)) <= most and _leads(o)]
        half.sort(key=lambda o: (sum(map(abs, o)), o))
        return [
            (o, min(spacing) / math.hypot(*(i * s for i, s in zip(o, spacing, strict=True))))
            for o in half
        ]


def _leads(offset: tuple[int, ...]) -> bool:
    """Tell whether an offset's first step is forward."""
    return next(i for i in offset if i) > 0


def planes_for(K: int, shape: Sequence[int], field: Field) -> Planes:
    """Return zeros for probabilities, class by class, with a margin of one pixel around space.

    A pixel that is zero in every class is none: it hears nothing, and sends nothing.
    """
    n = len(shape) - field.n_axes
    return np.zeros((K, *shape[:n], *(length + 2 for length in shape[n:])), np.float32)


def inside(planes: Planes, field: Field) -> Planes:
    """Return the view (K, *shape) of planes without their margin."""
    rim: Any = (..., *(slice(1, -1),) * field.n_axes)
    return planes[rim]


def field_bytes(K: int, shape: Sequence[int], field: Field) -> int:
    """Return what smoothing takes for pixels of this shape: three times their probabilities."""
    n = len(shape) - field.n_axes
    return 12 * K * math.prod(shape[:n]) * math.prod(length + 2 for length in shape[n:])


def smooth(planes: Planes, field: Field) -> Planes:
    """Return the probabilities after the field's iterations, with the same margin.

    Parameters
    ----------
    planes : (K, ..., Y + 2, X + 2) or (K, ..., Z + 2, Y + 2, X + 2)
        What the mixture says, p: made by :func:`planes_for`, filled :func:`inside`.
    field : Field
    """
    K, n = len(planes), field.n_axes
    padded = planes.shape[-n:]
    steps = [math.prod(padded[i + 1 :]) for i in range(n)]
    offsets = [sum(i * s for i, s in zip(o, steps, strict=True)) for o, _ in field.directions()]
    weights = [field.strength * w for _, w in field.directions()]
    layers, rows = padded[0] - 2, 1 if n == 2 else padded[1] - 2
    shape = (layers, rows, padded[-1] - 2)
    strides = (steps[0], 0 if n == 2 else steps[1])
    p = planes.reshape(K, -1)
    a, b = np.zeros_like(p), np.zeros_like(p)
    for base in range(0, p.shape[1], math.prod(padded)):
        _iterate(
            (p, a, b),
            base + sum(steps),
            shape,
            strides,
            np.array(offsets),
            np.array(weights, np.float32),
            field.iterations,
        )
    return (b if field.iterations % 2 else a).reshape(planes.shape)


@exact
def _iterate(
    buffers: tuple[Planes, Planes, Planes],
    origin: int,
    shape: tuple[int, int, int],
    strides: tuple[int, int],
    offsets: npt.NDArray[np.intp],
    weights: Planes,
    iterations: int,
) -> None:
    """Do all iterations on one image or volume, as a wave: layer after layer, each in its turn.

    Iteration t of a layer follows that of t - 1 on the next layer, and what both need is still in
    the cache. From the first buffer, p, iterations go to the third, the second, the third ...
    """
    p, a, b = buffers
    layers, rows, columns = shape
    across, along = strides
    n_tiles = (columns + TILE - 1) // TILE
    # By iteration (its parity), layer, row and tile, each with a margin: whether anything changed.
    changed = np.zeros((2, layers + 2, rows + 2, n_tiles + 2), np.bool_)
    sums = np.empty((len(p), TILE), np.float32)
    for wave in range(layers + iterations - 1):
        for t in range(max(0, wave - layers + 1), min(iterations, wave + 1)):
            layer = wave - t
            before, now = changed[(t + 1) % 2], changed[t % 2]
            for row in range(rows):
                start = origin + layer * across + row * along
                for tile in range(n_tiles):
                    at = (layer + 1, row + 1, tile + 1)
                    if t >= 2 and not _any_around(before, at):
                        now[at] = False
                        continue
                    first = start + tile * TILE
                    n = min(TILE, columns - tile * TILE)
                    if t == 0:
                        now[at] = _update(p, p, b, first, n, offsets, weights, sums)
                    elif t % 2:
                        now[at] = _update(b, p, a, first, n, offsets, weights, sums)
                    else:
                        now[at] = _update(a, p, b, first, n, offsets, weights, sums)


@exact
def _any_around(changed: npt.NDArray[np.bool_], at: tuple[int, int, int]) -> bool:
    for i in range(at[0] - 1, at[0] + 2):
        for j in range(at[1] - 1, at[1] + 2):
            for k in range(at[2] - 1, at[2] + 2):
                if changed[i, j, k]:
                    return True
    return False


@exact
def _update(
    q: Planes,
    p: Planes,
    out: Planes,
    first: int,
    n: int,
    offsets: npt.NDArray[np.intp],
    weights: Planes,
    sums: Planes,
) -> bool:
    """Update n pixels from ``first`` on, from ``q`` to ``out``; tell whether a bit has changed."""
    K, M = len(q), len(offsets)
    end = first + n
    # The last row of sums is free until its own turn, and becomes the largest.
    highest, total = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for k in range(K):
        mine, s = q[k], sums[k]
        o, u = offsets[0], offsets[1]
        a, b = mine[first + o : end + o], mine[first - o : end - o]
        c, d = mine[first + u : end + u], mine[first - u : end - u]
        v, w = weights[0], weights[1]
        for i in range(n):
            s[i] = fma(w, c[i] + d[i], v * (a[i] + b[i]))
        for m in range(2, M):
            o, w = offsets[m], weights[m]
            a, b = mine[first + o : end + o], mine[first - o : end - o]
            for i in range(n):
                s[i] = fma(w, a[i] + b[i], s[i])
        if k == 0:
            for i in range(n):
                highest[i] = s[i]
                total[i] = np.float32(0.0)
        else:
            for i in range(n):
                highest[i] = max(s[i], highest[i])
    for k in range(K):
        s, mixture = sums[k], p[k, first:end]
        for i in range(n):
            s[i] = e = mixture[i] * exp(max(s[i] - highest[i], LOWEST_EXPONENT))
            total[i] += e
    for i in range(n):
        total[i] = np.float32(1.0) / total[i] if total[i] > np.float32(0.0) else np.float32(0.0)
    differ = np.int32(0)
    for k in range(K):
        s, before, after = sums[k], q[k, first:end], out[k, first:end]
        for i in range(n):
            after[i] = x = s[i] * total[i]
            differ |= np.int32(x != before[i])
    return differ != 0


def concluded(planes: Planes) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Return the most probable class (n,), from 1, and entropy over log K (n,), of planes (K, n).

    Of equally probable classes the first is taken. What is said of pixels that are none has no
    meaning.
    """
    K, n = planes.shape
    labels, uncertainty = np.empty(n, np.min_scalar_type(K)), np.empty(n, np.float32)
    _conclude(planes, labels, uncertainty, np.float32(1.0 / math.log(max(K, 2))))
    return labels, uncertainty


@exact
def _conclude(planes: Planes, labels: npt.NDArray[Any], entropies: Planes, unit: Any) -> None:
    highest = np.empty(TILE, np.float32)
    for first in range(0, len(labels), TILE):
        n = min(TILE, len(labels) - first)
        label, entropy = labels[first : first + n], entropies[first : first + n]
        for i in range(n):
            label[i], entropy[i], highest[i] = 0, np.float32(0.0), np.float32(-1.0)
        for k in range(len(planes)):
            q = planes[k, first : first + n]
            for i in range(n):
                label[i] = k + 1 if q[i] > highest[i] else label[i]
                highest[i] = max(q[i], highest[i])
                entropy[i] = fma(-q[i], log(max(q[i], LEAST)), entropy[i])
        for i in range(n):
            entropy[i] = max(entropy[i] * unit, np.float32(0.0))
