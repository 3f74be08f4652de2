"""The second draw: rows that a first mixture explains badly, in the reading that evaluates it.

A class of a ten-thousandth of the rows has two rows in a sample of twenty thousand: too few to be
found. So every row gets a chance that rises with the badness of its explanation. A row that is
explained worse than all but the share u of the sample weighs 1 / u: among the worst tenth, the
worst hundredth, the worst thousandth ... there are then as many drawn rows as in each of the
others, however many decades there are and whatever the shape of the tails. A mere cut at the worst
would fill with outliers; a chance by the density itself would, too.

Rows are kept by the smallest of -log(U) / weight, U a hash of the row's number (P. S. Efraimidis,
P. G. Spirakis, "Weighted random sampling with a reservoir", Inf. Process. Lett. 97, 2006): a
monoid, and the same rows for any chunking. Given the largest key that is kept, rows enter
independently, so that the chance of each is known, and its inverse is a weight (E. Cohen,
H. Kaplan, "Tighter estimation using bottom k sketches", VLDB 2008).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.hashing import row_hashes
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.moments import BLOCK
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import RowBlock, Rows
from dask_gmm.mixture.several import Several, e_steps
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.survey import Sample

#: Where the sample is a larger share of all rows than this, it holds small classes, too.
LARGEST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class SecondDraw:
    """What is to be drawn.

    Attributes
    ----------
    mixture : Parameters
        In the coordinates of ``frame``; it has been fitted to ``sample``.
    frame : Frame
    levels : (m,)
        The log-densities of the sample's rows, in rising order.
    seed : int
        The sample's.
    last_hash : uint64
        The largest hash in the sample: rows up to it have been drawn.
    n_all : int
        Rows that take part.
    """

    mixture: Parameters
    frame: Frame
    levels: Array
    seed: int
    last_hash: np.uint64
    n_all: int

    @classmethod
    def after(
        cls, sample: Sample, seed: int, mixture: Parameters, frame: Frame, n_all: int
    ) -> SecondDraw:
        """Plan a draw as large as the sample, which holds not all rows."""
        levels = np.sort(log_densities(mixture, frame, Rows(sample.rows)))
        return cls(mixture, frame, levels, seed, sample.hashes[-1], n_all)

    @property
    def capacity(self) -> int:
        """Rows that are drawn at most."""
        return len(self.levels)

    @property
    def ceiling(self) -> float:
        """No row whose key is above this is drawn: four times the expected largest key."""
        mean_weight = float((1.0 / np.arange(1, self.capacity + 2)).sum())
        return 4.0 * self.capacity / (self.n_all * mean_weight)

    def weights(self, log_density: Array) -> Array:
        """Return each row's weight (n,) in the draw: one over the share explained worse."""
        worse = np.searchsorted(self.levels, log_density, side="right")
        return np.asarray((self.capacity + 1.0) / (1.0 + worse))

    def exponentials(self, index: npt.NDArray[np.uint64]) -> Array:
        """Return -log(U) of rows (n,); over its weight it is a row's key, the smallest are kept."""
        # Another hash than the sample's, which has chosen its rows by it.
        hashes = row_hashes(index, ~self.seed)
        uniform = ((hashes >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        return np.asarray(-np.log(uniform))

    def possible(self, exponentials: Array) -> npt.NDArray[np.bool_]:
        """Return whether rows (n,) may be drawn if the worst explained may, a few too many."""
        return exponentials <= self.ceiling * (self.capacity + 2.0)

    def bad_enough(self, exponentials: Array, log_density: Array) -> npt.NDArray[np.bool_]:
        """Return whether rows (n,) may have a key up to the ceiling, a few too many.

        The weight that a key needs says how many of the sample may be explained worse; a look at
        the level of that rank is much sooner than the search for the row's own.
        """
        needed = np.maximum(exponentials / self.ceiling, 1.0)
        rank = ((self.capacity + 1.0) / needed).astype(np.intp)
        any_rank, level = rank >= self.capacity, np.minimum(rank, self.capacity - 1)
        return np.asarray(any_rank | (log_density <= self.levels[level]))


@dataclass(frozen=True, eq=False)
class Looked:
    """What the reading leaves behind: a monoid.

    Attributes
    ----------
    statistics : Several
        Of the mixtures that it evaluates.
    drawn : Sample
        Its hashes are the keys' bits: those of positive numbers stand in the numbers' order.
    """

    statistics: Several[SufficientStatistics]
    drawn: Sample

    def __add__(self, other: Looked) -> Looked:
        return Looked(self.statistics + other.statistics, self.drawn + other.drawn)


def e_steps_and_draw(
    blocks: Iterable[RowBlock], mixtures: Sequence[Parameters], frame: Frame, plan: SecondDraw
) -> Looked:
    """Return the sufficient statistics of ``blocks`` under each mixture, and the second draw."""
    draw = _Draw(plan)
    statistics = e_steps(draw.passing(blocks), mixtures, frame)
    return Looked(statistics, draw.drawn)


def both_draws(sample: Sample, drawn: Sample, plan: SecondDraw) -> Rows:
    """Return the rows of both draws, weighted to stand for all rows.

    A row's weight is its own times the sample's share of all rows over its chance to be in either
    draw, so that rows from the thick of the data weigh about as much as in the sample alone.
    """
    share = len(sample.rows) / plan.n_all
    largest = plan.ceiling  # where there were fewer, the draw looked at nothing above
    if len(drawn.rows) == drawn.capacity:
        largest = float(drawn.hashes[-1:].view(np.float64)[0])
    rows = np.concatenate([sample.rows, drawn.rows])
    log_density = log_densities(plan.mixture, plan.frame, Rows(rows))
    second = -np.expm1(-plan.weights(log_density) * largest)
    weights = np.concatenate([sample.weights, drawn.weights])
    return Rows(rows, weights * share / (share + (1.0 - share) * second))


def log_densities(mixture: Parameters, frame: Frame, rows: RowBlock) -> Array:
    """Return the log-density (n,) of rows under a mixture in the coordinates of ``frame``."""
    said = predict(Kernel(mixture, frame), rows, Wanted(log_density=True))
    assert said.log_density is not None
    return said.log_density


class _Draw:
    """The rows drawn so far."""

    def __init__(self, plan: SecondDraw) -> None:
        self.plan, self.kernel = plan, Kernel(plan.mixture, plan.frame)
        self.drawn = Sample.zero(plan.capacity, plan.frame.D)

    def passing(self, blocks: Iterable[RowBlock]) -> Iterator[RowBlock]:
        """Look at the blocks as they pass."""
        for block in blocks:
            index = block.row_index()
            for start in range(0, len(block.values), BLOCK):
                here = slice(start, start + BLOCK)
                weights = None if block.weights is None else block.weights[here]
                valid = None if block.valid is None else block.valid[here]
                self._add(Rows(block.values[here], weights, valid), index[here])
            yield block

    def _add(self, rows: Rows, index: npt.NDArray[np.uint64]) -> None:
        """Look at a few rows; most are refused before anything is worked out about them."""
        plan, w = self.plan, rows.weights
        exponentials = plan.exponentials(index)
        possible = plan.possible(exponentials)
        if w is not None:
            possible &= w > 0
        at = np.flatnonzero(possible)
        at = at[row_hashes(index[at], plan.seed) > plan.last_hash]
        valid = None if rows.valid is None else rows.valid[at]
        said = predict(self.kernel, Rows(rows.values[at], None, valid), Wanted(log_density=True))
        assert said.log_density is not None
        bad = np.flatnonzero(said.valid & plan.bad_enough(exponentials[at], said.log_density))
        at, log_density = at[bad], said.log_density[bad]
        keys = exponentials[at] / plan.weights(log_density)
        # Bits of positive numbers stand in the numbers' order.
        bits = keys.view(np.uint64)
        enter = (keys <= plan.ceiling) & (bits < self.drawn.threshold)
        at, bits = at[enter], bits[enter]
        weights = np.ones(len(at)) if w is None else np.asarray(w[at], np.float64)
        values = np.asarray(rows.values[at], dtype=np.float64)
        self.drawn = self.drawn.merged(bits, values, weights)
