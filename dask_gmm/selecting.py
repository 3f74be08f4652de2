"""Choosing the number of components and the covariance family in shared readings of the data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sklearn.utils import check_random_state

from dask_gmm.engine.passes import one_blas_thread
from dask_gmm.estimator import GaussianMixture
from dask_gmm.fit.assessing import assess
from dask_gmm.fit.candidates import fit_starts, going_on
from dask_gmm.fit.finishers import Finisher, best_of_each_kind, race
from dask_gmm.fit.readings import Readings
from dask_gmm.fit.sample import StartPlan, affordable_steps
from dask_gmm.fit.selection import CRITERIA, Assessed, choose
from dask_gmm.fit.stopping import Negligible
from dask_gmm.inputs import open_input
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.survey import Survey, SurveyPlan, sample_capacity, survey
from dask_gmm.verbosity import Verbosity


@dataclass(frozen=True)
class Selection:
    """What :func:`select_components` has found.

    Attributes
    ----------
    best : GaussianMixture
        Fitted.
    assessed : tuple of Assessed
        The best fit of every number of components and covariance type, as they compare.
    remarks : tuple of str
        What a careful reader should know: fits kept from winning and why, ties, ends of the range.
    """

    best: GaussianMixture
    assessed: tuple[Assessed, ...]
    remarks: tuple[str, ...]

    @property
    def table(self) -> dict[str, list[Any]]:
        """Columns by name, a row for every kind: what ``pandas.DataFrame`` takes."""
        columns = (
            *("covariance_type", "n_components", "n_parameters"),
            *("log_likelihood", "aic", "bic", "icl", "heldout", "converged", "objection"),
        )
        return {name: [getattr(each, name) for each in self.assessed] for name in columns}


#: Share of what is statistically nothing that may remain where few rows are in memory, all of them
#: in the sample: readings cost next to nothing, and criteria of equals differ by convergence alone.
TO_THE_END = 1e-4


def select_components(
    X: Any,
    n_components: Iterable[int] = range(1, 11),
    covariance_type: str | Iterable[str] = "full",
    *,
    criterion: str = "bic",
    sample_weight: Any = None,
    halving: bool = True,
    **parameters: Any,
) -> Selection:
    """Fit every number of components and covariance type, in shared readings, and choose one.

    Parameters
    ----------
    X : array-like (n, D) or Dask array (..., D)
        What :meth:`GaussianMixture.fit` takes.
    n_components : iterable of int, default=1 to 10
    covariance_type : str or iterable of str, default='full'
    criterion : {'bic', 'aic', 'icl', 'heldout'}, default='bic'
    sample_weight : array-like (n,), optional
        Frequencies.
    halving : bool, default=True
        Whether the worse starts of a kind may be dropped on the way.
    **parameters
        Of :class:`GaussianMixture`: ``n_init``, ``init_params``, ``max_iter`` (readings at most),
        ``reg_covar``, ``random_state``, ``standardize``, ``on_invalid``, ``feature_dim``,
        ``callback`` (told of the likeliest candidate after every shared reading). EM stops where
        what is left to gain is far inside the sampling error, so that there is no ``tol``.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If there is nothing to choose from, or X has invalid values or fewer rows than components.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from dask_gmm import select_components
    >>> found = select_components(load_iris().data, range(1, 5), ["full", "diag"], random_state=0)
    >>> found.best.n_components, found.best.covariance_type
    (2, 'full')
    """
    names = [covariance_type] if isinstance(covariance_type, str) else list(covariance_type)
    kinds = [(name, int(K)) for name in names for K in n_components]
    _check(kinds, criterion, parameters)
    largest = max(K for _, K in kinds)
    estimator = GaussianMixture(largest, covariance_type=names[0], **parameters)
    estimator._validate_params()
    data = open_input(estimator, X, sample_weight)
    said = Verbosity(0, 1, callback=estimator.callback)
    with one_blas_thread():
        random_state = check_random_state(estimator.random_state)
        seeds = [int(seed) for seed in random_state.randint(2**31, size=estimator.n_init)]
        seen = _surveyed(estimator, data.readings, kinds, criterion, seeds[0])
        fitted = fit_starts(data.readings, _plans(estimator, seen, kinds), seeds, seen.sample)
        few = data.in_memory is not None and len(seen.sample.rows) == seen.n_used
        share = TO_THE_END if few else 1.0
        finishers = race(
            data.readings,
            going_on(fitted, seen.sample, halving=halving),
            seen,
            seeds[0],
            lambda plan: Negligible(seen.moments.weight, plan.n_parameters, share),
            max_iter=max(estimator.max_iter, 1),
            halving=halving,
            observe=lambda standing: said.iteration(standing.n_readings, standing.best_mean),
        )
        best = best_of_each_kind(finishers)
        assessed = assess(data.readings, best, seen)
    choice = choose(assessed, criterion)
    _fill(estimator, best[choice.best], data.readings.n_passes)
    return Selection(estimator, tuple(assessed), choice.remarks)


def _check(kinds: list[tuple[str, int]], criterion: str, parameters: dict[str, Any]) -> None:
    if not kinds:
        raise ValueError("n_components and covariance_type must each name at least one value")
    for name, K in kinds:
        family(name)
        if K < 1:
            raise ValueError(f"n_components={K} is not allowed; there must be at least one")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={criterion!r} is not known; allowed: {', '.join(CRITERIA)}")
    for name in ("tol", "warm_start", "weights_init", "means_init", "precisions_init"):
        if name in parameters:
            raise ValueError(f"{name} has no meaning for several candidates; leave it out")


def _surveyed(
    estimator: GaussianMixture,
    readings: Readings,
    kinds: list[tuple[str, int]],
    criterion: str,
    seed: int,
) -> Survey:
    D = estimator.n_features_in_
    capacity = sample_capacity(max(family(name).n_parameters(K, D) for name, K in kinds), D)
    seen = readings.run("survey", survey, SurveyPlan(D, capacity, seed))
    if seen.n_invalid and estimator.on_invalid == "error":
        raise ValueError(
            f"Input X contains NaN or infinity in {seen.n_invalid} of {seen.n_rows} rows"
        )
    if seen.n_used < estimator.n_components:
        raise ValueError(
            "Expected n_samples >= n_components but got "
            f"n_components = {estimator.n_components}, n_samples = {seen.n_used}"
        )
    if criterion == "heldout" and 2 * len(seen.sample.rows) > seen.n_used:
        # What is compared is how the fits to the sample do on the rows outside it.
        half = max(seen.n_used // 2, estimator.n_components)
        return replace(seen, sample=seen.sample.first(half))
    return seen


def _plans(
    estimator: GaussianMixture, seen: Survey, kinds: list[tuple[str, int]]
) -> list[StartPlan]:
    unit = seen.moments.deviations if estimator.standardize else None
    # One frame for all, as they share readings; see the stages of a run.
    isotropic = any(family(name).isotropic for name, _ in kinds)
    frame = Frame.of_sample(seen.sample.rows, unit=unit, isotropic=isotropic)
    floor, n = frame.floor(estimator.reg_covar), len(seen.sample.rows)
    return [
        StartPlan(
            name,
            K,
            estimator.init_params,
            frame,
            floor,
            affordable_steps(family(name), K, frame.D, n),
        )
        for name, K in kinds
    ]


def _fill(estimator: GaussianMixture, winner: Finisher, n_passes: int) -> None:
    """Make the estimator, which knows its features, the fitted winner."""
    plan = winner.contender.plan
    estimator.set_params(n_components=plan.n_components, covariance_type=plan.covariance_type)
    estimator._keep(winner.solution, plan, n_passes)
