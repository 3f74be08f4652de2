"""Sufficient statistics, a monoid that a tree can add, and the M-step that reads the sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.mixture.arrays import AnyArray, Array
from dask_gmm.mixture.families import NUMERIC_FLOOR, Family, IllConditionedError
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters

#: A component with fewer rows than this is empty: its rows say nothing about its shape.
EMPTY = 1e-10
#: Under a narrower variance, in the frame, the farthest valid row has no finite density.
LEAST_VARIANCE = 1e-80


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """What an E-step leaves behind: all that the M-step needs to know of the rows.

    Attributes
    ----------
    frame : Frame
        The coordinates in which everything here is meant.
    family : Family
    origins : (K, D)
        The point about which each component's sums are taken: the frame's origin, or the
        component's mean where sums about the frame's origin would cancel.
    N : (K,)
        Sum of responsibilities times weights.
    sum_x : (K, D)
        Sum of r (x - origin).
    scatter : (K, D, D), (D, D), (K, D) or (K,)
        Sum of r (x - origin)(x - origin)^T, as far as the family needs it.
    weight : float
        Sum of the rows' weights.
    log_likelihood : float
        Sum of weight times log-density, in nats, in original units.
    """

    frame: Frame
    family: Family
    origins: Array
    N: Array
    sum_x: Array
    scatter: Array
    weight: float
    log_likelihood: float

    @classmethod
    def zero(cls, frame: Frame, family: Family, origins: Array) -> SufficientStatistics:
        """Return the statistics of no rows."""
        K, D = origins.shape
        scatter = np.zeros(family.covariance_shape(K, D))
        return cls(frame, family, origins, np.zeros(K), np.zeros((K, D)), scatter, 0.0, 0.0)

    def without(self, other: SufficientStatistics) -> SufficientStatistics:
        """Return the statistics of the rows that are not among those of ``other``."""
        taken = about(other, self.origins)
        return replace(
            self,
            N=self.N - taken.N,
            sum_x=self.sum_x - taken.sum_x,
            scatter=self.scatter - taken.scatter,
            weight=self.weight - taken.weight,
            log_likelihood=self.log_likelihood - taken.log_likelihood,
        )

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        if self.family is not other.family:
            raise ValueError("statistics of different covariance families cannot be added")
        if self.frame != other.frame or not np.array_equal(self.origins, other.origins):
            raise ValueError("statistics taken in different frames cannot be added")
        return replace(
            self,
            N=self.N + other.N,
            sum_x=self.sum_x + other.sum_x,
            scatter=self.scatter + other.scatter,
            weight=self.weight + other.weight,
            log_likelihood=self.log_likelihood + other.log_likelihood,
        )

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood in nats per row."""
        return self.log_likelihood / self.weight

    @property
    def empty(self) -> frozenset[int]:
        """Components that no row belongs to."""
        return frozenset(int(k) for k in np.flatnonzero(self.N < EMPTY))

    @classmethod
    def of_responsibilities(
        cls, X: AnyArray, R: Array, family: Family, *, frame: Frame
    ) -> SufficientStatistics:
        """Take the statistics of given responsibilities, about the means they imply.

        Parameters
        ----------
        X : (n, D)
            Rows in original units.
        R : (n, K)
            Responsibilities times weights.
        """
        rows = frame.inside(X)
        N = R.sum(axis=0)
        means = (R.T @ rows) / np.maximum(N, EMPTY)[:, None]
        scatters = [
            family.scatter_of_residuals(
                np.ascontiguousarray(((rows - means[k]) * np.sqrt(R[:, k : k + 1])).T)
            )
            for k in range(len(N))
        ]
        sums = np.zeros_like(means)
        return cls(frame, family, means, N, sums, family.stack(scatters), float(N.sum()), np.nan)


def joined(a: SufficientStatistics, b: SufficientStatistics) -> SufficientStatistics:
    """Join statistics of different rows, each taken about the means of its own: Chan's merge.

    Where ``+`` needs common origins, this moves both to the means of all rows.
    """
    N = a.N + b.N
    share = b.N / np.maximum(N, EMPTY)
    step = b.origins - a.origins
    return replace(
        a,
        origins=a.origins + share[:, None] * step,
        N=N,
        scatter=a.scatter + b.scatter + a.family.outer(a.N * share, step),
        weight=a.weight + b.weight,
    )


