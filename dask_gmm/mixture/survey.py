"""The survey: one reading before EM that learns all that a start, a frame and a floor need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.counting import Counter
from dask_gmm.mixture.counts import Counts
from dask_gmm.mixture.hashing import row_hashes
from dask_gmm.mixture.kernel import check_finite
from dask_gmm.mixture.moments import BLOCK, Moments
from dask_gmm.mixture.rows import RowBlock


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
    counts : Counts
        The distinct rows, if they were asked for and are not too many.
    """

    n_rows: int
    n_masked: int
    n_invalid: int
    first_invalid: int | None
    moments: Moments
    sample: Sample
    n_nodata: int = 0
    counts: Counts = field(default_factory=lambda: Counts(0))

    @classmethod
    def zero(cls, capacity: int, D: int, most_distinct: int = 0) -> Survey:
        """Return the survey of no rows."""
        sample = Sample.zero(capacity, D)
        return cls(0, 0, 0, None, Moments.zero(D), sample, counts=Counts(most_distinct))

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.n_rows + other.n_rows,
            self.n_masked + other.n_masked,
            self.n_invalid + other.n_invalid,
            _first(self.first_invalid, other.first_invalid),
            self.moments + other.moments,
            self.sample + other.sample,
            self.n_nodata + other.n_nodata,
            self.counts + other.counts,
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
    most_distinct : int
        Distinct rows that are counted at most; 0: they are not counted.
    """

    n_features: int
    capacity: int
    seed: int
    n_rows: int | None = None
    most_distinct: int = 0

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
    counter = Counter(plan.most_distinct, plan.n_features)
    total = Survey.zero(plan.capacity, plan.n_features, plan.most_distinct)
    for block in blocks:
        index = block.row_index()
        total = replace(total, n_nodata=total.n_nodata + block.n_nodata)
        for start in range(0, len(block.values), BLOCK):
            here = slice(start, start + BLOCK)
            threshold = total.sample.threshold
            total = total + _surveyed(block, here, index[here], plan, threshold, counter)
    counts = counter.finished()
    return replace(total, moments=total.moments + counter.moments, counts=counts)


def _surveyed(
    block: RowBlock,
    here: slice,
    index: npt.NDArray[np.uint64],
    plan: SurveyPlan,
    threshold: np.uint64,
    counter: Counter,
) -> Survey:
    """Survey some rows of a block; rows whose hash is not below ``threshold`` are not sampled.

    What is counted has its moments taken from its distinct rows, by the counter.
    """
    values = block.values[here]
    n = len(values)
    taken = np.ones(n, bool) if block.valid is None else np.array(block.valid[here], bool)
    w = None if block.weights is None else np.array(block.weights[here], np.float64)
    if w is not None:
        taken &= w > 0
    finite, x = taken.copy(), None
    if values.dtype.kind not in "biu":
        x = np.ascontiguousarray(values.T, dtype=np.float64)
        check_finite(x, finite)
    n_taken, n_finite = int(taken.sum()), int(finite.sum())
    first_invalid = int(index[taken & ~finite][0]) if n_finite < n_taken else None
    if n_finite < n:
        values, w, index = values[finite], None if w is None else w[finite], index[finite]
        x = None if x is None else x[:, finite]
    moments, sample = Moments.zero(plan.n_features), Sample.zero(plan.capacity, plan.n_features)
    if n_finite:
        if counter.counting:
            counter.add(values, w)
        else:
            x = np.ascontiguousarray(values.T, dtype=np.float64) if x is None else x
            moments = Moments.of(x, np.ones(n_finite) if w is None else w)
        hashes = row_hashes(index, plan.seed)
        enter = np.flatnonzero((hashes < threshold) & (hashes <= plan.ceiling))
        weights = np.ones(len(enter)) if w is None else w[enter]
        sample = sample.merged(hashes[enter], values[enter].astype(np.float64), weights)
    none = Counts(plan.most_distinct)
    return Survey(n, n - n_taken, n_taken - n_finite, first_invalid, moments, sample, counts=none)


def _first(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else min(a, b)


def sample_capacity(n_parameters: int, D: int) -> int:
    """Return how many rows ``sample_rows: auto`` draws.

    A hundred rows per free parameter, between 20,000 and 200,000, and at most 64 MiB of them.
    """
    wanted = int(np.clip(100 * n_parameters, 20_000, 200_000))
    return max(1_000, min(wanted, (64 << 20) // (8 * D)))
