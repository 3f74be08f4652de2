"""When EM has done enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: Nats of log-likelihood per free parameter: a tenth of what sampling moves them by.
NEGLIGIBLE = 0.05


class StoppingRule(Protocol):
    """Decides on the mean log-likelihoods (nats per row) of the iterations so far."""

    def reached(self, means: Sequence[float]) -> str | None:
        """Return why to stop, or None to go on."""


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

    def reached(self, means: Sequence[float]) -> str | None:
        """Return why to stop, or None to go on."""
        before = means[-2] if len(means) > 1 else self.previous
        change = np.inf if before is None else abs(means[-1] - before)
        if not change < self.tol:
            return None
        return f"the mean log-likelihood changed by {change:.2g} < tol = {self.tol:g} nats per row"


@dataclass(frozen=True)
class Negligible:
    """``tol: auto``: the predicted remaining gain is statistically nothing.

    The remaining gain in total log-likelihood is predicted by Aitken's extrapolation of a
    linearly converging sequence (D. Böhning et al., Ann. Inst. Statist. Math. 46, 1994) with the
    slower of the last two rates, and compared with 0.05 nats per free parameter: half a nat per
    parameter is what the parameters move by sampling alone.

    Attributes
    ----------
    weight : float
        Rows, or the sum of their weights.
    n_parameters : int
    share : float
        Fraction of the 0.05 nats that is asked for; below 1 on a sample.
    """

    weight: float
    n_parameters: int
    share: float = 1.0

    def reached(self, means: Sequence[float]) -> str | None:
        """Return why to stop, or None to go on."""
        gain = predicted_gain(means)
        allowed = self.share * NEGLIGIBLE * self.n_parameters
        if gain is None or gain * self.weight >= allowed:
            return None
        return (
            f"the predicted remaining gain of {gain * self.weight:.3g} nats in total is below "
            f"{allowed:.3g} ({self.share * NEGLIGIBLE:g} per free parameter)"
        )


def predicted_gain(means: Sequence[float]) -> float | None:
    """Predict how much the mean log-likelihood still rises; None where it cannot be told."""
    if len(means) < 4:
        return None
    steps = np.diff(means[-4:])
    # A mean near zero is a sum of terms that are not: it rounds as a nat per row does.
    rounding = 16 * np.finfo(np.float64).eps * max(abs(means[-1]), 1.0)
    if abs(steps[-1]) <= rounding and abs(steps[-2]) <= rounding:
        return 0.0
    if not (steps > 0).all():
        # A fall (an additive floor allows one) says nothing of a rate: a small one ends the fit.
        return float(abs(steps).max()) if (steps <= 0).all() else None
    rate = float(max(steps[-1] / steps[-2], steps[-2] / steps[-3]))
    return float(steps[-1] * rate / (1.0 - rate)) if rate < 1.0 else None
