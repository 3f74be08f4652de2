"""Candidates: families, numbers of components and seeds, from the sample to a table of fits.

Starts of every kind (family and K) are fitted on the sample; those that may still be the best go on
to all of the data, in shared readings; one more reading assesses the best of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.fit.ahead import Guide, look_ahead
from dask_gmm.fit.compression import CountedReadings
from dask_gmm.fit.loop import Lookout, Rules, Solution
from dask_gmm.fit.race import Entry, RaceObserver, run_race
from dask_gmm.fit.readings import Readings, expectations_over
from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.sample import FittedStart, StartPlan, fit_start
from dask_gmm.fit.selection import Assessed
from dask_gmm.fit.split_merge import split_and_merge
from dask_gmm.fit.stopping import NEGLIGIBLE, StoppingRule
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.several import scores
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.survey import Sample, Survey

#: Starts of one kind that splits and merges improve: the best, and another optimum to set out from.
IMPROVED = 2
#: Standard errors of the paired difference on the sample by which a start has lost.
LOST = 3.0
#: Share of the rows that must lie outside the sample for them to tell anything.
OUTSIDE = 0.1


@dataclass(frozen=True, eq=False)
class Contender:
    """A start of one kind, fitted on the sample.

    Attributes
    ----------
    plan : StartPlan
    fitted : FittedStart
    """

    plan: StartPlan
    fitted: FittedStart

    @property
    def kind(self) -> tuple[str, int]:
        """Family and K: within a kind likelihoods compare."""
        return self.plan.covariance_type, self.plan.n_components

    def log_density(self, sample: Sample) -> Array:
        """Return the log-density (m,) of the sample's rows under the fit to them."""
        kernel = Kernel(self.fitted.final.parameters, self.plan.frame)
        said = predict(kernel, Rows(sample.rows, sample.weights), Wanted(log_density=True))
        assert said.log_density is not None
        return said.log_density


@dataclass(frozen=True, eq=False)
class Finisher:
    """A contender, and where EM over all of the data has led it."""

    contender: Contender
    solution: Solution

    def limited(self, most: int, reason: str) -> Finisher:
        """Return the same, with ``reason`` for its end where ``most`` readings were the end."""
        if self.solution.converged or self.solution.n_iter < most:
            return self
        return replace(self, solution=replace(self.solution, stopped_by=reason))


def fit_starts(
    readings: Readings, plans: Sequence[StartPlan], seeds: Sequence[int], sample: Sample
) -> list[Contender]:
    """Fit every kind with every seed on the sample, each where passes run; improve the best.

    Among several kinds one start of each is improved: its neighbours in K are compared with it.
    """
    shared = (sample.rows, sample.weights)
    fitted = readings.map(
        "start", _fit, [(plan, seed) for plan in plans for seed in seeds], *shared
    )
    n_improved = IMPROVED if len(plans) == 1 else 1
    best = [each for kind in _by_kind(fitted) for each in _ranked(kind)[:n_improved]]
    better = readings.map("split-merge", _improve, best, *shared)
    improved = {(each.kind, each.fitted.seed): each for each in better}
    return [improved.get((each.kind, each.fitted.seed), each) for each in fitted]


def going_on(contenders: Sequence[Contender], sample: Sample, *, halving: bool) -> list[Contender]:
    """Return the starts that go on to all of the data.

    With halving, of each kind the best, and those that are neither the same optimum nor behind by
    more than three standard errors of the paired difference on the sample: more rows would hardly
    turn that.
    """
    if not halving:
        return list(contenders)
    stay: list[Contender] = []
    for kind in _by_kind(contenders):
        best, *others = _ranked(kind)
        level = best.log_density(sample) if others else None
        stay += [best, *(each for each in others if _may_win(each, level, sample))]
    return stay


def race(
    readings: Readings,
    contenders: Sequence[Contender],
    seen: Survey,
    stopping: Callable[[StartPlan], StoppingRule],
    *,
    max_iter: int,
    halving: bool,
    observe: RaceObserver | None = None,
) -> list[Finisher]:
    """Fit all contenders over all of the data, in shared readings."""
    frame = contenders[0].plan.frame
    entries = [
        Entry(
            each.kind,
            each.fitted.final.parameters,
            Rules(
                each.plan.floor,
                stopping(each.plan),
                max_iter,
                each.plan.accelerate,
                Reseeding(Rows(seen.sample.rows, seen.sample.weights), frame, each.plan.floor),
            ),
        )
        for each in contenders
    ]
    expectations = expectations_over(readings, frame, seen.moments.total_scatter(frame))
    rows = Rows(seen.sample.rows, seen.sample.weights)
    guide = Guide(rows, frame, contenders[0].plan.floor, seen.n_used)

    def look(points: Sequence[tuple[Parameters, SufficientStatistics]]) -> list[Lookout | None]:
        return readings.map("ahead", look_ahead, points, guide)

    helps = guide.n_steps > 1 and not isinstance(readings, CountedReadings)
    solutions = run_race(
        expectations, entries, halving=halving, look=look if helps else None, observe=observe
    )
    return [Finisher(c, s) for c, s in zip(contenders, solutions, strict=True)]


