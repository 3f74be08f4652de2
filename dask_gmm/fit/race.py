"""Several fits that share their readings: those that converge leave, and those without hope.

Every reading serves all that still run. A fit in company takes the steps that it takes alone: what
the others do decides only how long it may go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from dask_gmm.fit.loop import Lookout, Rules, Solution, begin, solution, step
from dask_gmm.fit.state import State
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.statistics import SufficientStatistics

#: From several parameters to the statistics of all rows under each: one reading of the data.
Expectations: TypeAlias = Callable[[Sequence[Parameters]], Sequence[SufficientStatistics]]
#: From several points, each with its statistics of all rows, to where a sample sees EM end.
LookAhead: TypeAlias = Callable[
    [Sequence[tuple[Parameters, SufficientStatistics]]], Sequence[Lookout | None]
]
#: Called after every reading with the race as it stands.
RaceObserver: TypeAlias = Callable[["Race"], None]


@dataclass(frozen=True, eq=False)
class Entry:
    """One fit in a race.

    Attributes
    ----------
    group : object
        What it competes within: fits of one family and size, whose likelihoods compare.
    start : Parameters
    rules : Rules
    """

    group: Any
    start: Parameters
    rules: Rules


@dataclass(frozen=True, eq=False)
class Race:
    """Where a race stands between two readings.

    Attributes
    ----------
    states : tuple of State
        One of each entry, in their order.
    """

    states: tuple[State, ...]

    @property
    def running(self) -> tuple[int, ...]:
        """The entries (from 0) that the next reading serves."""
        return tuple(i for i, state in enumerate(self.states) if state.running)

    @property
    def n_readings(self) -> int:
        """Readings so far."""
        return max((len(state.history) for state in self.states), default=0)

    @property
    def best_mean(self) -> float:
        """The highest mean log-likelihood that a mixture has had, nats per row."""
        return max(state.kept[-1] for state in self.states if state.kept)

    def joined_by(self, entries: Sequence[Entry]) -> Race:
        """Return the race with more entries behind the others, from their starts."""
        return Race((*self.states, *begin_race(entries).states))


def run_race(
    expectations: Expectations,
    entries: Sequence[Entry],
    *,
    halving: bool,
    look: LookAhead | None = None,
    race: Race | None = None,
    observe: RaceObserver | None = None,
) -> list[Solution]:
    """Fit all entries in shared readings; return their solutions in order.

    Parameters
    ----------
    expectations : callable
        See :data:`Expectations`.
    entries : sequence of Entry
        Their starts stand in the frame of ``expectations``.
    halving : bool
        Whether the worse half of each group leaves after readings 1, 2, 4, 8, ...
    look : callable, optional
        See :data:`LookAhead`; without it, and for a fit that what it saw has misled, steps are
        extrapolated from those before.
    race : Race, optional
        Where it stands, after readings that were done apart.
    observe : callable, optional
        See :data:`RaceObserver`.
    """
    race = race or begin_race(entries)
    while race.running:
        found = expectations([race.states[i].parameters for i in race.running])
        race = race_step(race, found, entries, halving=halving, look=look)
        if observe is not None:
            observe(race)
    return [solution(state, entry.rules) for state, entry in zip(race.states, entries, strict=True)]


def begin_race(entries: Sequence[Entry]) -> Race:
    """Return the race before the first reading."""
    return Race(tuple(begin(entry.start, entry.rules) for entry in entries))


def race_step(
    race: Race,
    statistics: Sequence[SufficientStatistics],
    entries: Sequence[Entry],
    *,
    halving: bool,
    look: LookAhead | None = None,
) -> Race:
    """Return the race after a reading that found ``statistics`` for those running, in order."""
    states, found = list(race.states), dict(zip(race.running, statistics, strict=True))
    followers = [i for i in found if entries[i].rules.accelerate and not states[i].refused]
    seen = [] if look is None else look([(states[i].parameters, found[i]) for i in followers])
    ahead = dict(zip(followers, seen, strict=False))
    for i, sums in found.items():
        states[i] = step(states[i], sums, entries[i].rules, ahead.get(i))
    after = Race(tuple(states))
    n = after.n_readings
    if not halving or n & (n - 1):
        return after
    for group in dict.fromkeys(entry.group for entry in entries):
        members = [i for i, entry in enumerate(entries) if entry.group == group]
        for i in _worse_half(after, members):
            reason = f"{n} reading{'s' if n > 1 else ''} in, better starts of its kind were ahead"
            states[i] = replace(states[i], stopped_by=reason)
    return Race(tuple(states))


def _worse_half(race: Race, members: Iterable[int]) -> list[int]:
    """Return the running entries in the worse half of those that run or have converged.

    One that has joined stands where the sample has led it: it is compared once a reading of its own
    has led it on, as one has the others.
    """
    alive = [
        i
        for i in members
        if (race.states[i].running or race.states[i].converged)
        and (race.n_readings == 1 or len(race.states[i].history) > 1)
    ]
    # Sorting is stable: of equals the first stays.
    ranked = sorted(alive, key=lambda i: -race.states[i].kept[-1])
    return [i for i in ranked[(len(ranked) + 1) // 2 :] if race.states[i].running]
