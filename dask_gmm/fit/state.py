"""Where a fit stands between two readings."""

from __future__ import annotations

from dataclasses import dataclass, field

from dask_gmm.fit.acceleration import Memory
from dask_gmm.mixture.parameters import Parameters


@dataclass(frozen=True, eq=False)
class State:
    """Where one fit stands: everything that its next step depends on.

    Attributes
    ----------
    parameters : Parameters
        What the next reading evaluates; where the fit has ended, its result.
    history : tuple of float
        Mean log-likelihood (nats per row) of every mixture evaluated so far.
    refused : tuple of int
        Evaluations (from 0) of extrapolations that would have lowered the likelihood.
    gains : tuple of float
        What each M-step gained of the expected log-likelihood, nats per row; refused evaluations
        led to none.
    remaining : float or None
        What is predicted to be still to gain of the likelihood, nats per row, after the last
        evaluation that was not refused.
    memory : Memory
        The acceleration's.
    tried, reseeded : frozenset of int
        Components that were found empty, and those of them that were put where they gain.
    status : tuple of str
        What was done about each component, known when the fit has ended.
    converged : bool
    stopped_by : str or None
        Why the fit has ended, in words; None while it goes on.
    """

    parameters: Parameters
    history: tuple[float, ...] = ()
    refused: tuple[int, ...] = ()
    gains: tuple[float, ...] = ()
    remaining: float | None = None
    memory: Memory = field(default_factory=Memory.empty)
    tried: frozenset[int] = frozenset()
    reseeded: frozenset[int] = frozenset()
    status: tuple[str, ...] = ()
    converged: bool = False
    stopped_by: str | None = None

    @property
    def running(self) -> bool:
        """Tell whether there is a next step."""
        return self.stopped_by is None

    @property
    def kept(self) -> tuple[float, ...]:
        """The history without the evaluations that were refused."""
        return tuple(each for i, each in enumerate(self.history) if i not in self.refused)
