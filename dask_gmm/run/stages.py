"""The stages of a run: survey, start, fit, select, segment. Each takes values and returns values.

``pipelines/`` puts them together in other ways; nothing here knows of run directories.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.data.features import members_with_features
from dask_gmm.data.sources import Source
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.fit.assessing import Heldout, assess, held_out
from dask_gmm.fit.candidates import Contender, fit_starts, going_on
from dask_gmm.fit.compression import CountedReadings
from dask_gmm.fit.finishers import Finisher, best_of_each_kind, race
from dask_gmm.fit.readings import Readings
from dask_gmm.fit.sample import (
    StartPlan,
    affordable_steps,
)
from dask_gmm.fit.selection import Assessed, Choice, choose
from dask_gmm.fit.stopping import NEGLIGIBLE, Negligible, StoppingRule, Tolerance
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.survey import Survey, SurveyPlan, survey
from dask_gmm.run.config import Config
from dask_gmm.run.config.sections import FEWEST_PASSES
from dask_gmm.run.numbering import Numbering
from dask_gmm.run.plan import RunPlan
from dask_gmm.run.segment import Segmentation, segment
from dask_gmm.run.segmented import Segmented

log = logging.getLogger(__name__)

#: What ``reg_covar: auto`` is for data that are not integers, in the model frame: scikit-learn's.
DEFAULT_REG_COVAR = 1e-6

#: Of features: how a row may have come to have no value.
_WHERE_FROM = "features have no value where they divide by 0 or take a logarithm of 0 or less; "

#: Called after every full pass of EM with its number and the mean log-likelihood before it.
Observer = Callable[[int, float], None]


@dataclass(frozen=True)
class Started:
    """What the sample has decided.

    Attributes
    ----------
    frame : Frame
        One for all candidates: they share every reading.
    reg_covar : (D,)
        The variance floor in the model frame.
    fitted : tuple of Contender
        Every start of every kind.
    going_on : tuple of Contender
        Those that go on to all of the data.
    """

    frame: Frame
    reg_covar: Array
    fitted: tuple[Contender, ...]
    going_on: tuple[Contender, ...]


@dataclass(frozen=True)
class Selected:
    """What has become of the candidates.

    Attributes
    ----------
    winner : Finisher
    finishers : tuple of Finisher
        Every start that went on to all of the data.
    assessed : tuple of Assessed
        The best of each kind as they compare; empty where there was one kind alone.
    choice : Choice or None
        Which of them is the winner, and remarks; None where there was one kind alone.
    heldout : Heldout or None
        How the winner does on rows that it has not seen.
    """

    winner: Finisher
    finishers: tuple[Finisher, ...]
    assessed: tuple[Assessed, ...] = ()
    choice: Choice | None = None
    heldout: Heldout | None = None


def survey_stage(config: Config, source: Source, plan: RunPlan, readings: Readings) -> Survey:
    """Read everything once: moments, extrema, invalid rows, and the sample.

    Where most rows turn out not to take part, so that the sample is far smaller than it should be,
    everything is read once more to draw it.

    Raises
    ------
    InputDataError
        If rows are invalid and ``source.on_invalid`` is ``error``, or fewer rows than components
        are left.
    """
    drawn = SurveyPlan(
        plan.n_features,
        plan.sample_rows,
        config.model.random_state,
        plan.n_rows,
        plan.compression.most_distinct,
    )
    seen = readings.run("survey", survey, drawn)
    if seen.n_invalid and config.source.on_invalid == "error":
        raise InputDataError(_where_invalid(source, plan, seen))
    K = max(K for _, K in config.model.kinds)
    if seen.n_used < K:
        raise InputDataError(
            f"{plan.manifest.path}: {seen.n_used:,} of {seen.n_rows:,} rows take part "
            f"({seen.n_masked:,} masked, {seen.n_invalid:,} with NaN, infinity or absurdly large "
            f"values); model.n_components={K} needs at least as many"
        )
    found, wanted = len(seen.sample.rows), min(plan.sample_rows, seen.n_used)
    passes_left = config.fit.max_passes is None or config.fit.max_passes > FEWEST_PASSES
    if found >= max(K, wanted // 2) or (found >= K and not passes_left):
        return seen
    if not passes_left:
        raise ConfigurationError(
            f"fit.max_passes={FEWEST_PASSES}: so few rows take part ({seen.n_used:,} of "
            f"{seen.n_rows:,}) that the survey needs a second reading; "
            f"set fit.max_passes >= {FEWEST_PASSES + 1}"
        )
    log.info("%s of %s rows take part: the sample is drawn again", seen.n_used, seen.n_rows)
    return readings.run("survey", survey, replace(drawn, n_rows=seen.n_used))


def _where_invalid(source: Source, plan: RunPlan, seen: Survey) -> str:
    row = seen.first_invalid or 0
    position = source.grid.position(row)
    return (
        f"{plan.manifest.path}: {seen.n_invalid:,} of {seen.n_rows:,} rows hold NaN, infinity or "
        f"absurdly large values, the first at {position} in "
        f"{source.where(source.grid.cell_of(row))}; "
        f"{_WHERE_FROM if members_with_features(source) else ''}"
        "mend the data, or set source.on_invalid: mask"
    )


def start_stage(
    config: Config,
    source: Source,
    readings: Readings,
    seen: Survey,
    given: Parameters | None = None,
) -> Started:
    """Fit every start of every kind on the sample, where passes run, and choose who goes on.

    A mixture that is ``given``, in original units, is the only start, and goes on as it is.
    """
    model, sample, D = config.model, seen.sample, source.n_features
    unit = seen.moments.deviations if config.standardize else np.ones(D)
    # Candidates share readings, so they share a frame: an isotropic family wants one power of two
    # for all features, which takes nothing from the others.
    isotropic = any(family(name).isotropic for name, _ in model.kinds)
    frame = Frame.of_sample(sample.rows, unit=unit, isotropic=isotropic)
    reg_covar = floor_in_model_frame(model.reg_covar, source.feature_steps, unit)
    plans = [
        StartPlan(
            name,
            K,
            model.init if isinstance(model.init, str) else "given",
            frame,
            frame.floor(reg_covar),
            affordable_steps(family(name), K, D, len(sample.rows)),
            config.fit.acceleration == "auto",
            given,
        )
        for name, K in model.kinds
    ]
    seeds = [model.random_state + i for i in range(model.n_starts)]
    fitted = fit_starts(readings, plans, seeds, sample)
    stay = going_on(fitted, sample, halving=config.fit.halving)
    return Started(frame, reg_covar, tuple(fitted), tuple(stay))


def floor_in_model_frame(reg_covar: float | str, steps: Sequence[float], unit: Array) -> Array:
    """Return the variance floor (D,) in model-frame units.

    ``auto`` is, for values in steps, the variance of their rounding, step^2 / 12 in original units:
    a component cannot be narrower than the step it was measured in. For other data it is 1e-6.
    Every feature goes by its own step, (D,), 0 where it has none.
    """
    if reg_covar != "auto":
        return np.full(len(unit), float(reg_covar))
    step = np.asarray(steps)
    return np.where(step > 0, step**2 / 12.0 / unit**2, DEFAULT_REG_COVAR)


def fit_stage(
    config: Config, readings: Readings, seen: Survey, started: Started, observe: Observer
) -> tuple[Finisher, ...]:
    """Go on from the starts over all of the data, in shared readings.

    ``fit.max_passes`` counts every reading: those done so far, those of EM, and those that
    selection and segmentation will need. Steps on distinct rows read nothing.
    """
    model, allowed = config.model, config.fit.max_passes
    to_come = 1 + (len(model.kinds) > 1)
    most = model.max_iter
    if allowed is not None and not isinstance(readings, CountedReadings):
        most = min(most, allowed - readings.n_passes - to_come)
    finishers = race(
        readings,
        started.going_on,
        seen,
        model.random_state,
        lambda plan: _stopping(config, seen, plan),
        max_iter=most,
        halving=config.fit.halving,
        observe=lambda standing: observe(standing.n_readings, standing.best_mean),
    )
    if most == model.max_iter:
        return tuple(finishers)
    reason = f"the limit of fit.max_passes={allowed} was reached"
    return tuple(each.limited(most, reason) for each in finishers)


def _stopping(config: Config, seen: Survey, plan: StartPlan) -> StoppingRule:
    if config.model.tol != "auto":
        return Tolerance(config.model.tol)
    return Negligible(seen.moments.weight, plan.n_parameters)


def negligible_gain(config: Config, seen: Survey, D: int) -> float:
    """Return at what gain of the mean log-likelihood, nats per row, EM is likely to end."""
    if config.model.tol != "auto":
        return config.model.tol
    n_parameters = max(family(name).n_parameters(K, D) for name, K in config.model.kinds)
    return NEGLIGIBLE * n_parameters / seen.moments.weight


def select_stage(
    config: Config, readings: Readings, seen: Survey, finishers: tuple[Finisher, ...]
) -> Selected:
    """Choose among the kinds by ``select.criterion``; where there are several, read once more."""
    best = best_of_each_kind(finishers)
    if len(best) == 1:
        return Selected(best[0], finishers, heldout=held_out(readings, best[0], seen))
    assessed = assess(readings, best, seen)
    choice = choose(assessed, config.select.criterion)
    winner = best[choice.best]
    told = held_out(readings, winner, seen)
    return Selected(winner, finishers, tuple(assessed), choice, told)


def final_mixture(
    selected: Selected,
    numbering: Numbering = Numbering(),  # noqa: B008  it is frozen
) -> tuple[Parameters, Sequence[int], tuple[str, ...]]:
    """Return the mixture in original units and label order, which labels are narrow, and status.

    The status of a class, label 1 first, is what was done about it.
    """
    solution = selected.winner.solution
    mixture = solution.parameters.outside(selected.winner.contender.plan.frame)
    order = numbering.order(mixture)
    narrow = [int(np.flatnonzero(order == k)[0]) + 1 for k in solution.narrow]
    return mixture.reordered(order), sorted(narrow), tuple(solution.status[k] for k in order)


def segment_stage(readings: Readings, plan: Segmentation) -> Segmented:
    """Read everything once more: label, count and write every cell."""
    return readings.write("segment", segment, plan)
