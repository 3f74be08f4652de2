"""The stages of a run: survey, start, fit, segment. Each takes values and returns values.

``pipelines/`` puts them together in other ways; nothing here knows of run directories.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources import Source
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.fit.compression import CountedReadings
from dask_gmm.fit.loop import Solution, fit_em
from dask_gmm.fit.readings import Readings, expectation_over
from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.sample import (
    FittedStart,
    StartPlan,
    affordable_steps,
    best_start,
    fit_start,
)
from dask_gmm.fit.split_merge import split_and_merge
from dask_gmm.fit.stopping import Negligible, StoppingRule, Tolerance
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Survey, SurveyPlan, survey
from dask_gmm.run.config import Config
from dask_gmm.run.config.sections import FEWEST_PASSES
from dask_gmm.run.plan import RunPlan
from dask_gmm.run.quicklook import QuicklookPlan
from dask_gmm.run.segment import Segmentation, Segmented, segment

log = logging.getLogger(__name__)

#: Starts that splits and merges may improve: the best, and another optimum to set out from.
IMPROVED = 2
#: What ``reg_covar: auto`` is for data that are not integers, in the model frame: scikit-learn's.
DEFAULT_REG_COVAR = 1e-6

#: Called after every full pass of EM with its number and the mean log-likelihood before it.
Observer = Callable[[int, float], None]


@dataclass(frozen=True)
class Started:
    """What the sample has decided.

    Attributes
    ----------
    plan : StartPlan
        Frame and floor, for the fit on all of the data too.
    reg_covar : (D,)
        The variance floor in the model frame.
    fitted : tuple of FittedStart
        Every start, in the order of the seeds.
    best : FittedStart
        The one that goes on.
    """

    plan: StartPlan
    reg_covar: Array
    fitted: tuple[FittedStart, ...]
    best: FittedStart


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
    K = config.model.n_components
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
    position = tuple(int(i) for i in np.unravel_index(row, source.grid.shape))
    return (
        f"{plan.manifest.path}: {seen.n_invalid:,} of {seen.n_rows:,} rows hold NaN, infinity or "
        f"absurdly large values, the first at {position} in "
        f"{source.where(source.grid.cell_of(row))}; "
        "mend the data, or set source.on_invalid: mask"
    )


def start_stage(config: Config, source: Source, readings: Readings, seen: Survey) -> Started:
    """Fit every start on the sample, each where passes run, and choose the best."""
    model = config.model
    kind = family(model.covariance_type)
    unit = seen.moments.deviations if config.standardize else np.ones(source.n_features)
    frame = Frame.of_sample(seen.sample.rows, unit=unit, isotropic=kind.isotropic)
    reg_covar = floor_in_model_frame(model.reg_covar, source.feature_dtypes, unit)
    plan = StartPlan(
        model.covariance_type,
        model.n_components,
        model.init,
        frame,
        frame.floor(reg_covar),
        affordable_steps(kind, model.n_components, source.n_features, len(seen.sample.rows)),
    )
    seeds = [model.random_state + i for i in range(model.n_init)]
    sample = seen.sample
    shared = (plan, sample.rows, sample.weights)
    fitted = readings.map("start", fit_start, seeds, *shared)
    ranked = sorted(fitted, key=lambda each: (-each.solution.lower_bound, each.seed))
    improved = {
        each.seed: each
        for each in readings.map("split-merge", split_and_merge, ranked[:IMPROVED], *shared)
    }
    fitted = [improved.get(each.seed, each) for each in fitted]
    return Started(plan, reg_covar, tuple(fitted), best_start(fitted))


def floor_in_model_frame(
    reg_covar: float | str, dtypes: Sequence[np.dtype[np.generic]], unit: Array
) -> Array:
    """Return the variance floor (D,) in model-frame units.

    ``auto`` is, for integers, the variance of their rounding, 1/12 in original units: a component
    cannot be narrower than the step it was measured in. For other data it is 1e-6. Every feature
    goes by its own dtype, (D,) as stored.
    """
    if reg_covar != "auto":
        return np.full(len(unit), float(reg_covar))
    steps = np.array([dtype.kind in "iub" for dtype in dtypes])
    return np.where(steps, 1.0 / 12.0 / unit**2, DEFAULT_REG_COVAR)


def fit_stage(
    config: Config, readings: Readings, seen: Survey, started: Started, observe: Observer
) -> Solution:
    """Go on from the best start over all of the data, one reading a step.

    ``fit.max_passes`` counts every reading: those done so far, those of EM, and the one that the
    segmentation will need. Steps on distinct rows read nothing.
    """
    plan, model, allowed = started.plan, config.model, config.fit.max_passes
    n_parameters = plan.family.n_parameters(model.n_components, plan.frame.D)
    stopping: StoppingRule
    if model.tol == "auto":
        stopping = Negligible(seen.moments.weight, n_parameters)
    else:
        stopping = Tolerance(model.tol)
    most = model.max_iter
    if allowed is not None and not isinstance(readings, CountedReadings):
        most = min(most, allowed - readings.n_passes - 1)
    solution = fit_em(
        expectation_over(readings, plan.frame, seen.moments.total_scatter(plan.frame)),
        started.best.final.parameters,
        floor=plan.floor,
        stopping=stopping,
        max_iter=most,
        observe=observe,
        reseed=Reseeding(Rows(seen.sample.rows, seen.sample.weights), plan.frame, plan.floor),
    )
    if solution.converged or most == model.max_iter:
        return solution
    return replace(solution, stopped_by=f"the limit of fit.max_passes={allowed} was reached")


def final_mixture(started: Started, solution: Solution) -> tuple[Parameters, Sequence[int]]:
    """Return the mixture in original units and in label order, and which labels are narrow."""
    mixture = solution.parameters.outside(started.plan.frame)
    order = mixture.label_order()
    narrow = [int(np.flatnonzero(order == k)[0]) + 1 for k in solution.narrow]
    return mixture.reordered(order), sorted(narrow)


def class_status(started: Started, solution: Solution) -> tuple[str, ...]:
    """Return what was done about each class, label 1 first."""
    order = solution.parameters.outside(started.plan.frame).label_order()
    return tuple(solution.status[k] for k in order)


def segment_stage(
    readings: Readings,
    mixture: Parameters,
    sinks: Mapping[str, Sink],
    quicklook: QuicklookPlan | None,
    look_up: LookUp | None = None,
) -> Segmented:
    """Read everything once more: label, count and write every cell."""
    return readings.run("segment", segment, Segmentation(mixture, sinks, quicklook, look_up))
