"""The iteration: parameters = m_step(expectation(parameters)) until it means nothing more.

Four verbs: :func:`begin` makes a state, :func:`step` takes the next from what one reading found,
``state.running`` says when to end, and :func:`solution` reads the last state. :func:`fit_em` puts
them together for one fit; :mod:`dask_gmm.fit.race` for several that share their readings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from dask_gmm.fit.acceleration import Memory, extrapolated
from dask_gmm.fit.state import State
from dask_gmm.fit.stopping import StoppingRule, predicted_gain
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.statistics import (
    SufficientStatistics,
    expected_log_likelihood,
    m_step,
    narrow_components,
)
from dask_gmm.mixture.status import component_status, rounded_components


@dataclass(frozen=True, eq=False)
class Lookout:
    """Where EM over all rows will end, as far as a sample of them can tell.

    Attributes
    ----------
    parameters : Parameters
    gain : float
        By how much the log-likelihood of all rows will be higher there, nats per row.
    """

    parameters: Parameters
    gain: float


#: From parameters to the completed sufficient statistics of all rows: one reading of the data.
Expectation: TypeAlias = Callable[[Parameters], SufficientStatistics]
#: From parameters and their empty components to better ones, and which are no longer empty.
Reseed: TypeAlias = Callable[[Parameters, Collection[int]], tuple[Parameters, frozenset[int]]]
#: Called after every iteration with its number (from 1) and the mean log-likelihood before it.
Observer: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True, eq=False)
class Rules:
    """What one fit is held to.

    Attributes
    ----------
    floor : (D,)
        Added to every variance, in the expectation's frame.
    stopping : StoppingRule
    max_iter : int
        Evaluations at most, each of them a reading; 0 returns the start.
    accelerate : bool
        Whether steps may be extrapolated; see :mod:`dask_gmm.fit.acceleration`.
    reseed : callable, optional
        See :data:`Reseed`. A component that is found empty is tried once.

    Notes
    -----
    A fit does not stop with a step that re-seeded a component, or whose covariances have lost
    digits to where they were summed about, as long as ``max_iter`` allows one more.
    """

    floor: Array
    stopping: StoppingRule
    max_iter: int
    accelerate: bool = False
    reseed: Reseed | None = None


@dataclass(frozen=True)
class Solution:
    """Where EM ended.

    Attributes
    ----------
    parameters : Parameters
        After the last M-step, in the expectation's frame.
    history : tuple of float
        Mean log-likelihood (nats per row) before each M-step, and of each refused extrapolation.
    converged : bool
    stopped_by : str
        In words.
    narrow : tuple of int
        Components as narrow as the floor: they describe it and not the data.
    status : tuple of str
        What was done about each component: :func:`dask_gmm.mixture.status.component_status`.
    refused : tuple of int
        Entries of the history (from 0) that were extrapolations, refused for a lower likelihood.
    remaining_gain : float or None
        What was predicted, at the last evaluation, to be still to gain, nats per row.
    """

    parameters: Parameters
    history: tuple[float, ...]
    converged: bool
    stopped_by: str
    narrow: tuple[int, ...]
    status: tuple[str, ...] = ()
    refused: tuple[int, ...] = ()
    remaining_gain: float | None = None

    @property
    def n_iter(self) -> int:
        """M-steps done, those from refused extrapolations included: each cost a reading."""
        return len(self.history)

    @property
    def lower_bound(self) -> float:
        """Mean log-likelihood before the last M-step, in nats per row."""
        kept = [each for i, each in enumerate(self.history) if i not in self.refused]
        return kept[-1] if kept else float("-inf")

    @property
    def falls(self) -> tuple[int, ...]:
        """Iterations (from 1) before whose M-step the likelihood was lower than one earlier."""
        return tuple(i for i, by in self._falls)

    @property
    def deepest_fall(self) -> float:
        """The largest of these falls, in nats per row; 0 where there was none."""
        return max((by for _, by in self._falls), default=0.0)

    @property
    def _falls(self) -> list[tuple[int, float]]:
        kept = [(i, each) for i, each in enumerate(self.history) if i not in self.refused]
        pairs = [(i + 1, a, b) for (_, a), (i, b) in pairwise(kept)]
        return [(i, a - b) for i, a, b in pairs if b < a - 1e-12 * max(abs(a), 1.0)]


def fit_em(
    expectation: Expectation, start: Parameters, rules: Rules, observe: Observer | None = None
) -> Solution:
    """Iterate EM from ``start``, which stands in the expectation's frame."""
    state = begin(start, rules)
    while state.running:
        state = step(state, expectation(state.parameters), rules)
        if observe is not None:
            observe(len(state.history), state.history[-1])
    return solution(state, rules)


