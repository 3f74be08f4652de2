"""What a fit prints while it goes on: scikit-learn's lines, word for word."""

from __future__ import annotations

import math
import time

from dask_gmm.fit.loop import Solution


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
    """

    def __init__(self, level: int, interval: int, before: float = -math.inf) -> None:
        self.level, self.interval, self._before = int(level), interval, before
        self._first = self._last = time.perf_counter()

    def begins(self, number: int) -> None:
        """Say that a start is tried."""
        if self.level:
            print(f"Initialization {number}")

    def goes_on(self) -> None:
        """Say that the best start goes on over lazy rows; scikit-learn knows no such thing."""
        if self.level:
            print("The best initialization over all rows")

    def iteration(self, number: int, mean_log_likelihood: float) -> None:
        """Say that an iteration is done, every ``interval`` of them."""
        change, self._before = mean_log_likelihood - self._before, mean_log_likelihood
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
