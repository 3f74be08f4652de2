"""Candidates: starts of every kind (family and K), fitted on the sample; some of them go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dask_gmm.fit.readings import Readings
from dask_gmm.fit.sample import FittedStart, StartPlan, fit_start, ranking
from dask_gmm.fit.split_merge import split_and_merge
from dask_gmm.fit.stopping import NEGLIGIBLE
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.second_draw import log_densities
from dask_gmm.mixture.survey import Sample

#: Starts of one kind that splits and merges improve: the best, and another optimum to set out from.
IMPROVED = 2
#: Standard errors of the paired difference on the sample by which a start has lost.
LOST = 3.0


@dataclass(frozen=True, eq=False)
class Contender:
    """A start of one kind, fitted on the sample.

    Attributes
    ----------
    plan : StartPlan
    fitted : FittedStart
    n_small : int
        Components for small classes, which the second draw has shown.
    """

    plan: StartPlan
    fitted: FittedStart
    n_small: int = 0

    @property
    def kind(self) -> tuple[str, int]:
        """Family and K: within a kind likelihoods compare."""
        return self.plan.covariance_type, self.plan.n_components

    def log_density(self, sample: Sample) -> Array:
        """Return the log-density (m,) of the sample's rows under the fit to them."""
        return log_densities(self.fitted.final.parameters, self.plan.frame, Rows(sample.rows))


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
        n_collapsed = best.fitted.n_collapsed
        stay += [best, *(e for e in others if _may_win(e, level, n_collapsed, sample))]
    return stay


def best_of_kinds(contenders: Iterable[Contender]) -> list[Contender]:
    """Return the best start of each kind on the sample."""
    return [_ranked(kind)[0] for kind in _by_kind(contenders)]


def best_by_bic(contenders: Iterable[Contender], sample: Sample) -> Contender:
    """Return the start that BIC prefers on the sample, whatever its kind."""
    m = float(sample.weights.sum())

    def bic(each: Contender) -> float:
        mean = each.fitted.final.lower_bound
        return -2.0 * m * mean + each.plan.n_parameters * float(np.log(m))

    return min(best_of_kinds(contenders), key=bic)


def _fit(item: tuple[StartPlan, int], values: Array, weights: Array) -> Contender:
    plan, seed = item
    return Contender(plan, fit_start(seed, plan, values, weights))


def _improve(contender: Contender, values: Array, weights: Array) -> Contender:
    plan = contender.plan
    if plan.given is not None:
        return contender
    return Contender(plan, split_and_merge(contender.fitted, plan, values, weights))


def _by_kind(contenders: Iterable[Contender]) -> list[list[Contender]]:
    kinds: dict[tuple[str, int], list[Contender]] = {}
    for each in contenders:
        kinds.setdefault(each.kind, []).append(each)
    return list(kinds.values())


def _ranked(contenders: Sequence[Contender]) -> list[Contender]:
    """Return starts of one kind, the best on the sample first."""
    return [contenders[i] for i in ranking([each.fitted for each in contenders])]


def _may_win(contender: Contender, level: Array | None, n_collapsed: int, sample: Sample) -> bool:
    """Tell whether a start may still overtake the best, whose log-densities are ``level`` (m,).

    One with more components than ``n_collapsed``, the best one's, that have collapsed may not.
    """
    assert level is not None
    if contender.fitted.n_collapsed > n_collapsed:
        return False
    behind, w = level - contender.log_density(sample), sample.weights
    total = float(w.sum())
    mean = float(behind @ w) / total
    error = float(np.sqrt(w**2 @ (behind - mean) ** 2)) / total
    same = mean * total < NEGLIGIBLE * contender.plan.n_parameters
    return not same and mean <= LOST * error
