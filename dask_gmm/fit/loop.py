"""The iteration: parameters = m_step(expectation(parameters)) until it means nothing more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from dask_gmm.fit.stopping import StoppingRule
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.statistics import SufficientStatistics, m_step, narrow_components
from dask_gmm.mixture.status import component_status, rounded_components

#: From parameters to the completed sufficient statistics of all rows: one reading of the data.
Expectation: TypeAlias = Callable[[Parameters], SufficientStatistics]
#: From parameters and their empty components to better ones, and which are no longer empty.
Reseed: TypeAlias = Callable[[Parameters, Collection[int]], tuple[Parameters, frozenset[int]]]
#: Called after every iteration with its number (from 1) and the mean log-likelihood before it.
Observer: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True)
class Solution:
    """Where EM ended.

    Attributes
    ----------
    parameters : Parameters
        After the last M-step, in the expectation's frame.
    history : tuple of float
        Mean log-likelihood (nats per row) before each M-step.
    converged : bool
    stopped_by : str
        In words.
    narrow : tuple of int
        Components as narrow as the floor: they describe it and not the data.
    status : tuple of str
        What was done about each component: :func:`dask_gmm.mixture.status.component_status`.
    """

    parameters: Parameters
    history: tuple[float, ...]
    converged: bool
    stopped_by: str
    narrow: tuple[int, ...]
    status: tuple[str, ...] = ()

    @property
    def n_iter(self) -> int:
        """M-steps done."""
        return len(self.history)

    @property
    def lower_bound(self) -> float:
        """Mean log-likelihood before the last M-step, in nats per row."""
        return self.history[-1] if self.history else float("-inf")

    @property
    def falls(self) -> tuple[int, ...]:
        """Iterations (from 1) before whose M-step the likelihood was lower than one earlier."""
        pairs = zip(self.history, self.history[1:], strict=False)
        return tuple(i + 2 for i, (a, b) in enumerate(pairs) if b < a - 1e-12 * max(abs(a), 1.0))


def fit_em(
    expectation: Expectation,
    start: Parameters,
    *,
    floor: Array,
    stopping: StoppingRule,
    max_iter: int,
    observe: Observer | None = None,
    reseed: Reseed | None = None,
) -> Solution:
    """Iterate EM from ``start``.

    Parameters
    ----------
    expectation : callable
        See :data:`Expectation`.
    start : Parameters
        In the expectation's frame.
    floor : (D,)
        Added to every variance, in the same frame.
    stopping : StoppingRule
    max_iter : int
        M-steps at most; 0 returns the start.
    observe : callable, optional
        See :data:`Observer`.
    reseed : callable, optional
        See :data:`Reseed`. A component that is found empty is tried once.

    Notes
    -----
    A fit does not stop with a step that re-seeded a component, or whose covariances have lost
    digits to where they were summed about, as long as ``max_iter`` allows one more.
    """
    parameters, history = start, list[float]()
    statistics: SufficientStatistics | None = None
    tried, reseeded = frozenset[int](), frozenset[int]()
    reason: str | None = None
    while reason is None and len(history) < max_iter:
        statistics = expectation(parameters)
        parameters = m_step(statistics, floor, previous=parameters)
        history.append(statistics.mean_log_likelihood)
        if observe is not None:
            observe(len(history), history[-1])
        reason = stopping.reached(history)
        unfinished = bool(reason) and bool(rounded_components(statistics, parameters))
        if reseed is not None and (lost := statistics.empty - tried):
            parameters, found = reseed(parameters, lost)
            tried, reseeded, unfinished = tried | lost, reseeded | found, unfinished or bool(found)
        if unfinished and len(history) < max_iter:
            reason = None
    return Solution(
        parameters,
        tuple(history),
        converged=reason is not None,
        stopped_by=reason or f"the limit of {max_iter} iterations was reached",
        narrow=narrow_components(parameters, floor),
        status=component_status(parameters, floor, statistics, reseeded),
    )