def about(statistics: SufficientStatistics, origins: Array) -> SufficientStatistics:
    """Return the same statistics, taken about other ``origins`` (K, D)."""
    step = statistics.origins - origins
    if not step.any():
        return statistics
    family, N = statistics.family, statistics.N
    d = statistics.sum_x / np.maximum(N, EMPTY)[:, None]
    about_means = statistics.scatter - family.outer(N, d)
    return replace(
        statistics,
        origins=origins,
        sum_x=statistics.sum_x + N[:, None] * step,
        scatter=about_means + family.outer(N, d + step),
    )


def implied(
    parameters: Parameters, floor: Array, weight: float, frame: Frame
) -> SufficientStatistics:
    """Return the statistics of ``weight`` rows that an M-step leads from to ``parameters``.

    Where EM has ended these are the statistics of all rows under ``parameters``. The log-likelihood
    is not known from them.
    """
    family, N = parameters.family, weight * parameters.weights
    above = family.add_floor(parameters.covariances, -floor)
    # Covariances are scatters over a divisor, which those of ones tell.
    scatter = above / family.covariances_of(np.ones_like(above), N, parameters.D)
    sums = np.zeros_like(parameters.means)
    return SufficientStatistics(frame, family, parameters.means, N, sums, scatter, weight, 0.0)


def m_step(
    statistics: SufficientStatistics, floor: Array, previous: Parameters | None = None
) -> Parameters:
    """Return the parameters that maximise the expected log-likelihood: Bishop's (9.24) to (9.26).

    Parameters
    ----------
    statistics : SufficientStatistics
        Summed over all rows.
    floor : (D,)
        Added to every variance, in the statistics' frame.
    previous : Parameters, optional
        Where an empty component takes its mean and covariance from; without it, from the sums'
        origin and the floor.

    Notes
    -----
    The result stands in the statistics' frame. It is always finite, and its covariances have a
    Cholesky factor: where rounding has taken it away they are replaced by the nearest that have.
    """
    family = statistics.family
    D = statistics.frame.D
    # scikit-learn's guard, kept so that one step equals one step of its own.
    N = statistics.N + 10 * np.finfo(np.float64).eps
    d = statistics.sum_x / N[:, None]
    means = statistics.origins + d
    covariances = family.covariances_of(statistics.scatter - family.outer(N, d), N, D)
    covariances = family.add_floor(covariances, floor)
    empty = statistics.N < EMPTY
    if previous is not None and empty.any():
        means = np.where(empty[:, None], previous.means, means)
        if not family.shares_scatter:
            keep = empty.reshape(-1, *[1] * (covariances.ndim - 1))
            covariances = np.where(keep, previous.covariances, covariances)
    return sound_parameters(family, N / N.sum(), means, covariances)


def sound_parameters(
    family: Family, weights: Array, means: Array, covariances: Array
) -> Parameters:
    """Return parameters whose covariances have a Cholesky factor: the nearest that have one."""
    try:
        parameters = Parameters.of(family, weights, means, covariances)
        if parameters.variances.min() >= LEAST_VARIANCE:
            return parameters
    except IllConditionedError:
        pass
    return Parameters.of(family, weights, means, family.repaired(covariances))


def expected_log_likelihood(statistics: SufficientStatistics, parameters: Parameters) -> float:
    """Return the expected log-likelihood of rows and components together, in nats per row.

    Bishop's Q (9.40) but for constants: what the M-step maximises. What a step gains of it is half
    its length in the metric of the complete data: the gradient of the likelihood, at no cost.
    """
    family, D = parameters.family, parameters.D
    N = statistics.N
    d = statistics.sum_x / np.maximum(N, EMPTY)[:, None]
    about_means = statistics.scatter - family.outer(N, d)
    about_means = about_means + family.outer(N, statistics.origins + d - parameters.means)
    log_weights = np.log(np.maximum(parameters.weights, np.finfo(np.float64).tiny))
    log_det = family.log_det_precision(parameters.factors, D)
    squares = float((family.precisions(parameters.factors) * about_means).sum())
    total = float(N @ log_weights) + 0.5 * float((N * log_det).sum()) - 0.5 * squares
    return total / statistics.weight


def narrow_components(parameters: Parameters, floor: Array) -> tuple[int, ...]:
    """Name the components that are as narrow as their floor, or singular but for rounding.

    A component whose smallest eigenvalue is within twice the floor (D,) describes the floor and
    not the data: its likelihood, and every criterion built on it, measures ``reg_covar``.
    """
    family, K = parameters.family, parameters.K
    floor = np.maximum(floor, NUMERIC_FLOOR)
    at_floor = family.smallest_variances(parameters.covariances, floor, K) <= 2.0
    return tuple(int(k) for k in np.flatnonzero(at_floor | family.singular(parameters.covariances)))
