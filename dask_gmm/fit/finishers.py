"""Finishers: where EM over all of the data leads the candidates that have gone on to it.

The first reading of EM serves a second draw, too: of rows that the sample's best mixture explains
worst, where small classes show. Starts that have components for them join at the next reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dask_gmm.fit.ahead import Guide, look_ahead
from dask_gmm.fit.candidates import Contender, best_by_bic, best_of_kinds
from dask_gmm.fit.compression import CountedReadings
from dask_gmm.fit.loop import Lookout, Rules, Solution
from dask_gmm.fit.race import Entry, RaceObserver, begin_race, race_step, run_race
from dask_gmm.fit.readings import Readings, expectations_over
from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.sample import StartPlan
from dask_gmm.fit.small_classes import with_small_classes
from dask_gmm.fit.stopping import StoppingRule
from dask_gmm.mixture.e_step import complete
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.second_draw import LARGEST_SHARE, SecondDraw, both_draws, e_steps_and_draw
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.survey import Survey

#: Readings of EM that must be allowed for it: small classes join at the second.
FEWEST_READINGS = 3


@dataclass(frozen=True, eq=False)
class Finisher:
    """A contender, and where EM over all of the data has led it.

    Attributes
    ----------
    contender : Contender
    solution : Solution
    joined : int
        Readings of EM that were over when it joined.
    """

    contender: Contender
    solution: Solution
    joined: int = 0

    def limited(self, most: int, reason: str) -> Finisher:
        """Return the same, with ``reason`` for its end where ``most`` readings were the end."""
        if self.solution.converged or self.joined + self.solution.n_iter < most:
            return self
        return replace(self, solution=replace(self.solution, stopped_by=reason))


def race(
    readings: Readings,
    contenders: Sequence[Contender],
    seen: Survey,
    seed: int,
    stopping: Callable[[StartPlan], StoppingRule],
    *,
    max_iter: int,
    halving: bool,
    observe: RaceObserver | None = None,
) -> list[Finisher]:
    """Fit all contenders over all of the data, in shared readings.

    Parameters
    ----------
    readings : Readings
    contenders : sequence of Contender
    seen : Survey
    seed : int
        The survey's.
    stopping : callable
        From a plan to its stopping rule.
    max_iter : int
        Readings at most.
    halving : bool
        See :func:`dask_gmm.fit.race.run_race`.
    observe : callable, optional
        Called after every reading.
    """
    first = _First((), Rows(seen.sample.rows, seen.sample.weights), ())
    if _worth_a_second_draw(readings, contenders, seen, max_iter):
        first = _first_reading(readings, contenders, seen, seed)
    course = _Course(readings, seen, first.rows, contenders[0].plan, stopping, max_iter)
    entries, n = [course.entry(each) for each in contenders], len(contenders)
    run = begin_race(entries)
    if first.statistics:
        run = race_step(run, first.statistics, entries, halving=halving, look=course.look)
        if observe is not None:
            observe(run)
        entries += [course.entry(each, joined=1) for each in first.small]
        run = run.joined_by(entries[n:])
    solutions = run_race(
        course.expectations, entries, halving=halving, look=course.look, race=run, observe=observe
    )
    early = zip(contenders, solutions[:n], strict=True)
    late = zip(first.small, solutions[n:], strict=True)
    return [*(Finisher(*each) for each in early), *(Finisher(*each, joined=1) for each in late)]


@dataclass(frozen=True)
class _First:
    """What the first reading of EM has found: statistics, the rows drawn so far, small classes."""

    statistics: Sequence[SufficientStatistics]
    rows: Rows
    small: Sequence[Contender]


def _worth_a_second_draw(
    readings: Readings, contenders: Sequence[Contender], seen: Survey, max_iter: int
) -> bool:
    """Tell whether a second draw may show what the sample does not.

    The sample must be a small part of the rows, a component must be there to be set free, and a
    reading to come. Distinct rows that stand for all have no draw: they are few.
    """
    return (
        not isinstance(readings, CountedReadings)
        and max_iter >= FEWEST_READINGS
        and len(seen.sample.rows) <= LARGEST_SHARE * seen.n_used
        and any(each.plan.n_components > 1 for each in contenders)
    )


def _first_reading(
    readings: Readings, contenders: Sequence[Contender], seen: Survey, seed: int
) -> _First:
    """Evaluate all contenders, and draw the rows that the best of them explains worst."""
    best, sample = best_by_bic(contenders, seen.sample), seen.sample
    frame = best.plan.frame
    plan = SecondDraw.after(sample, seed, best.fitted.final.parameters, frame, seen.n_used)
    mixtures = tuple(each.fitted.final.parameters for each in contenders)
    looked = readings.run("e-steps-and-draw", e_steps_and_draw, mixtures, frame, plan)
    rows = both_draws(sample, looked.drawn, plan)
    bases = [each for each in best_of_kinds(contenders) if each.plan.n_components > 1]
    small = readings.map("small-classes", _with_small_classes, bases, rows, seen.moments.weight)
    scatter = seen.moments.total_scatter(frame)
    statistics = [
        complete(part, mixture, scatter)
        for part, mixture in zip(looked.statistics.parts, mixtures, strict=True)
    ]
    return _First(statistics, rows, [each for each in small if each is not None])


def _with_small_classes(contender: Contender, rows: Rows, weight: float) -> Contender | None:
    found = with_small_classes(contender.fitted, contender.plan, rows, weight)
    if found is None:
        return None
    n_small = found.n_moves - contender.fitted.n_moves
    return replace(contender, fitted=found, n_small=n_small)


class _Course:
    """What all fits of a race share: readings, and a sample that looks ahead."""

    def __init__(
        self,
        readings: Readings,
        seen: Survey,
        rows: Rows,
        plan: StartPlan,
        stopping: Callable[[StartPlan], StoppingRule],
        max_iter: int,
    ) -> None:
        frame, floor = plan.frame, plan.floor
        self.expectations = expectations_over(readings, frame, seen.moments.total_scatter(frame))
        self._readings, self._stopping, self._max_iter = readings, stopping, max_iter
        self._guide = Guide(rows, frame, floor, seen.n_used)
        self._reseed = Reseeding(rows, frame, floor)
        # Where the fit reads distinct rows in memory, a step costs no more than one on a sample.
        self._looks = not isinstance(readings, CountedReadings) and self._guide.n_steps > 1

    def entry(self, contender: Contender, joined: int = 0) -> Entry:
        """Return a contender's entry, ``joined`` readings late."""
        plan = contender.plan
        stopping, left = self._stopping(plan), self._max_iter - joined
        rules = Rules(plan.floor, stopping, left, plan.accelerate, self._reseed)
        return Entry(contender.kind, contender.fitted.final.parameters, rules)

    def look(
        self, points: Sequence[tuple[Parameters, SufficientStatistics]]
    ) -> Sequence[Lookout | None]:
        """Look ahead from several points, where passes run."""
        if not self._looks or not points:
            return [None] * len(points)
        return self._readings.map("ahead", look_ahead, points, self._guide)


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
