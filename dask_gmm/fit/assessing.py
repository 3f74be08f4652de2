"""Assessing: what the finishers' mixtures say of all rows, and of rows that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from dask_gmm.fit.ahead import Guide
from dask_gmm.fit.finishers import Finisher
from dask_gmm.fit.readings import Readings, expectation_in_memory
from dask_gmm.fit.selection import Assessed
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.second_draw import log_densities
from dask_gmm.mixture.several import scores
from dask_gmm.mixture.statistics import EMPTY, implied
from dask_gmm.mixture.survey import Survey

#: Share of the rows that must lie outside the sample for them to tell anything.
OUTSIDE = 0.1
#: Parts of the sample that the final mixture is left without, one after the other.
FOLDS = 5


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
            outside,
            float(each.solution.parameters.weights.min() * score.weight),
            len(each.solution.narrow),
            each.solution.converged,
        )
        for each, score in zip(finishers, found.parts, strict=True)
        for outside in [outside_sample(each, seen)]
    ]


def outside_sample(finisher: Finisher, seen: Survey) -> float | None:
    """Return the mean log-likelihood of the rows outside the sample under the fit to the sample.

    The first reading evaluates that fit, from which a finisher set out, on all rows; the sample's
    own part is taken off, so that it costs no reading. None where hardly any rows lie outside.
    """
    w, total = seen.sample.weights, seen.moments.weight
    inside = float(w.sum())
    if not finisher.solution.history or total - inside < OUTSIDE * total:
        return None
    own = float(finisher.contender.log_density(seen.sample) @ w)
    return (finisher.solution.history[0] * total - own) / (total - inside)


@dataclass(frozen=True)
class Heldout:
    """How the final mixture does on rows that it has not seen.

    Attributes
    ----------
    mean : float
        Their mean log-likelihood, nats per row.
    gap : float
        By how much that of the rows it has seen is higher.
    low, high : float
        Where the gap lies with 95 %.
    """

    mean: float
    gap: float
    low: float
    high: float


def held_out(readings: Readings, finisher: Finisher, seen: Survey) -> Heldout | None:
    """Tell how the final mixture does on rows that it has not seen; no reading is needed for it.

    Statistics are sums: those of a part of the sample are taken off those of all rows, and the rest
    of the sample shows where EM over the remaining rows ends (:mod:`dask_gmm.fit.ahead`). The part
    is then new to the mixture. Each fifth of the sample is left out once. None where there are too
    few rows to leave any out.
    """
    plan, final = finisher.contender.plan, finisher.solution.parameters
    sample = Rows(seen.sample.rows, seen.sample.weights)
    if len(sample.values) < FOLDS * plan.n_parameters:
        return None
    final_of = _Final(final, plan.frame, plan.floor, seen.moments.weight, seen.n_used)
    found = readings.map("leave-out", _leave_out, range(FOLDS), final_of, sample)
    gaps = np.array([gap for gap in found if gap is not None])
    if len(gaps) < FOLDS:
        return None
    gap = float(gaps.mean())
    # Rows of one part share a mixture, so that parts, not rows, are what scatters.
    reach = float(stdtrit(FOLDS - 1, 0.975) * gaps.std(ddof=1) / np.sqrt(FOLDS))
    return Heldout(finisher.solution.lower_bound - gap, gap, gap - reach, gap + reach)


@dataclass(frozen=True, eq=False)
class _Final:
    """The final mixture, fitted to ``n_all`` rows of ``weight`` in all."""

    parameters: Parameters
    frame: Frame
    floor: Array
    weight: float
    n_all: int


def _leave_out(fold: int, final: _Final, sample: Rows) -> float | None:
    """Return by how much the mean log-likelihood of a part falls where it is left out."""
    assert sample.weights is not None
    mine = np.arange(len(sample.values)) % FOLDS == fold
    part, rest = (Rows(sample.values[each], sample.weights[each]) for each in (mine, ~mine))
    own, weight = expectation_in_memory(part, final.frame)
    all_rows = implied(final.parameters, final.floor, final.weight, final.frame)
    remaining = all_rows.without(own(final.parameters))
    if not (remaining.N > EMPTY).all():
        return None
    ahead = Guide(rest, final.frame, final.floor, final.n_all).look(final.parameters, remaining)
    if ahead is None:
        return None
    with_it, without = (
        log_densities(each, final.frame, part) for each in (final.parameters, ahead.parameters)
    )
    return float((with_it - without) @ sample.weights[mine]) / weight
