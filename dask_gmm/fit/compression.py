"""Count compression: where rows repeat, the fit runs on the distinct ones, in memory.

The statistics of n equal rows are those of one row of weight n: nothing but rounding tells a fit on
counts from a fit on all rows, and a step reads no data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dask_gmm.fit.readings import Readings, Result
from dask_gmm.mixture.counts import WORTH, Counts
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Survey


class CountedReadings:
    """Readings of distinct rows in memory; none of them is a reading of the data.

    Parameters
    ----------
    counts : Counts
    passes : Readings
        Of the data: it keeps their number, and maps.
    """

    def __init__(self, counts: Counts, passes: Readings) -> None:
        self.rows = Rows(counts.rows, counts.weights)
        self._passes = passes

    @property
    def n_passes(self) -> int:
        """Readings of the data so far."""
        return self._passes.n_passes

    def run(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Go through the distinct rows once."""
        return function([self.rows], *arguments)

    def write(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read all of the data once: what is written is written of every row."""
        return self._passes.write(name, function, *arguments)

    def map(
        self, name: str, function: Callable[..., Result], items: Sequence[Any], *arguments: Any
    ) -> list[Result]:
        """Return ``function(item, *arguments)`` for every item, computed where passes run."""
        return self._passes.map(name, function, items, *arguments)


def repeats_enough(seen: Survey) -> bool:
    """Tell whether the distinct rows are known, and are worth to stand for all rows."""
    return seen.counts.known and WORTH * len(seen.counts) <= seen.n_used


def readings_for_fit(seen: Survey, passes: Readings) -> Readings:
    """Return what the fit reads: the distinct rows, where rows repeat enough, else all of them."""
    return CountedReadings(seen.counts, passes) if repeats_enough(seen) else passes
