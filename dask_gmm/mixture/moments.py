"""Moments: weight, mean, scatter and extrema of rows, a monoid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from dask_gmm.mixture.arrays import AnyArray, Array
from dask_gmm.mixture.frame import NARROWEST, Frame

#: Rows that are looked at together: small enough for the cache, large enough for NumPy.
BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class Moments:
    """Weight, mean and scatter about the mean: a monoid under Chan's merge.

    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", COMPSTAT 1982.

    Attributes
    ----------
    weight : float
    mean : (D,)
    scatter : (D, D)
        Sum of w (x - mean)(x - mean)^T.
    low, high : (D,)
        Extrema; +inf and -inf where there are no rows.
    """

    weight: float
    mean: Array
    scatter: Array
    low: Array
    high: Array

    @classmethod
    def zero(cls, D: int) -> Moments:
        """Return the moments of no rows."""
        return cls(0.0, np.zeros(D), np.zeros((D, D)), np.full(D, np.inf), np.full(D, -np.inf))

    @classmethod
    def of(cls, x: Array, w: Array) -> Moments:
        """Take the moments of columns x (D, n), n >= 1, all finite, with weights w (n,)."""
        weight = float(w.sum())
        # Differences to one of the rows first: a mean of raw values rounds at their magnitude.
        pivot = x[:, :1]
        d = x - pivot
        step = (d @ w / weight)[:, None]
        d -= step
        scatter = (d * w) @ d.T
        return cls(weight, (pivot + step)[:, 0], scatter, x.min(axis=1), x.max(axis=1))

    def __add__(self, other: Moments) -> Moments:
        if not other.weight or not self.weight:
            return self if self.weight else other
        weight = self.weight + other.weight
        step = other.mean - self.mean
        share = other.weight / weight
        return Moments(
            weight,
            self.mean + share * step,
            self.scatter + other.scatter + (self.weight * share) * np.outer(step, step),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def deviations(self) -> Array:
        """Standard deviations (D,), rounded; 1 for a constant feature, which nothing can scale.

        Their last bits depend on the order of the sums. A start takes decisions by them (which row
        k-means draws, which split is kept), and must not take others for another chunking, or where
        moments come from counts: 32 bits are what every order agrees on.
        """
        variance = np.diagonal(self.scatter) / self.weight
        constant = (self.low == self.high) | ~(variance > NARROWEST**2)
        mantissa, exponent = np.frexp(np.sqrt(np.where(constant, 1.0, variance)))
        return np.ldexp(np.round(np.ldexp(mantissa, 32)), exponent - 32)

    def total_scatter(self, frame: Frame) -> Array:
        """Return the sum of w x x^T (D, D) about the origin of ``frame``, in its coordinates."""
        offset = (self.mean - frame.shift) / frame.scale
        about_mean = self.scatter / np.outer(frame.scale, frame.scale)
        return np.asarray(about_mean + self.weight * np.outer(offset, offset))


def moments_of_rows(rows: AnyArray, weights: Array) -> Moments:
    """Take the moments of rows (n, D), all finite, with weights (n,), a block at a time."""
    blocks = (slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK))
    taken = (Moments.of(rows[here].T.astype(np.float64), weights[here]) for here in blocks)
    return reduce(add, taken, Moments.zero(rows.shape[1]))
