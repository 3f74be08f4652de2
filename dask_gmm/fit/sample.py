"""Starting on the sample: several seeds, each fitted where a step costs milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from dask_gmm.fit.loop import Rules, Solution, fit_em
from dask_gmm.fit.readings import expectation_in_memory
from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.starts import start_responsibilities
from dask_gmm.fit.stopping import Negligible
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import Family, family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import (
    SufficientStatistics,
    joined,
    m_step,
    narrow_components,
)

#: Floating-point operations that one start may spend on the sample: about half a minute of a core.
START_WORK = 1e12
#: M-steps of one start, at least and at most.
FEWEST_STEPS, MOST_STEPS = 50, 2_000
#: Nats per row within which likelihoods of starts are equal.
EQUAL = 1e-9
#: On the sample EM goes on until a tenth of what the whole data would notice.
TIGHTNESS = 0.1


@dataclass(frozen=True, eq=False)
class StartPlan:
    """One family, one K, one way to start; what every seed shares.

    Attributes
    ----------
    covariance_type, n_components, method
        As in the configuration; ``method`` is ``model.init``, or "given".
    frame : Frame
    floor : (D,)
        In the frame.
    max_iter : int
        M-steps on the sample at most.
    accelerate : bool
        Whether steps may be extrapolated.
    given : Parameters or None
        A mixture of this kind to start from, in original units.
    """

    covariance_type: str
    n_components: int
    method: str
    frame: Frame
    floor: Array
    max_iter: int
    accelerate: bool = True
    given: Parameters | None = None

    @property
    def family(self) -> Family:
        """The covariance family."""
        return family(self.covariance_type)

    @property
    def n_parameters(self) -> int:
        """Free parameters of such a mixture."""
        return self.family.n_parameters(self.n_components, self.frame.D)


@dataclass(frozen=True, eq=False)
class FittedStart:
    """One seed's solution on the sample.

    Attributes
    ----------
    seed : int
    solution : Solution
        Where EM from the seed's start ended.
    improved : Solution or None
        Where ``n_moves`` splits and merges led from there; see :mod:`dask_gmm.fit.split_merge`.
    weight : float
        Of the sample's rows.
    """

    seed: int
    solution: Solution
    improved: Solution | None = None
    n_moves: int = 0
    weight: float = 0.0

    @property
    def final(self) -> Solution:
        """The last of the two."""
        return self.improved or self.solution

    @property
    def n_collapsed(self) -> int:
        """Components at their floor that hold no more rows than they have parameters.

        G. J. McLachlan, D. Peel ("Finite mixture models", 2000, 3.10) call such optima spurious: a
        few rows that happen to lie in a plane, or on a point, have any likelihood that the floor
        allows. Many rows of one value are no accident: a narrow component may describe these.
        """
        parameters, D = self.final.parameters, self.final.parameters.D
        own = parameters.family.n_parameters(1, D)
        return sum(parameters.weights[k] * self.weight <= own for k in self.final.narrow)


def affordable_steps(family: Family, K: int, D: int, n_rows: int) -> int:
    """Return how many M-steps one start may take on a sample of ``n_rows`` rows.

    A count of operations and not a time: the same start ends the same everywhere.
    """
    step = 4.0 * K * family.n_features(D) * n_rows
    return int(np.clip(START_WORK / step, FEWEST_STEPS, MOST_STEPS))


def start_parameters(
    plan: StartPlan, values: Array, weights: Array | None, random_state: np.random.RandomState
) -> Parameters:
    """Draw a start on rows (n, D) in original units; return it in the plan's frame.

    Beyond what the way to start itself needs, memory is that of a block of rows.
    """
    unit = plan.frame.unit
    rows = values if (unit == 1.0).all() else np.asarray(values, dtype=np.float64) / unit
    shares = start_responsibilities(plan.method, rows, weights, plan.n_components, random_state)
    statistics = reduce(
        joined,
        (
            SufficientStatistics.of_responsibilities(
                values[where], R, plan.family, frame=plan.frame
            )
            for where, R in shares
        ),
    )
    return m_step(statistics, plan.floor)


def fit_start(seed: int, plan: StartPlan, values: Array, weights: Array | None) -> FittedStart:
    """Fit one seed on the sample (m, D) until the sample has nothing more to say.

    A mixture that was given goes on as it is: all rows made it, and a class of a few thousandths
    would not outlive a fit to the few that a sample has of it.
    """
    if plan.given is not None:
        return as_given(seed, plan.given, plan, Rows(values, weights))
    start = start_parameters(plan, values, weights, np.random.RandomState(seed % 2**32))
    weight = float(len(values) if weights is None else weights.sum())
    return FittedStart(seed, fit_in_memory(start, plan, Rows(values, weights)), weight=weight)


def as_given(seed: int, given: Parameters, plan: StartPlan, rows: Rows) -> FittedStart:
    """Return a mixture in original units as a start, and how it explains the sample."""
    start = given.inside(plan.frame)
    if (
        start.family.name != plan.covariance_type
    ):  # one variance per feature: this frame's units are others
        start = Parameters.of(
            plan.family, start.weights, start.means, start.covariances.mean(axis=1)
        )
    expectation, weight = expectation_in_memory(rows, plan.frame)
    seen = Solution(
        start,
        (expectation(start).mean_log_likelihood,),
        converged=False,
        stopped_by="it is the model that was given",
        narrow=narrow_components(start, plan.floor),
        status=("ok",) * start.K,
    )
    return FittedStart(seed, seen, weight=weight)


def fit_in_memory(start: Parameters, plan: StartPlan, rows: Rows) -> Solution:
    """Fit rows in memory from ``start`` until they have nothing more to say."""
    expectation, weight = expectation_in_memory(rows, plan.frame)
    n_parameters = plan.family.n_parameters(start.K, plan.frame.D)
    return fit_em(
        expectation,
        start,
        Rules(
            plan.floor,
            Negligible(weight, n_parameters, TIGHTNESS, falls=3),
            plan.max_iter,
            plan.accelerate,
            Reseeding(rows, plan.frame, plan.floor),
        ),
    )


def ranking(fitted: Sequence[FittedStart]) -> list[int]:
    """Return the order of starts of one kind, the best on the sample first: collapse wins nothing.

    Those with fewer collapsed components come first, then the likelier; of equal likelihoods (to
    1e-9 below the highest) the lowest seed.
    """

    def level(i: int) -> tuple[int, float]:
        return fitted[i].n_collapsed, -fitted[i].final.lower_bound

    left, ranked = sorted(range(len(fitted)), key=level), list[int]()
    while left:
        n_collapsed, highest = level(left[0])
        equal = [i for i in left if level(i)[0] == n_collapsed and level(i)[1] <= highest + EQUAL]
        ranked.append(min(equal, key=lambda i: fitted[i].seed))
        left.remove(ranked[-1])
    return ranked
