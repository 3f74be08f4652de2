"""What a fit tells while it goes on: scikit-learn's lines, word for word, and a callback."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from dask_gmm.fit.loop import Solution


@dataclass(frozen=True)
class Iteration:
    """One iteration of EM, as callbacks are told of it.

    Attributes
    ----------
    start : int or None
        Which start it belongs to, from 0; None: the best of them goes on over all rows.
    iteration : int
        From 1.
    mean_log_likelihood : float
        Before the iteration's M-step, nats per row.
    change : float
        By how much that is more than one iteration before; infinite for the first.
    """

    start: int | None
    iteration: int
    mean_log_likelihood: float
    change: float


class Verbosity:
    """Prints nothing at level 0, progress at 1, and times and changes besides from 2 on.

    Parameters
    ----------
    level : int
        ``verbose`` of the estimator.
    interval : int
        Iterations between two lines.
    before : float
        Mean log-likelihood that the first change is told from.
    callback : callable, optional
        Takes an :class:`Iteration`, after each of them.
    """

    def __init__(
        self,
        level: int,
        interval: int,
        before: float = -math.inf,
        callback: Callable[[Iteration], object] | None = None,
    ) -> None:
        self.level, self.interval, self._before = int(level), interval, before
        self._callback = callback
        self._start: int | None = None
        self._first = self._last = time.perf_counter()

    def begins(self, number: int) -> None:
        """Say that a start is tried."""
        self._start = number
        if self.level:
            print(f"Initialization {number}")

    def goes_on(self) -> None:
        """Say that the best start goes on over lazy rows; scikit-learn knows no such thing."""
        self._start = None
        if self.level:
            print("The best initialization over all rows")

    def iteration(self, number: int, mean_log_likelihood: float) -> None:
        """Say that an iteration is done, every ``interval`` of them."""
        change, self._before = mean_log_likelihood - self._before, mean_log_likelihood
        if self._callback is not None:
            self._callback(Iteration(self._start, number, mean_log_likelihood, change))
        if not self.level or number % self.interval:
            return
        if self.level == 1:
            print(f"  Iteration {number}")
            return
        now = time.perf_counter()
        print(f"  Iteration {number}\t time lapse {now - self._last:.5f}s\t ll change {change:.5f}")
        self._last = now

    def ends(self, solution: Solution) -> None:
        """Say how a start ended."""
        if not self.level:
            return
        line = f"Initialization {'converged' if solution.converged else 'did not converge'}."
        if self.level > 1:
            took = time.perf_counter() - self._first
            line += f" time lapse {took:.5f}s\t lower bound {solution.lower_bound:.5f}."
        print(line)
