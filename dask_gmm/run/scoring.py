"""Quantiles, before anything else is learnt: estimated on a sample of all rows, then fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dask_gmm.data.features import bands_below, members_with_features, with_features
from dask_gmm.data.features.quantiles import UNSCORED, knots_of
from dask_gmm.data.sources import Source
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import InputDataError
from dask_gmm.mixture.survey import SurveyPlan, survey
from dask_gmm.recipes import Recipe

if TYPE_CHECKING:
    from dask_gmm.run.job import Job

#: Rows that quantiles are estimated on, at least, where there are so many.
FEWEST = 1000


def needs_scores(job: Job) -> bool:
    """Tell whether features are scores of quantiles that are not known yet."""
    return any(_is_unknown(each) for each in _recipes(job))


def with_scores(job: Job, passes_over: Callable[[Source], Passes]) -> tuple[Job, int]:
    """Return the job with all quantiles known, and how often the data were read for that.

    Every feature is drawn as it is before it becomes a score, on the rows that take part.

    Parameters
    ----------
    job : Job
    passes_over : callable
        From a source to readings of it.

    Raises
    ------
    InputDataError
        If no row takes part.
    """
    if not needs_scores(job):
        return job, 0
    plan, config, recipes = job.plan, job.config, _recipes(job)
    bands, where = bands_below(job.source), plan.manifest.path
    plain = [replace(each, knots=UNSCORED) if _is_unknown(each) else each for each in recipes]
    source = with_features(bands, plain, where)
    passes = passes_over(source)
    drawn = SurveyPlan(
        source.n_features, plan.sample_rows, config.model.random_state, plan.n_rows, 0
    )
    seen = passes.run("quantiles", survey, drawn)
    if seen.n_used > 0 and len(seen.sample.rows) < min(FEWEST, seen.n_used):
        seen = passes.run("quantiles", survey, replace(drawn, n_rows=seen.n_used))
    if not len(seen.sample.rows):
        raise InputDataError(f"{where}: no row takes part, so that there are no quantiles")
    names = members_with_features(source)[0].features.steps
    places = dict[int, int]()  # of a recipe's first plane among all features
    at = 0
    for number, step in enumerate(names):
        places[number] = at
        at += len(step.names)
    scored = [
        replace(each, knots=knots_of(seen.sample.rows[:, places[i]], each.to))
        if _is_unknown(each)
        else each
        for i, each in enumerate(recipes)
    ]
    return replace(job, source=with_features(bands, scored, where)), passes.n_passes


def _recipes(job: Job) -> tuple[Recipe, ...]:
    made = members_with_features(job.source)
    return made[0].recipes if made else ()


def _is_unknown(recipe: Recipe) -> bool:
    return recipe.kind == "quantile" and recipe.knots is None