def begin(start: Parameters, rules: Rules) -> State:
    """Return the state before the first reading."""
    return _limited(State(start), rules)


def step(
    state: State,
    statistics: SufficientStatistics,
    rules: Rules,
    ahead: Lookout | None = None,
) -> State:
    """Return the next state, from the statistics of all rows under ``state.parameters``.

    Where the sample has looked ahead from there (:mod:`dask_gmm.fit.ahead`), the next reading is of
    what it has seen.
    """
    mean = statistics.mean_log_likelihood
    state = replace(state, history=(*state.history, mean))
    if state.memory.fallback is not None and not mean >= state.kept[-2] - _rounding(mean):
        return _limited(_fallen_back(state, state.memory.fallback), rules)
    parameters = m_step(statistics, rules.floor, previous=state.parameters)
    gain = expected_log_likelihood(statistics, parameters) - expected_log_likelihood(
        statistics, state.parameters
    )
    before = state.parameters
    remaining = predicted_gain(gain) if ahead is None else ahead.gain
    state = replace(state, parameters=parameters, gains=(*state.gains, gain), remaining=remaining)
    reached = rules.stopping.reached(state.kept, state.gains, None if ahead is None else ahead.gain)
    unfinished = reached is not None and bool(rounded_components(statistics, parameters))
    if rules.reseed is not None and (lost := statistics.empty - state.tried):
        parameters, found = rules.reseed(parameters, lost)
        state = replace(
            state,
            parameters=parameters,
            tried=state.tried | lost,
            reseeded=state.reseeded | found,
        )
        if found:  # what led here tells nothing of where the new component leads
            unfinished, before, state = True, parameters, replace(state, memory=Memory.empty())
    state = _ended(state, statistics, reached, unfinished, rules)
    seen = None if ahead is None or before is parameters else ahead.parameters
    if state.converged and seen is not None:
        return replace(state, parameters=seen)
    if not (state.running and rules.accelerate) or before is parameters:
        return state
    proposed, memory = extrapolated(state.memory, before, parameters, rules.floor, seen)
    return replace(state, parameters=proposed, memory=memory)


def solution(state: State, rules: Rules) -> Solution:
    """Read a state as a result."""
    return Solution(
        state.parameters,
        state.history,
        converged=state.converged,
        stopped_by=state.stopped_by or "it was interrupted",
        narrow=narrow_components(state.parameters, rules.floor),
        status=state.status
        or component_status(state.parameters, rules.floor, None, state.reseeded),
        refused=state.refused,
        remaining_gain=state.remaining,
    )


def _ended(
    state: State,
    statistics: SufficientStatistics,
    reached: str | None,
    unfinished: bool,
    rules: Rules,
) -> State:
    """Return the state with its end, if this step was the last; an unfinished one goes on."""
    limited = _limited(state, rules)
    if reached is not None and (not unfinished or not limited.running):
        limited = replace(state, converged=True, stopped_by=reached)
    if limited.running:
        return limited
    status = component_status(state.parameters, rules.floor, statistics, state.reseeded)
    return replace(limited, status=status)


def _limited(state: State, rules: Rules) -> State:
    if len(state.history) < rules.max_iter:
        return state
    reason = f"the limit of {rules.max_iter} iterations was reached"
    return replace(state, stopped_by=reason)


def _fallen_back(state: State, plain: Parameters) -> State:
    """Go on from the plain EM point, as if the extrapolation from it had not been tried."""
    refused = (*state.refused, len(state.history) - 1)
    return replace(state, parameters=plain, refused=refused, memory=state.memory.after_refusal())


def _rounding(mean: float) -> float:
    """Return how far the mean log-likelihoods of equally good mixtures may differ."""
    return 1e-13 * max(abs(mean), 1.0)
