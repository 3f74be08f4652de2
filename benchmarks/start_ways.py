"""The ways to start that ``bench_starts`` compares, and what each of them costs in EM steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from dask_gmm.fit import readings
from dask_gmm.fit.loop import Solution
from dask_gmm.fit.sample import FittedStart, StartPlan, fit_in_memory, fit_start, ranking
from dask_gmm.fit.split_merge import split_and_merge
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import SufficientStatistics, m_step

#: Rows that are agglomerated: every pair of them has a distance, as in mclust's own subset.
AGGLOMERATED = 2_000


@dataclass(frozen=True)
class Way:
    """One way to start: so many draws, and how many of the best are improved.

    ``method`` is one of the library's, or an agglomerative one: ``ward`` on z-scores, ``ward,
    sphered`` on their principal components scaled alike, which is where mclust agglomerates.
    """

    method: str
    n_init: int
    improved: int = 0

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.n_init} x {self.method}" + (
            f", splits and merges of {self.improved}" if self.improved else ""
        )

    def fit(self, plan: StartPlan, rows: np.ndarray, seed: int) -> Solution:
        """Return the solution that it ends with."""
        seeds = range(1000 * seed, 1000 * seed + self.n_init)
        fitted = [self._fit_start(each, plan, rows) for each in seeds]
        ranked = sorted(fitted, key=lambda each: -each.solution.lower_bound)
        better = [split_and_merge(each, plan, rows, None) for each in ranked[: self.improved]]
        ends = [*better, *ranked[self.improved :]]
        return ends[ranking(ends)[0]].final

    def _fit_start(self, seed: int, plan: StartPlan, rows: np.ndarray) -> FittedStart:
        if not self.method.startswith("ward"):
            return fit_start(seed, plan, rows, None)
        start = _agglomerated(plan, rows, np.random.default_rng(seed), "sphered" in self.method)
        return FittedStart(seed, fit_in_memory(start, plan, Rows(rows)))


def _agglomerated(
    plan: StartPlan, rows: np.ndarray, generator: np.random.Generator, sphered: bool
) -> Parameters:
    """Return the mixture of the K groups that Ward's method leaves of a few thousand rows."""
    if len(rows) > AGGLOMERATED:
        rows = rows[generator.choice(len(rows), AGGLOMERATED, replace=False)]
    z = (rows - rows.mean(axis=0)) / plan.frame.unit
    if sphered:
        U, s, _ = np.linalg.svd(z, full_matrices=False)
        z = U[:, s > 1e-9 * s[0]]
    K = plan.n_components
    groups = fcluster(linkage(z, "ward"), K, "maxclust")
    R = (groups[:, None] == np.arange(1, K + 1)).astype(np.float64)
    moments = SufficientStatistics.of_responsibilities(rows, R, plan.family, frame=plan.frame)
    return m_step(moments, plan.floor)


class EMSteps:
    """Work done: E-steps over all rows and all components; a part of them counts in part."""

    def __init__(self, n_rows: int, K: int) -> None:
        self.whole, self.done = n_rows * K, 0.0

    @contextmanager
    def counting(self) -> Iterator[EMSteps]:
        """Count every E-step that is done meanwhile, those of trials on a few rows too."""
        e_step = readings.e_step

        def counted(blocks: list[Rows], parameters: Parameters, *rest: Any) -> SufficientStatistics:
            self.done += sum(len(each.values) for each in blocks) * parameters.K / self.whole
            return e_step(blocks, parameters, *rest)

        with patch.object(readings, "e_step", counted):
            yield self
