"""What every covariance family can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import Array

LOG_2PI = float(np.log(2.0 * np.pi))
#: Smallest eigenvalue of a correlation matrix that is told from rounding.
BREAKDOWN = 1e-12
#: Smallest variance, in a frame whose spread is near 1, that is told from rounding.
NUMERIC_FLOOR = 1e-24


class IllConditionedError(ValueError):
    """A covariance has no Cholesky factor in double precision."""


class Family(ABC):
    """One covariance family.

    Shapes of ``covariances``, ``U`` and ``scatter`` are the family's own: full (K, D, D),
    tied (D, D), diag (K, D), spherical (K,).
    """

    name: ClassVar[str]
    #: What a covariance must be, in words.
    proper: ClassVar[str]
    #: True when one covariance serves all components and its scatter is a constant of the data.
    shares_scatter: ClassVar[bool] = False
    #: True when isotropy ties the features together, so that all must share one scale.
    isotropic: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"<family {self.name}>"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        # One object per family, in every process: identity is equality.
        from dask_gmm.mixture.families import family

        return family, (self.name,)

    def n_parameters(self, K: int, D: int) -> int:
        """Count the free parameters of a mixture of K components in D features."""
        return K - 1 + K * D + self.n_covariance_parameters(K, D)

    @abstractmethod
    def n_covariance_parameters(self, K: int, D: int) -> int:
        """Count the free parameters of the covariances."""

    @abstractmethod
    def n_features(self, D: int) -> int:
        """Return Q, the length of phi(x)."""

    @abstractmethod
    def covariance_shape(self, K: int, D: int) -> tuple[int, ...]:
        """Return the shape of covariances, precision factors and scatter."""

    def fill(self, phi: Array, D: int, B: int) -> None:  # noqa: B027 - tied has nothing to add
        """Complete B columns of a padded ``phi``, whose rows 0 to D already hold 1 and x."""

    @abstractmethod
    def precision_factors(self, covariances: Array) -> Array:
        """Return U with P = U U^T, in the shape of ``covariances``.

        Raises
        ------
        IllConditionedError
            If a covariance is not positive definite in double precision.
        """

    @abstractmethod
    def of_precisions(self, precisions: Array) -> tuple[Array, Array]:
        """Return (covariances, U) for given precisions.

        Raises
        ------
        IllConditionedError
            If a precision is not positive definite.
        """

    @abstractmethod
    def precisions(self, U: Array) -> Array:
        """Return the inverse covariances, in the shape of ``U``."""

    @abstractmethod
    def log_det_precision(self, U: Array, D: int) -> Array:
        """Return log |P_k| as (K,) or as a scalar where all components share it."""

    @abstractmethod
    def linear(self, U: Array, means: Array) -> Array:
        """Return P_k mu_k, (K, D)."""

    @abstractmethod
    def quadratic(self, U: Array, K: int, D: int) -> Array:
        """Return the part of theta that multiplies the quadratic features, (K, Q - D - 1)."""

    @abstractmethod
    def scatter_of(self, moments: Array, D: int) -> Array:
        """Unpack the quadratic columns (K, Q - D - 1) of S into the family's scatter."""

    @abstractmethod
    def outer(self, N: Array, d: Array) -> Array:
        """Return N_k d_k d_k^T in the shape of the scatter; d is (K, D)."""

    @abstractmethod
    def covariances_of(self, scatter: Array, N: Array, D: int) -> Array:
        """Divide a scatter about the means by the rows (N,) it holds."""

    @abstractmethod
    def add_floor(self, covariances: Array, floor: Array) -> Array:
        """Add the variance floor (D,) to the diagonals."""

    @abstractmethod
    def rescale(self, covariances: Array, scale: Array) -> Array:
        """Return the covariances of ``scale * x``, scale (D,)."""

    @abstractmethod
    def rescale_factors(self, U: Array, scale: Array) -> Array:
        """Return the precision factors of ``scale * x``, scale (D,)."""

    @abstractmethod
    def diagonals(self, covariances: Array, K: int, D: int) -> Array:
        """Return the variances of every component, (K, D)."""

    @abstractmethod
    def dense(self, covariances: Array, K: int, D: int) -> Array:
        """Return the covariance matrix of every component, (K, D, D)."""

    @abstractmethod
    def smallest_variances(self, covariances: Array, floor: Array, K: int) -> Array:
        """Return per component the smallest eigenvalue in units of the floor (D,), as (K,).

        Eigenvalues are those of ``F^-1/2 Sigma F^-1/2`` with F = diag(floor): a component whose
        value is near 1 consists of nothing but its floor in some direction.
        """

    @abstractmethod
    def repaired(self, covariances: Array) -> Array:
        """Return the nearest covariances that have a Cholesky factor."""

    def singular(self, covariances: Array) -> npt.NDArray[np.bool_]:
        """Tell which components' features are collinear but for rounding, (K,) or (1,)."""
        return np.zeros(1, dtype=bool)

    @abstractmethod
    def coordinates(self, covariances: Array) -> Array:
        """Return free coordinates of covariances, (K, n) or (1, n): any numbers are allowed there.

        Logarithms of the standard deviations; with cross terms, of the Cholesky factor's diagonal,
        then its rows in units of their diagonal.

        Raises
        ------
        IllConditionedError
            If a covariance is not positive definite.
        """

    @abstractmethod
    def from_coordinates(self, coordinates: Array, D: int) -> Array:
        """Return the covariances whose free coordinates are given."""

    @abstractmethod
    def conditioning(self, U: Array, a: Array) -> Array:
        """Return kappa_k = a_k^T |P_k| a_k, (K,), for root second moments a (K, D)."""

    @abstractmethod
    def whiten(self, residuals: Array, U: Array, k: int) -> None:
        """Multiply residuals (D, B), C-contiguous, by U_k^T in place."""

    @abstractmethod
    def scatter_of_residuals(self, residuals: Array) -> Array:
        """Return one component's scatter of residuals (D, B), times root responsibilities."""

    @abstractmethod
    def draw(
        self, covariances: Array, k: int, mean: Array, n: int, generator: np.random.RandomState
    ) -> Array:
        """Draw n rows (n, D) of component k, as scikit-learn draws them."""

    def stack(self, scatters: list[Array]) -> Array:
        """Join the scatters of single components."""
        return np.stack(scatters)
