"""GaussianMixture under scikit-learn's names, for arrays in memory and for lazy Dask arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from dask_gmm.class_table import class_table
from dask_gmm.engine.passes import one_blas_thread
from dask_gmm.fit.loop import Rules, Solution, fit_em
from dask_gmm.fit.readings import MemoryReadings, Readings, expectation_over
from dask_gmm.fit.reseed import Reseeding
from dask_gmm.fit.sample import StartPlan, start_parameters
from dask_gmm.fit.starts import STARTS
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.given_start import given_start
from dask_gmm.inputs import Input, open_input, predict_input
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import FAMILIES, Family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Score, Wanted, score
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Survey, SurveyPlan, sample_capacity, survey
from dask_gmm.model_file import Model
from dask_gmm.verbosity import Iteration, Verbosity

#: What a fit leaves behind, under scikit-learn's names.
_FITTED = (
    *("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"),
    *("converged_", "n_iter_", "lower_bound_", "lower_bounds_"),
)
_PARTS = ("weights", "means", "covariances", "factors")


class GaussianMixture(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """Gaussian mixture fitted by EM, on data that need not fit in memory.

    Parameters, attributes and methods are those of :class:`sklearn.mixture.GaussianMixture`, with
    the same meanings, defaults and random draws; in memory one seed gives the same fit (but for
    tied covariances started by 'k-means++' or 'random_from_data', where scikit-learn's first
    covariance depends on where the origin lies). A Dask array (..., D), features last, is read
    chunk by chunk with the active scheduler: starts are fitted on a sample of its rows and the best
    one goes on over all of them; predictions are lazy arrays with the same chunks and leading axes.
    Tables and images of pandas, pyarrow, Dask and xarray are taken too.

    Parameters
    ----------
    n_components : int, default=1
        K, the number of components.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
    tol : float, default=1e-3
        EM stops when the mean log-likelihood (nats per row) changes by less.
    reg_covar : float, default=1e-6
        Added to every variance.
    max_iter : int, default=100
        M-steps at most.
    n_init : int, default=1
        Number of starts; the one with the highest likelihood is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
    weights_init : array-like (K,), optional
    means_init : array-like (K, D), optional
    precisions_init : array-like, optional
        In the shape of ``covariances_``.
    random_state : int, RandomState or None
    warm_start : bool, default=False
        Go on from the last fit, with a single start.
    verbose : int, default=0
    verbose_interval : int, default=10
    standardize : bool, default=False
        Scale features to unit variance first. ``reg_covar``, spherical isotropy, start distances
        and a spherical ``precisions_init`` are then meant in z-scores; all that is read back is in
        original units, and spherical ``covariances_`` are (K, D).
    on_invalid : {'error', 'mask'}, default='error'
        What to do about rows with NaN or infinity: refuse X, or leave them out; their label is
        then -1, and their probabilities and log-density are NaN.
    feature_dim : str, optional
        The dimension of an xarray DataArray that holds the features; by default its last.
    callback : callable, optional
        Is told of every iteration, by an :class:`Iteration`. What it raises ends the fit.

    Attributes
    ----------
    weights_ : (K,)
    means_ : (K, D)
    covariances_, precisions_, precisions_cholesky_ : (K, D, D), (D, D), (K, D) or (K,)
    converged_ : bool
    n_iter_ : int
        M-steps over all of the data of the best start.
    lower_bound_ : float
        Mean log-likelihood (nats per row) before the last M-step.
    lower_bounds_ : list of float
        The same before every M-step.
    n_passes_ : int
        Readings of the data, all of them.
    narrow_components_ : tuple of int
        Components as narrow as ``reg_covar`` or singular: they describe it and not the data.
    component_status_ : tuple of str (K,)
        What was done about each component: 'ok', 'at floor', 'singular', 'empty' (no row belongs
        to it, its weight is zero) or 'rounded' (one more step is needed for all of its digits),
        with 're-seeded' before them where it was empty and was put among the rows explained worst.
    n_features_in_ : int
    feature_names_in_ : (D,)
        Where X has names.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_gmm import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> gm.means_.round(3)
    array([[10.,  2.],
           [ 1.,  2.]])
    >>> gm.predict([[0, 0], [12, 3]])
    array([1, 0])
    """

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's own form
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(FAMILIES))],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS))],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "standardize": ["boolean"],
        "on_invalid": [StrOptions({"error", "mask"})],
        "feature_dim": [str, None],
        "callback": [callable, None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: npt.ArrayLike | None = None,
        means_init: npt.ArrayLike | None = None,
        precisions_init: npt.ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        standardize: bool = False,
        on_invalid: str = "error",
        feature_dim: str | None = None,
        callback: Callable[[Iteration], object] | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.standardize = standardize
        self.on_invalid = on_invalid
        self.feature_dim = feature_dim
        self.callback = callback

    # -- fitting ---------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture to rows X (n, D), or to a Dask array (..., D).

        Parameters
        ----------
        X : array-like or dask.array.Array
        y : ignored
        sample_weight : array-like (n,), optional
            Frequencies: a weight of 2 counts as a repeated row, 0 as an absent one.

        Returns
        -------
        GaussianMixture
            Itself.

        Raises
        ------
        ValueError
            If X has NaN or infinite values, or fewer rows than components.
        """
        self._validate_params()
        self._fit(open_input(self, X, sample_weight))
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit the mixture to X and return the labels of its rows.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)
        y : ignored
        sample_weight : array-like (n,), optional
            Frequencies.

        Returns
        -------
        array of int (n,) or Dask array (...)
            From 0; -1 where ``on_invalid='mask'`` has left a row out.
        """
        return self.fit(X, y, sample_weight).predict(X)

    def _fit(self, data: Input) -> None:
        with one_blas_thread():
            random_state = check_random_state(self.random_state)
            seen = self._surveyed(data, random_state)
            plan = self._plan(seen)
            go_on = self.warm_start and hasattr(self, "converged_")
            if go_on:
                start = self._last_parameters(plan.frame)
                said = self._verbosity(self.lower_bound_)
                said.begins(0)
                solution = self._em(data.readings, seen, plan, start, said, self.lower_bound_)
            elif data.in_memory is not None:
                trials = (
                    self._em(data.readings, seen, plan, start, said)
                    for start, said in self._starts(data.in_memory, plan, random_state)
                )
                solution = _best(trials)
            else:
                start = self._start_for_lazy(seen, plan, random_state)
                said = self._verbosity()
                said.goes_on()
                solution = self._em(data.readings, seen, plan, start, said)
        self._keep(solution, plan, data.readings.n_passes)

    def _start_for_lazy(
        self, seen: Survey, plan: StartPlan, random_state: np.random.RandomState
    ) -> Parameters:
        """Return what was given in full, or the best of the starts fitted on the sample."""
        sample = Rows(seen.sample.rows, seen.sample.weights)
        if len(self._given(plan)) == len(_PARTS):
            return self._start(sample, plan, random_state)
        trials = (
            self._em(MemoryReadings(sample), None, plan, start, said)
            for start, said in self._starts(sample, plan, random_state)
        )
        return _best(trials).parameters

    def _surveyed(self, data: Input, random_state: np.random.RandomState) -> Survey:
        """Read the data once, and refuse what EM cannot take."""
        D = self.n_features_in_
        capacity = sample_capacity(self._family.n_parameters(self.n_components, D), D)
        # In memory the sample serves the frame alone: the generator is left to the starts.
        seed = 0 if data.in_memory is not None else int(random_state.randint(2**31))
        seen = data.readings.run("survey", survey, SurveyPlan(D, capacity, seed))
        if seen.n_invalid and self.on_invalid == "error":
            raise ValueError(
                f"Input X contains NaN or infinity in {seen.n_invalid} of {seen.n_rows} rows"
            )
        if seen.n_used < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {seen.n_used}"
            )
        return seen

    def _plan(self, seen: Survey) -> StartPlan:
        unit = seen.moments.deviations if self.standardize else None
        frame = Frame.of_sample(seen.sample.rows, unit=unit, isotropic=self._family.isotropic)
        return StartPlan(
            self.covariance_type,
            self.n_components,
            self.init_params,
            frame,
            frame.floor(self.reg_covar),
            self.max_iter,
        )

    def _starts(
        self, rows: Rows, plan: StartPlan, random_state: np.random.RandomState
    ) -> Iterator[tuple[Parameters, Verbosity]]:
        for number in range(self.n_init):
            said = self._verbosity()
            said.begins(number)
            yield self._start(rows, plan, random_state), said

    def _start(
        self, rows: Rows, plan: StartPlan, random_state: np.random.RandomState
    ) -> Parameters:
        """Return a start in the plan's frame: drawn, then overruled by what the user gave."""
        given = self._given(plan)
        if len(given) < len(_PARTS):
            drawn = start_parameters(plan, rows.values, rows.weights, random_state)
            given = {name: getattr(drawn, name) for name in _PARTS} | given
        return Parameters(plan.family, **given)

    def _given(self, plan: StartPlan) -> dict[str, Array]:
        return given_start(self, self.n_components, self.n_features_in_, plan.family, plan.frame)

    def _verbosity(self, before: float = -np.inf) -> Verbosity:
        return Verbosity(self.verbose, self.verbose_interval, before, self.callback)

    def _em(
        self,
        readings: Readings,
        seen: Survey | None,
        plan: StartPlan,
        start: Parameters,
        said: Verbosity,
        previous: float | None = None,
    ) -> Solution:
        if seen is None:
            nothing_drawn = SurveyPlan(self.n_features_in_, capacity=0, seed=0)
            seen = readings.run("survey", survey, nothing_drawn)
        sample = Rows(seen.sample.rows, seen.sample.weights)
        rows = readings.rows if isinstance(readings, MemoryReadings) else sample
        solution = fit_em(
            expectation_over(readings, plan.frame, seen.moments.total_scatter(plan.frame)),
            start,
            Rules(
                plan.floor,
                Tolerance(self.tol, previous),
                self.max_iter,
                reseed=Reseeding(rows, plan.frame, plan.floor),
            ),
            said.iteration,
        )
        said.ends(solution)
        return solution

    def _keep(self, solution: Solution, plan: StartPlan, n_passes: int) -> None:
        self._set_parameters(solution.parameters.outside(plan.frame))
        self.converged_ = solution.converged
        self.n_iter_ = solution.n_iter
        self.lower_bound_ = solution.lower_bound
        self.lower_bounds_ = list(solution.history)
        self.n_passes_ = n_passes
        self.narrow_components_ = solution.narrow
        self.component_status_ = solution.status
        if not solution.converged and self.max_iter > 0:
            warnings.warn(
                "Best performing initialization did not converge. Try different init "
                "parameters, or increase max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=4,
            )

    # -- the fitted mixture ----------------------------------------------------------------------

    @property
    def _family(self) -> Family:
        return FAMILIES[self.covariance_type]

    def _set_parameters(self, parameters: Parameters) -> None:
        self.weights_ = np.array(parameters.weights)
        self.means_ = np.array(parameters.means)
        self.covariances_ = np.array(parameters.covariances)
        self.precisions_cholesky_ = np.array(parameters.factors)
        self.precisions_ = parameters.family.precisions(self.precisions_cholesky_)

    def _parameters(self) -> Parameters:
        """Return the fitted mixture, in original units."""
        check_is_fitted(self, "means_")
        family = self._family
        if family.isotropic and np.ndim(self.covariances_) == 2:
            family = FAMILIES["diag"]
        return Parameters(
            family, self.weights_, self.means_, self.covariances_, self.precisions_cholesky_
        )

    def _last_parameters(self, frame: Frame) -> Parameters:
        """Return the fitted mixture in ``frame``, in the declared family."""
        shape = (self.n_components, self.n_features_in_)
        if self.means_.shape != shape:
            raise ValueError(
                f"warm_start goes on from means of shape {self.means_.shape}, but n_components and "
                f"X now ask for {shape}; set warm_start=False to start anew"
            )
        last = self._parameters().inside(frame)
        if last.family is self._family:
            return last
        # Isotropic in z-scores, so per-feature variances in original units.
        variances = last.variances.mean(axis=1)
        return Parameters.of(self._family, last.weights, last.means, variances)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of every row; lazily for a Dask array.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)
            In the units that the mixture was fitted in.

        Returns
        -------
        array of int (n,) or Dask array (...)
            From 0; -1 where ``on_invalid='mask'`` has left a row out.
        """
        return self._predicted(X, Wanted(labels=True))

    def predict_proba(self, X: Any) -> Any:
        """Return the posterior probability of every component; lazily for a Dask array.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)

        Returns
        -------
        array (n, K) or Dask array (..., K)
            NaN where ``on_invalid='mask'`` has left a row out.
        """
        return self._predicted(X, Wanted(probabilities=True))

    def score_samples(self, X: Any) -> Any:
        """Return the log-density of every row in nats; lazily for a Dask array.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)

        Returns
        -------
        array (n,) or Dask array (...)
            NaN where ``on_invalid='mask'`` has left a row out.
        """
        return self._predicted(X, Wanted(log_density=True))

    def _predicted(self, X: Any, wanted: Wanted) -> Any:
        parameters = self._parameters()
        return predict_input(self, X, parameters, wanted)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log-likelihood of X in nats per row.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)
        y : ignored
        sample_weight : array-like (n,), optional
            Frequencies.

        Returns
        -------
        float
        """
        found = self._score(X, sample_weight)
        return found.log_likelihood / found.weight

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's information criterion on X: the lower the better.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)
        sample_weight : array-like (n,), optional
            Frequencies.

        Returns
        -------
        float
        """
        return -2.0 * self._score(X, sample_weight).log_likelihood + 2.0 * self._n_parameters()

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion on X: the lower the better.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)
        sample_weight : array-like (n,), optional
            Frequencies.

        Returns
        -------
        float
        """
        return self._bic(self._score(X, sample_weight))

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Return the integrated completed likelihood on X: the lower the better.

        BIC plus twice the entropy of the responsibilities: C. Biernacki, G. Celeux, G. Govaert,
        IEEE Trans. PAMI 22 (2000), on the scale of BIC.

        Parameters
        ----------
        X : array-like (n, D) or Dask array (..., D)
        sample_weight : array-like (n,), optional
            Frequencies.

        Returns
        -------
        float
        """
        found = self._score(X, sample_weight)
        return self._bic(found) + 2.0 * found.entropy

    def _score(self, X: Any, sample_weight: Any) -> Score:
        parameters = self._parameters()
        data = open_input(self, X, sample_weight, reset=False)
        with one_blas_thread():
            found = data.readings.run("score", score, parameters)
        if found.n_invalid and self.on_invalid == "error":
            raise ValueError(f"Input X contains NaN or infinity in {found.n_invalid} rows")
        if not found.weight:
            raise ValueError("X has no row with a positive sample_weight")
        return found

    def _bic(self, found: Score) -> float:
        return -2.0 * found.log_likelihood + self._n_parameters() * float(np.log(found.weight))

    def _n_parameters(self) -> int:
        return self._family.n_parameters(*self.means_.shape)

    def sample(self, n_samples: int = 1) -> tuple[Array, npt.NDArray[np.int64]]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : (n_samples, D)
        y : (n_samples,)
            The component that each row was drawn from, in rising order.
        """
        parameters = self._parameters()
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples}. The sampling requires at least one "
                "sample."
            )
        generator = check_random_state(self.random_state)
        counts = generator.multinomial(n_samples, parameters.weights)
        rows = [
            parameters.family.draw(parameters.covariances, k, mean, int(count), generator)
            for k, (mean, count) in enumerate(zip(parameters.means, counts, strict=True))
        ]
        return np.vstack(rows), np.repeat(np.arange(parameters.K), counts)

    # -- in a notebook ---------------------------------------------------------------------------

    def _repr_html_inner(self) -> str:
        """Return scikit-learn's diagram, and below it the classes of a mixture that is fitted."""
        return super()._repr_html_inner() + self._class_table()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._class_table()
        return bundle

    def _class_table(self) -> str:
        if not hasattr(self, "means_"):
            return ""
        mixture, n_passes = self._parameters(), getattr(self, "n_passes_", None)
        read = "" if n_passes is None else f", {n_passes:,} readings of the data"
        state = "converged" if self.converged_ else "not converged"
        return class_table(
            mixture.weights,
            mixture.means,
            mixture.variances,
            getattr(self, "feature_names_in_", None),
            f"{state} after {self.n_iter_:,} iterations{read}; mean ± standard deviation",
        )

    # -- other forms -----------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted mixture, and readable JSON beside it.

        Parameters
        ----------
        path : path
            Of a ``.safetensors`` file; the other one has its name and ``.json``.
        """
        names = getattr(self, "feature_names_in_", None)
        Model(
            self._parameters(),
            self.covariance_type,
            None if names is None else tuple(str(name) for name in names),
            {
                "converged": bool(self.converged_),
                "n_iter": int(self.n_iter_),
                "lower_bound": float(self.lower_bound_) if np.isfinite(self.lower_bound_) else None,
                "standardize": bool(self.standardize),
            },
        ).save(path)

    def to_sklearn(self) -> Any:
        """Return a fitted :class:`sklearn.mixture.GaussianMixture` with the same mixture.

        A spherical mixture of standardised data has per-feature variances, and becomes diag.

        Returns
        -------
        sklearn.mixture.GaussianMixture
        """
        from sklearn.mixture import GaussianMixture as Theirs

        parameters = self._parameters()
        theirs = Theirs()
        names = theirs.get_params()
        theirs.set_params(**{k: v for k, v in self.get_params().items() if k in names})
        theirs.set_params(covariance_type=parameters.family.name)
        for name in (*_FITTED, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(theirs, name, getattr(self, name))
        return theirs

    @classmethod
    def from_sklearn(cls, model: Any) -> Self:
        """Take over a fitted :class:`sklearn.mixture.GaussianMixture`.

        Parameters
        ----------
        model : sklearn.mixture.GaussianMixture

        Returns
        -------
        GaussianMixture
        """
        check_is_fitted(model, "means_")
        ours = cls(**model.get_params())
        for name in (*_FITTED, "n_features_in_", "feature_names_in_"):
            if hasattr(model, name):
                setattr(ours, name, getattr(model, name))
        return ours

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a mixture that :meth:`save` or a run wrote.

        Parameters
        ----------
        path : path
            A ``.safetensors`` file or a run directory.

        Returns
        -------
        GaussianMixture
        """
        model = Model.load(path)
        known = model.information
        fitted = cls(
            model.parameters.K,
            covariance_type=model.covariance_type,
            standardize=bool(known.get("standardize", False)),
        )
        fitted._set_parameters(model.parameters)
        fitted.n_features_in_ = model.parameters.D
        if model.feature_names is not None:
            fitted.feature_names_in_ = np.array(model.feature_names, dtype=object)
        fitted.converged_ = bool(known.get("converged", False))
        fitted.n_iter_ = int(known.get("n_iter", 0))
        lower_bound = known.get("lower_bound")
        fitted.lower_bound_ = -np.inf if lower_bound is None else float(lower_bound)
        return fitted


def _best(trials: Iterable[Solution]) -> Solution:
    """Return the solution with the highest likelihood, the first among equals."""
    best: Solution | None = None
    for each in trials:
        if best is None or each.lower_bound > best.lower_bound:
            best = each
    if best is None:
        raise ValueError("there was no start")
    return best
