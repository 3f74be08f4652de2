"""Ahead: where the sample says that EM over all rows will end, after one reading of them.

How the statistics change with the parameters is nearly the same on a sample as on all rows; only
their level is not. One reading gives the level. So the sample's own statistics, raised to those of
all rows where they were read,

    S(p) = c S_sample(p) + [S_all(p0) - c S_sample(p0)],        c = rows / rows of the sample,

stand for those of all rows near p0, and EM runs on them in memory to its end. The end is Newton's
step with the sample's curvature: each reading leaves of the way to the optimum about the share by
which the sample's curvature is wrong, however slowly EM itself converges. Jordan, Lee and Yang
("Communication-efficient distributed statistical inference", JASA 114, 2019) correct a sample's
likelihood in this way; in the natural parameters theta, which the likelihood's gradient S belongs
to, their corrected likelihood is l(p) = c l_sample(p) + <S_all(p0) - c S_sample(p0), theta(p)>,
which EM on S(p) never lowers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.fit.loop import Lookout, Rules, fit_em
from dask_gmm.fit.readings import expectation_in_memory
from dask_gmm.fit.stopping import Negligible
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import (
    EMPTY,
    SufficientStatistics,
    about,
    expected_log_likelihood,
    m_step,
    narrow_components,
)

#: Steps on the sample at most.
MOST_STEPS = 100
#: Their arithmetic is at most that of so many readings: about as many as a look spares.
WORTH = 4
#: They end when the sample has less to gain than this share of what all rows would notice.
SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Guide:
    """The sample, ready to look ahead.

    Attributes
    ----------
    rows : Rows
        The sample; the weights are all of one scale.
    frame : Frame
    floor : (D,)
    n_all : int
        How many rows there are in all.
    """

    rows: Rows
    frame: Frame
    floor: Array
    n_all: int

    @property
    def n_steps(self) -> int:
        """Steps that one look may take; fewer than two are not worth it."""
        return min(WORTH * self.n_all // len(self.rows.values), MOST_STEPS)

    def look(self, at: Parameters, statistics: SufficientStatistics) -> Lookout | None:
        """Look ahead from ``at``, where reading all rows has found ``statistics``.

        None where the sample has no word on it: a component of which it holds too few rows would
        be left with less than none, or a look would cost more than reading.
        """
        if self.n_steps < 2:
            return None
        raised = _Raised(self, at, statistics)
        start = m_step(statistics, self.floor, previous=at)
        n_parameters = at.family.n_parameters(at.K, at.D)
        rules = Rules(
            self.floor,
            Negligible(statistics.weight, n_parameters, SHARE),
            self.n_steps,
            accelerate=True,
        )
        try:
            found = fit_em(raised, start, rules)
        except _NothingLeftError:
            return None
        if len(found.narrow) > len(narrow_components(start, self.floor)):
            return None
        return Lookout(found.parameters, found.lower_bound - statistics.mean_log_likelihood)


class _NothingLeftError(Exception):
    """The sample's statistics, raised, leave a component with no rows."""


class _Raised:
    """The expectation over the sample, raised to that over all rows at one point."""

    def __init__(self, guide: Guide, at: Parameters, statistics: SufficientStatistics) -> None:
        self._sample, weight = expectation_in_memory(guide.rows, guide.frame)
        self._c = statistics.weight / weight
        self._level, self._origins = statistics, statistics.origins
        self._own = self._of_sample(at)
        self._mean = self._corrected(at, statistics, self._own)

    def __call__(self, parameters: Parameters) -> SufficientStatistics:
        here = self._of_sample(parameters)
        level, own = self._level, self._own
        N = level.N + (here.N - own.N)
        kept = level.N < EMPTY
        if not (kept | (N > EMPTY)).all():
            raise _NothingLeftError
        N = np.where(kept, level.N, N)  # what all rows leave empty stays as it is
        raised = replace(
            level,
            N=N,
            sum_x=level.sum_x + (here.sum_x - own.sum_x),
            scatter=level.scatter + (here.scatter - own.scatter),
        )
        gain = self._corrected(parameters, raised, here) - self._mean
        return replace(raised, log_likelihood=level.log_likelihood + gain)

    def _of_sample(self, parameters: Parameters) -> SufficientStatistics:
        """Return the sample's statistics, scaled to all rows, about the origins of theirs."""
        found, c = self._sample(parameters), self._c
        scaled = replace(
            found,
            N=c * found.N,
            sum_x=c * found.sum_x,
            scatter=c * found.scatter,
            weight=self._level.weight,
            log_likelihood=c * found.log_likelihood,
        )
        return about(scaled, self._origins)

    def _corrected(
        self, parameters: Parameters, raised: SufficientStatistics, own: SufficientStatistics
    ) -> float:
        """Return the corrected log-likelihood but for a constant."""
        both = (expected_log_likelihood(each, parameters) for each in (raised, own))
        correction = next(both) - next(both)
        return own.log_likelihood + correction * own.weight


def look_ahead(item: tuple[Parameters, SufficientStatistics], guide: Guide) -> Lookout | None:
    """Look ahead from one point: what passes map over the fits that run."""
    return guide.look(*item)
