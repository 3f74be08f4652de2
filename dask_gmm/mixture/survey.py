"""The survey: one reading before EM that learns all that a start, a frame and a floor need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.frame import NARROWEST, Frame
from dask_gmm.mixture.kernel import check_finite
from dask_gmm.mixture.rows import RowBlock

#: Rows that are looked at together: small enough for the cache, large enough for NumPy.
_BLOCK = 16_384


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
        """Standard deviations (D,); 1 for a constant feature, which nothing can scale."""
        variance = np.diagonal(self.scatter) / self.weight
        constant = (self.low == self.high) | ~(variance > NARROWEST**2)
        return np.sqrt(np.where(constant, 1.0, variance))

    def total_scatter(self, frame: Frame) -> Array:
        """Return the sum of w x x^T (D, D) about the origin of ``frame``, in its coordinates."""
        offset = (self.mean - frame.shift) / frame.scale
        about_mean = self.scatter / np.outer(frame.scale, frame.scale)
        return np.asarray(about_mean + self.weight * np.outer(offset, offset))


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows with the smallest hashes of their global index: the same rows for any chunking.

    Attributes
    ----------
    capacity : int
        Rows kept at most.
    hashes : (m,)
        In rising order.
    rows : (m, D)
        In original units.
    weights : (m,)
    """

    capacity: int
    hashes: npt.NDArray[np.uint64]
    rows: Array
    weights: Array

    @classmethod
    def zero(cls, capacity: int, D: int) -> Sample:
        """Return the sample of no rows."""
        return cls(capacity, np.empty(0, np.uint64), np.empty((0, D)), np.empty(0))

    def __add__(self, other: Sample) -> Sample:
        if self.capacity != other.capacity:
            raise ValueError("samples of different capacity cannot be added")
        if not len(other.hashes):
            return self
        return self.merged(other.hashes, other.rows, other.weights)

    def merged(self, hashes: npt.NDArray[np.uint64], rows: Array, weights: Array) -> Sample:
        """Return the sample of these rows and of the others."""
        hashes = np.concatenate([self.hashes, hashes])
        order = np.argsort(hashes, kind="stable")[: self.capacity]
        return Sample(
            self.capacity,
            hashes[order],
            np.concatenate([self.rows, rows])[order],
            np.concatenate([self.weights, weights])[order],
        )

    def first(self, n: int) -> Sample:
        """Return the sample of at most n rows that the same data would have given."""
        return Sample(n, self.hashes[:n], self.rows[:n], self.weights[:n])

    @property
    def threshold(self) -> np.uint64:
        """A row whose hash is not below this cannot enter."""
        if len(self.hashes) < self.capacity:
            return np.uint64(np.iinfo(np.uint64).max)
        return self.hashes[-1] if self.capacity else np.uint64(0)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one reading found.

    Attributes
    ----------
    n_rows : int
        Rows read.
    n_masked : int
        Rows left out by the source (mask, nodata) or by a weight of zero.
    n_nodata : int
        Those of them that the mask keeps, but that hold a value standing for no data.
    n_invalid : int
        Further rows left out because a value is NaN, infinite, or absurdly far.
    first_invalid : int or None
        Global index of the first of these.
    moments : Moments
    sample : Sample
    """

    n_rows: int
    n_masked: int
    n_invalid: int
    first_invalid: int | None
    moments: Moments
    sample: Sample
    n_nodata: int = 0

    @classmethod
    def zero(cls, capacity: int, D: int) -> Survey:
        """Return the survey of no rows."""
        return cls(0, 0, 0, None, Moments.zero(D), Sample.zero(capacity, D))

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.n_rows + other.n_rows,
            self.n_masked + other.n_masked,
            self.n_invalid + other.n_invalid,
            _first(self.first_invalid, other.first_invalid),
            self.moments + other.moments,
            self.sample + other.sample,
            self.n_nodata + other.n_nodata,
        )

    @property
    def n_used(self) -> int:
        """Rows that take part."""
        return self.n_rows - self.n_masked - self.n_invalid


@dataclass(frozen=True)
class SurveyPlan:
    """What a survey is to draw.

    Attributes
    ----------
    n_features : int
    capacity : int
        Rows sampled at most: those with the smallest hashes of (``seed``, row index).
    seed : int
    n_rows : int, optional
        Rows there are. When known, hashes above four times the expected largest are not looked at,
        so that a leaf hands on few rows; the sample is smaller where most rows are masked.
    """

    n_features: int
    capacity: int
    seed: int
    n_rows: int | None = None

    @property
    def ceiling(self) -> np.uint64:
        """No row whose hash is above this is sampled."""
        share = 1.0 if self.n_rows is None else 4.0 * self.capacity / self.n_rows
        return np.uint64(2**64 - 1 if share >= 1.0 else int(share * 2**64))


def survey(blocks: Iterable[RowBlock], plan: SurveyPlan) -> Survey:
    """Survey ``blocks``.

    Parameters
    ----------
    blocks : iterable of RowBlock
    plan : SurveyPlan
    """
    total = Survey.zero(plan.capacity, plan.n_features)
    for block in blocks:
        index = block.row_index()
        total = replace(total, n_nodata=total.n_nodata + block.n_nodata)
        for start in range(0, len(block.values), _BLOCK):
            here = slice(start, start + _BLOCK)
            total = total + _surveyed(block, here, index[here], plan, total.sample.threshold)
    return total


def _surveyed(
    block: RowBlock,
    here: slice,
    index: npt.NDArray[np.uint64],
    plan: SurveyPlan,
    threshold: np.uint64,
) -> Survey:
    """Survey some rows of a block; rows whose hash is not below ``threshold`` are not sampled."""
    x = np.ascontiguousarray(block.values[here].T, dtype=np.float64)
    n = x.shape[1]
    taken = np.ones(n, bool) if block.valid is None else np.array(block.valid[here], bool)
    w = np.ones(n) if block.weights is None else np.array(block.weights[here], np.float64)
    taken &= w > 0
    finite = taken.copy()
    check_finite(x, finite)
    n_taken, n_finite = int(taken.sum()), int(finite.sum())
    first_invalid = int(index[taken & ~finite][0]) if n_finite < n_taken else None
    if n_finite < n:
        x, w, index = x[:, finite], w[finite], index[finite]
    moments, sample = Moments.zero(plan.n_features), Sample.zero(plan.capacity, plan.n_features)
    if n_finite:
        moments = Moments.of(x, w)
        hashes = row_hashes(index, plan.seed)
        enter = (hashes < threshold) & (hashes <= plan.ceiling)
        sample = sample.merged(hashes[enter], x[:, enter].T, w[enter])
    return Survey(n, n - n_taken, n_taken - n_finite, first_invalid, moments, sample)


def _first(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else min(a, b)


def row_hashes(index: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Hash global row indices (n,) with ``seed``: the finaliser of SplitMix64, twice.

    G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014. The map is a bijection of the index for every seed: no two rows share a hash.
    """
    key = _mixed(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64))
    return _mixed(_mixed(index.astype(np.uint64, copy=False)) ^ key)


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def sample_capacity(n_parameters: int, D: int) -> int:
    """Return how many rows ``sample_rows: auto`` draws.

    A hundred rows per free parameter, between 20,000 and 200,000, and at most 64 MiB of them.
    """
    wanted = int(np.clip(100 * n_parameters, 20_000, 200_000))
    return max(1_000, min(wanted, (64 << 20) // (8 * D)))
