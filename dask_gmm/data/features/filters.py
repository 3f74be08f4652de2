"""Filters of a neighbourhood, whose value at a pixel depends on its neighbours alone.

Every one is a direct sum, or an extremum, over a fixed radius, taken axis by axis in a fixed order:
where a block begins changes no bit. (A running sum would: it carries rounding along.) Pixels that
are NaN or infinite, and those beyond the image, are no neighbours: sums are divided by the weights
of those that are (normalised convolution), and a pixel that has no value itself gets none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d, maximum_filter1d, minimum_filter1d

from dask_gmm.data.features.computing import KEPT

Plane = npt.NDArray[np.float64]
#: Of a Gaussian this many standard deviations are summed, as SciPy does by default.
TRUNCATE = 4.0


def gaussian_radius(sigma: float) -> int:
    """Return how far a Gaussian reaches, in pixels."""
    return int(TRUNCATE * sigma + 0.5)


def gaussian(plane: Plane, sigmas: Sequence[float]) -> Plane:
    """Return the Gaussian mean of the neighbours that have values."""
    return _Normalised(plane, sigmas).mean


def gradient(plane: Plane, sigmas: Sequence[float]) -> Plane:
    """Return the length of the Gaussian mean's gradient, per pixel.

    It is the derivative of the quotient, so that neither masks nor borders make a slope.
    """
    field = _Normalised(plane, sigmas)
    squares = [slope * slope for slope, _ in field.derivatives(curved=False)]
    return np.sqrt(_sum(squares))


def laplacian(plane: Plane, sigmas: Sequence[float]) -> Plane:
    """Return the sum of the Gaussian mean's second derivatives, per pixel squared."""
    field = _Normalised(plane, sigmas)
    return _sum([curvature for _, curvature in field.derivatives(curved=True)])


def mean(plane: Plane, radii: Sequence[int]) -> Plane:
    """Return the mean over a box of 2 radii + 1 pixels along every axis."""
    boxes, (values, known) = _boxes(radii), _split(plane)
    return _where_known(_correlated(values, boxes) / _weight(known, plane.shape, boxes), known)


def std(plane: Plane, radii: Sequence[int]) -> Plane:
    """Return the standard deviation over a box; exactly 0 where all values are equal."""
    boxes, (values, known) = _boxes(radii), _split(plane)
    weight = _weight(known, plane.shape, boxes)
    average = _correlated(values, boxes) / weight
    square = _correlated(values * values, boxes) / weight
    variance = square - average * average
    # Below this there is nothing but the rounding of the two sums.
    taps = math.prod(2 * r + 1 for r in radii)
    variance[variance <= square * (4 * taps * np.finfo(np.float64).eps)] = 0.0
    return _where_known(np.sqrt(variance), known)


def value_range(plane: Plane, radii: Sequence[int]) -> Plane:
    """Return the largest less the smallest value in a box."""
    known = _known(plane)
    high = low = plane
    if known is not None:
        high, low = np.where(known, plane, -np.inf), np.where(known, plane, np.inf)
    for axis, radius in enumerate(radii):
        if radius:
            size, how = 2 * radius + 1, {"axis": axis, "mode": "constant"}
            high = maximum_filter1d(high, size, cval=-np.inf, **how)
            low = minimum_filter1d(low, size, cval=np.inf, **how)
    with np.errstate(invalid="ignore"):
        return _where_known(high - low, known)


