"""Small classes: a start that has them, from the rows that the first fits explain worst.

The sample holds too few rows of them; the second draw (:mod:`dask_gmm.mixture.second_draw`) holds
many. A start of the same size gives up the pair of components whose merger loses least, and puts
the one set free where it gains most among the rows of both draws. It goes on to all of the data
beside the start that it came from: there the likelihood decides.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.sample import FittedStart, StartPlan, fit_in_memory
from dask_gmm.fit.split_merge import Seen, mergers
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.second_draw import log_densities
from dask_gmm.mixture.statistics import SufficientStatistics, m_step

#: Standard errors that must lie between what a place gains and what it costs, and by which a start
#: with small classes may be behind the one that it came from.
CERTAIN = 3.0
#: Small classes that are put into one start at most.
MOST = 8


def with_small_classes(
    fitted: FittedStart, plan: StartPlan, rows: Rows, weight: float
) -> FittedStart | None:
    """Return a start that has components for small classes; None where none are to be seen.

    Parameters
    ----------
    fitted : FittedStart
    plan : StartPlan
    rows : Rows
        Those of both draws, with their weights.
    weight : float
        Sum of the weights of all the rows that these stand for.
    """
    w = rows.weights
    assert w is not None
    first = log_densities(fitted.final.parameters, plan.frame, rows)
    solution, n_moves = fitted.final, 0
    while n_moves < MOST:
        start = _with_one_more(solution.parameters, plan, rows, weight)
        if start is None:
            break
        trial = fit_in_memory(start, plan, rows)
        gain, error = _sum(log_densities(trial.parameters, plan.frame, rows) - first, w)
        if gain < -CERTAIN * error or len(trial.narrow) > len(solution.narrow):
            break
        solution, n_moves = trial, n_moves + 1
    if not n_moves:
        return None
    return replace(fitted, improved=solution, n_moves=fitted.n_moves + n_moves)


def _with_one_more(
    mixture: Parameters, plan: StartPlan, rows: Rows, weight: float
) -> Parameters | None:
    """Return the mixture with one component more, and one pair merged, where the first is sure.

    Sure is a component that gains more than BIC asks of one on all rows. What the merger loses is
    not set against that: a pair that shares the sample's noise seems dearer than it is.
    """
    assert rows.weights is not None
    K, family = mixture.K, mixture.family
    larger, put = Reseeding(rows, plan.frame, plan.floor)(_with_empty(mixture), {K})
    if not put:
        return None
    before, after = (log_densities(each, plan.frame, rows) for each in (mixture, larger))
    gain, error = _sum(after - before, rows.weights)
    own = family.n_parameters(K + 1, plan.frame.D) - family.n_parameters(K, plan.frame.D)
    price = 0.5 * own * np.log(weight) * float(rows.weights.sum()) / weight
    if not gain - CERTAIN * error > price:
        return None
    seen = Seen(larger, plan, rows)
    losses = [(loss, pair) for loss, pair in mergers(seen) if K not in pair]
    return _merged(seen, *max(losses)[1]) if losses else None


def _with_empty(mixture: Parameters) -> Parameters:
    """Return the mixture with a component behind the others that has no weight yet."""
    last = np.append(np.arange(mixture.K), mixture.K - 1)
    larger = mixture.reordered(last)
    return replace(larger, weights=np.append(mixture.weights, 0.0))


def _merged(seen: Seen, i: int, j: int) -> Parameters:
    """Return the mixture in which component i has the rows of j too, and j is no more."""
    R, plan = seen.R * seen.w[:, None], seen.plan
    R[:, i] += R[:, j]
    statistics = SufficientStatistics.of_responsibilities(
        seen.rows.values, np.delete(R, j, axis=1), plan.family, frame=plan.frame
    )
    return m_step(statistics, plan.floor)


def _sum(values: Array, w: Array) -> tuple[float, float]:
    """Return the weighted sum of values (n,), and its standard error as rows are drawn."""
    return float(w @ values), float(np.sqrt(w**2 @ values**2))
