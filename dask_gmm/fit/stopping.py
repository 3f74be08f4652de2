"""When EM has done enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

#: Nats of log-likelihood per free parameter: a tenth of what sampling moves them by.
NEGLIGIBLE = 0.05
#: The rate at which EM is taken to converge along the slowest direction that matters.
SLOWEST_RATE = 0.95
#: M-steps in a row that lost of the expected log-likelihood, after which there is nothing to gain.
LOSSES = 5


class StoppingRule(Protocol):
    """Decides when EM has done enough."""

    def reached(
        self, means: Sequence[float], gains: Sequence[float], ahead: float | None = None
    ) -> str | None:
        """Return why to stop, or None to go on.

        Parameters
        ----------
        means : sequence of float
            Mean log-likelihoods (nats per row) before each M-step so far.
        gains : sequence of float
            What each of those M-steps gained of the expected log-likelihood, nats per row.
        ahead : float, optional
            By how much the mean log-likelihood still rises after the last of ``means``, where a
            look ahead on the sample has told.
        """


@dataclass(frozen=True)
class Tolerance:
    """scikit-learn's rule: the mean log-likelihood changed by less than ``tol`` nats per row.

    Attributes
    ----------
    tol : float
    previous : float, optional
        Mean log-likelihood before the first iteration, where a fit goes on from another.
    """

    tol: float
    previous: float | None = None

    def reached(
        self, means: Sequence[float], gains: Sequence[float], ahead: float | None = None
    ) -> str | None:
        """Return why to stop, or None to go on."""
        before = means[-2] if len(means) > 1 else self.previous
        change = np.inf if before is None else abs(means[-1] - before)
        if not change < self.tol:
            return None
        return f"the mean log-likelihood changed by {change:.2g} < tol = {self.tol:g} nats per row"


@dataclass(frozen=True)
class Negligible:
    """``tol: auto``: the predicted remaining gain is statistically nothing.

    It is compared with 0.05 nats of total log-likelihood per free parameter: half a nat per
    parameter is what the parameters move by sampling alone. See :func:`predicted_gain`.

    An M-step maximises, so that it can only lose where ``reg_covar`` is added to variances that are
    about as small: rows in a plane, a flat sea. EM then moves on slowly to where the two balance,
    and ever lower. That is the end as well, after a few such steps.

    Attributes
    ----------
    weight : float
        Rows, or the sum of their weights.
    n_parameters : int
    share : float
        Fraction of the 0.05 nats that is asked for; below 1 on a sample.
    falls : int
        M-steps in a row that must have gained no more than the one before: gains that grow lead
        away from a saddle, where starts with nearly equal components stand.
    """

    weight: float
    n_parameters: int
    share: float = 1.0
    falls: int = 1

    def reached(
        self, means: Sequence[float], gains: Sequence[float], ahead: float | None = None
    ) -> str | None:
        """Return why to stop, or None to go on."""
        gain = (predicted_gain(gains[-1]) if ahead is None else abs(ahead)) * self.weight
        allowed = self.share * NEGLIGIBLE * self.n_parameters
        # A mean near zero is a sum of terms that are not: it rounds as a nat per row does.
        rounding = 16 * np.finfo(np.float64).eps * max(abs(means[-1]), 1.0)
        last = gains[-self.falls - 1 :]
        falling = len(last) > self.falls and all(b <= a for a, b in pairwise(last))
        falling = falling or ahead is not None
        lost = gains[-LOSSES:]
        if len(lost) == LOSSES and all(each < -rounding for each in lost):
            return (
                f"the last {LOSSES} M-steps lost likelihood to reg_covar, which is added to "
                f"variances as small as it is; the last of them {-lost[-1] * self.weight:.3g} nats "
                "in total"
            )
        if abs(gains[-1]) > rounding and not (gain < allowed and falling):
            return None
        return (
            f"the predicted remaining gain of {gain:.3g} nats in total is below "
            f"{allowed:.3g} ({self.share * NEGLIGIBLE:g} per free parameter)"
        )


def predicted_gain(step_gain: float) -> float:
    """Predict how much the mean log-likelihood still rises, from what one M-step gained.

    Along a direction in which a step leaves the share r of the way to the optimum, what remains is
    the step's gain of the expected log-likelihood over 1 - r. The slowest direction that matters is
    taken to have r = 0.95. Rates seen in the likelihoods so far (Aitken's extrapolation) are
    smaller on a plateau, before the slow direction shows, and mean nothing between extrapolations.
    """
    return abs(step_gain) / (1.0 - SLOWEST_RATE)