class _Normalised:
    """The Gaussian mean S = N / D of the values that are known, and its derivatives.

    N is the sum of weighted values, D that of weights; S' = (N' - S D') / D, and
    S'' = (N'' - 2 S' D' - S D'') / D.
    """

    def __init__(self, plane: Plane, sigmas: Sequence[float]) -> None:
        self._sigmas = tuple(sigmas)
        self._values, self._known = _split(plane)
        self._shape = plane.shape
        none = (0,) * len(self._sigmas)
        self._D = self._weighted(none)
        self.mean = _where_known(self._summed(none) / self._D, self._known)

    def derivatives(self, curved: bool) -> list[tuple[Plane, Plane]]:
        """Return along every axis that is smoothed the first and (if asked) second derivative."""
        found = []
        for axis, sigma in enumerate(self._sigmas):
            if not sigma:
                continue
            first = self._orders(axis, 1)
            D1 = self._weighted(first)
            slope = (self._summed(first) - self.mean * D1) / self._D
            curvature = slope
            if curved:
                second = self._orders(axis, 2)
                D2 = self._weighted(second)
                curvature = self._summed(second) - 2.0 * slope * D1 - self.mean * D2
                curvature /= self._D
            found.append((slope, curvature))
        return found

    def _orders(self, axis: int, order: int) -> tuple[int, ...]:
        return tuple(order if i == axis else 0 for i in range(len(self._sigmas)))

    def _kernels(self, orders: Sequence[int]) -> list[Plane | None]:
        pairs = zip(self._sigmas, orders, strict=True)
        return [_gaussian_kernel(sigma, order) if sigma else None for sigma, order in pairs]

    def _summed(self, orders: Sequence[int]) -> Plane:
        return _correlated(self._values, self._kernels(orders))

    def _weighted(self, orders: Sequence[int]) -> Plane:
        return _weight(self._known, self._shape, self._kernels(orders))


def _gaussian_kernel(sigma: float, order: int) -> Plane:
    """Return the weights of a Gaussian, or of its first or second derivative, by offset."""
    radius = gaussian_radius(sigma)
    offsets = range(-radius, radius + 1)
    weights = [math.exp(-0.5 * (x / sigma) ** 2) for x in offsets]
    total = math.fsum(weights)
    factor = {
        0: lambda x: 1.0,
        1: lambda x: x / sigma**2,
        2: lambda x: (x * x / sigma**2 - 1.0) / sigma**2,
    }[order]
    return np.array([w / total * factor(x) for w, x in zip(weights, offsets, strict=True)])


def _boxes(radii: Sequence[int]) -> list[Plane | None]:
    return [np.ones(2 * radius + 1) if radius else None for radius in radii]


def _known(plane: Plane) -> npt.NDArray[np.bool_] | None:
    """Return which pixels have a value; None: all."""
    known = np.isfinite(plane)
    return None if known.all() else known


def _split(plane: Plane) -> tuple[Plane, npt.NDArray[np.bool_] | None]:
    """Return a plane with 0 for what is not known, and which pixels are."""
    known = _known(plane)
    return (plane if known is None else np.where(known, plane, 0.0)), known


def _where_known(plane: Plane, known: npt.NDArray[np.bool_] | None) -> Plane:
    return plane if known is None else np.where(known, plane, np.nan)


def _correlated(plane: Plane, kernels: Sequence[Plane | None]) -> Plane:
    """Sum weighted neighbours, axis by axis; beyond the border there is 0."""
    for axis, kernel in enumerate(kernels):
        if kernel is not None:
            plane = correlate1d(plane, kernel, axis=axis, mode="constant", cval=0.0)
    return plane


def _weight(
    known: npt.NDArray[np.bool_] | None, shape: Sequence[int], kernels: Sequence[Plane | None]
) -> Plane:
    """Return the sum of the weights of the neighbours that have values.

    Where all have, it depends on how near the borders are alone: a small array has all of these
    numbers, and they are the same bits as the sums over the whole.
    """
    if known is not None:
        weight = _correlated(known.astype(np.float64), kernels)
        weight[~known] = 1.0
        return weight
    keys = tuple(None if kernel is None else kernel.tobytes() for kernel in kernels)
    return _weight_of_all(tuple(shape), keys)


@lru_cache(maxsize=KEPT)
def _weight_of_all(shape: tuple[int, ...], kernels: tuple[bytes | None, ...]) -> Plane:
    taps = [None if each is None else np.frombuffer(each) for each in kernels]
    places = [
        _distances(n, 0 if kernel is None else len(kernel) // 2)
        for n, kernel in zip(shape, taps, strict=True)
    ]
    small = _correlated(np.ones([int(each.max()) + 1 for each in places]), taps)
    found = small[np.ix_(*places)]
    found.flags.writeable = False
    return found


def _distances(n: int, radius: int) -> npt.NDArray[np.intp]:
    """Map n pixels to the few that differ in how near the borders are."""
    places = np.arange(n)
    if n <= 2 * radius + 1:
        return places
    inner = np.minimum(places, radius)
    return np.where(places >= n - radius, places - n + 2 * radius + 1, inner)


def _sum(planes: Sequence[Plane]) -> Plane:
    total = planes[0]
    for plane in planes[1:]:
        total = total + plane
    return total
