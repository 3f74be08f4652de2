"""Out of a local optimum: merge two components that describe one group, split one that holds two.

EM cannot move a component from where there are too many to where there are too few. After N. Ueda,
R. Nakano, Z. Ghahramani, G. Hinton, "SMEM algorithm for mixture models", Neural Computation 12
(2000), with candidates ranked by likelihood on the component's own rows: what a second component
would gain there, less what the merged pair would lose. It runs on the sample, where a trial costs
milliseconds; on overlapping mixtures one improved start finds better optima than ten starts
(``benchmarks/bench_starts.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dask_gmm.fit.sample import FittedStart, StartPlan, fit_in_memory, start_parameters
from dask_gmm.fit.stopping import NEGLIGIBLE
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import SufficientStatistics, m_step

#: Trials in a row that may fail before the optimum is taken for good.
FAILURES = 3
#: Trials in all, and M-steps of one: enough to see whether it leads higher.
TRIALS, TRIAL_STEPS = 12, 100
#: M-steps of a component's own two halves.
_LOCAL_STEPS = 30


@dataclass(frozen=True)
class _Move:
    """Merge components ``merge``, and give the freed one half of component ``split``.

    ``gain`` is the predicted change of the total log-likelihood; ``halves`` are the two components
    that ``split``'s rows were fitted with.
    """

    gain: float
    merge: tuple[int, int]
    split: int
    halves: Parameters


def split_and_merge(
    fitted: FittedStart, plan: StartPlan, values: Array, weights: Array | None
) -> FittedStart:
    """Improve one start's solution on the sample (m, D) by splits and merges.

    A move is kept when EM from it ends higher by more than the stopping rule's negligible gain,
    with no more components at their floor. Two components leave nothing to exchange.
    """
    if plan.n_components < 3:
        return fitted
    rows = Rows(values, weights)
    random_state = np.random.RandomState(fitted.seed % 2**32)
    total = float(len(values) if weights is None else weights.sum())
    worth = NEGLIGIBLE * plan.family.n_parameters(plan.n_components, values.shape[1]) / total
    short = replace(plan, max_iter=min(TRIAL_STEPS, plan.max_iter))
    solution, n_moves, trials = fitted.solution, 0, 0
    # Together the trials may take as many steps as a start: where those are dear, there are fewer.
    allowed = min(TRIALS, plan.max_iter // TRIAL_STEPS)
    while trials < allowed:
        seen = Seen(solution.parameters, plan, rows)
        for move in _moves(seen, random_state)[: min(FAILURES, allowed - trials)]:
            trials += 1
            trial = fit_in_memory(_moved(seen, move), short, rows)
            higher = trial.lower_bound > solution.lower_bound + worth
            if higher and len(trial.narrow) <= len(solution.narrow):
                solution, n_moves = trial, n_moves + 1
                break
        else:
            break
    if not n_moves:
        return fitted
    return replace(fitted, improved=fit_in_memory(solution.parameters, plan, rows), n_moves=n_moves)


class Seen:
    """A mixture's view of the sample: responsibilities, labels, log-densities."""

    def __init__(self, parameters: Parameters, plan: StartPlan, rows: Rows) -> None:
        self.plan, self.rows, self.K = plan, rows, parameters.K
        wanted = Wanted(labels=True, probabilities=True, log_density=True)
        said = predict(Kernel(parameters, plan.frame), rows, wanted)
        assert said.labels is not None
        assert said.probabilities is not None
        assert said.log_density is not None
        self.R, self.labels, self.log_density = said.probabilities, said.labels, said.log_density
        self.w = np.ones(len(self.labels)) if rows.weights is None else rows.weights

    def subset(self, *components: int) -> tuple[npt.NDArray[np.bool_], Rows]:
        """Return the rows that belong to some components, and which they are."""
        mine = np.isin(self.labels, components)
        weights = None if self.rows.weights is None else self.rows.weights[mine]
        return mine, Rows(self.rows.values[mine], weights)

    def gain_over(self, mine: npt.NDArray[np.bool_], local: Parameters, rows: Rows) -> float:
        """Return the log-likelihood of some rows under a mixture of their own, less today's.

        The rows' own mixture is scaled by their share of the sample.
        """
        said = predict(Kernel(local, self.plan.frame), rows, Wanted(log_density=True))
        assert said.log_density is not None
        w = self.w[mine]
        share = float(np.log(w.sum() / self.w.sum()))
        return float((said.log_density + share - self.log_density[mine]) @ w)


def _moves(seen: Seen, random_state: np.random.RandomState) -> list[_Move]:
    """Return candidate moves, the most promising first."""
    merges = sorted(mergers(seen), reverse=True)[: seen.K]
    moves = [
        _Move(gain + loss, pair, k, halves)
        for gain, k, halves in _splits(seen, random_state)
        for loss, pair in merges
        if k not in pair
    ]
    return sorted(moves, key=lambda move: -move.gain)


def mergers(seen: Seen) -> Iterator[tuple[float, tuple[int, int]]]:
    """Yield what merging a pair changes the log-likelihood by, for the pairs that overlap most."""
    shares = seen.R / np.maximum(np.linalg.norm(seen.R, axis=0), np.finfo(float).tiny)
    overlap = shares.T @ shares
    pairs = sorted(combinations(range(seen.K), 2), key=lambda pair: -overlap[pair])
    one = replace(seen.plan, n_components=1, method="random")
    for pair in pairs[: 2 * seen.K]:
        mine, rows = seen.subset(*pair)
        if not mine.any():
            yield 0.0, pair
            continue
        single = start_parameters(one, rows.values, rows.weights, np.random.RandomState(0))
        yield seen.gain_over(mine, single, rows), pair


def _splits(
    seen: Seen, random_state: np.random.RandomState
) -> Iterator[tuple[float, int, Parameters]]:
    """Yield what a second component would gain on each component's own rows."""
    two = replace(seen.plan, n_components=2, method="kmeans", max_iter=_LOCAL_STEPS)
    fewest = 2 * (seen.plan.frame.D + 1)
    for k in range(seen.K):
        mine, rows = seen.subset(k)
        if mine.sum() < fewest:
            continue
        start = start_parameters(two, rows.values, rows.weights, random_state)
        local = fit_in_memory(start, two, rows)
        yield seen.gain_over(mine, local.parameters, rows), k, local.parameters


def _moved(seen: Seen, move: _Move) -> Parameters:
    """Return the parameters after one move, by an M-step from the responsibilities it implies."""
    (i, j), k, R = move.merge, move.split, seen.R.copy()
    halves = predict(Kernel(move.halves, seen.plan.frame), seen.rows, Wanted(probabilities=True))
    assert halves.probabilities is not None
    R[:, i] += R[:, j]
    R[:, [k, j]] = seen.R[:, k : k + 1] * halves.probabilities
    R *= seen.w[:, None]
    statistics = SufficientStatistics.of_responsibilities(
        seen.rows.values, R, seen.plan.family, frame=seen.plan.frame
    )
    return m_step(statistics, seen.plan.floor)