def best_of_each_kind(finishers: Iterable[Finisher]) -> list[Finisher]:
    """Return the finisher with the highest likelihood of each kind; the lowest seed of equals."""
    kinds: dict[tuple[str, int], list[Finisher]] = {}
    for each in finishers:
        kinds.setdefault(each.contender.kind, []).append(each)
    best = []
    for members in kinds.values():
        highest = max(each.solution.lower_bound for each in members)
        equal = [each for each in members if each.solution.lower_bound >= highest - 1e-9]
        best.append(min(equal, key=lambda each: each.contender.fitted.seed))
    return best


def assess(readings: Readings, finishers: Sequence[Finisher], seen: Survey) -> list[Assessed]:
    """Read all of the data once more: what every finisher's final mixture says of it."""
    frame = finishers[0].contender.plan.frame
    mixtures = tuple(each.solution.parameters.outside(frame) for each in finishers)
    found = readings.run("assess", scores, mixtures)
    return [
        Assessed(
            *each.contender.kind,
            frame.D,
            score.log_likelihood,
            score.entropy,
            score.weight,
            None if outside is None else outside.outside,
            float(each.solution.parameters.weights.min() * score.weight),
            len(each.solution.narrow),
            each.solution.converged,
        )
        for each, score in zip(finishers, found.parts, strict=True)
        for outside in [heldout(each, seen)]
    ]


@dataclass(frozen=True)
class Heldout:
    """How a fit to the sample does on rows that it has not seen.

    Attributes
    ----------
    outside : float
        Mean log-likelihood of the rows outside the sample, nats per row.
    gap : float
        By how much the sample's own is higher.
    error : float
        Standard error of the gap: chance alone moves it by as much.
    """

    outside: float
    gap: float
    error: float


def heldout(finisher: Finisher, seen: Survey) -> Heldout | None:
    """Tell how the fit to the sample, from which a finisher set out, does on all other rows.

    The first reading evaluates that fit on all rows; the sample's own part is taken off, so that it
    costs no reading. None where hardly any rows lie outside.
    """
    w, total = seen.sample.weights, seen.moments.weight
    inside = float(w.sum())
    if not finisher.solution.history or total - inside < OUTSIDE * total:
        return None
    density = finisher.contender.log_density(seen.sample)
    own = float(density @ w) / inside
    outside = (finisher.solution.history[0] * total - own * inside) / (total - inside)
    variance = float(w @ (density - own) ** 2) / inside
    error = float(np.sqrt(variance * (1.0 / inside + 1.0 / (total - inside))))
    return Heldout(outside, own - outside, error)


def _fit(item: tuple[StartPlan, int], values: Array, weights: Array) -> Contender:
    plan, seed = item
    return Contender(plan, fit_start(seed, plan, values, weights))


def _improve(contender: Contender, values: Array, weights: Array) -> Contender:
    plan = contender.plan
    return Contender(plan, split_and_merge(contender.fitted, plan, values, weights))


def _by_kind(contenders: Iterable[Contender]) -> list[list[Contender]]:
    kinds: dict[tuple[str, int], list[Contender]] = {}
    for each in contenders:
        kinds.setdefault(each.kind, []).append(each)
    return list(kinds.values())


def _ranked(contenders: Iterable[Contender]) -> list[Contender]:
    """Return starts of one kind, the highest likelihood on the sample first."""
    return sorted(contenders, key=lambda each: (-each.fitted.final.lower_bound, each.fitted.seed))


def _may_win(contender: Contender, level: Array | None, sample: Sample) -> bool:
    """Tell whether a start may still overtake the best, whose log-densities are ``level`` (m,)."""
    assert level is not None
    behind, w = level - contender.log_density(sample), sample.weights
    total = float(w.sum())
    mean = float(behind @ w) / total
    error = float(np.sqrt(w**2 @ (behind - mean) ** 2)) / total
    same = mean * total < NEGLIGIBLE * contender.plan.n_parameters
    return not same and mean <= LOST * error
