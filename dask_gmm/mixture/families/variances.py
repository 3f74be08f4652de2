"""Diag and spherical: variances without cross terms."""

from __future__ import annotations

import numpy as np

from dask_gmm.mixture import loops
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families.base import NUMERIC_FLOOR, Family, IllConditionedError


class _Variances(Family):
    """What diag and spherical share: variances without cross terms."""

    proper = "positive"

    def of_precisions(self, precisions: Array) -> tuple[Array, Array]:
        factors = 1.0 / _root_precisions(precisions)
        return 1.0 / precisions, factors

    def precisions(self, U: Array) -> Array:
        return U * U

    def dense(self, covariances: Array, K: int, D: int) -> Array:
        return self.diagonals(covariances, K, D)[:, None] * np.eye(D)

    def precision_factors(self, covariances: Array) -> Array:
        return _root_precisions(covariances)

    def draw(
        self, covariances: Array, k: int, mean: Array, n: int, generator: np.random.RandomState
    ) -> Array:
        return mean + generator.standard_normal(size=(n, len(mean))) * np.sqrt(covariances[k])

    def coordinates(self, covariances: Array) -> Array:
        if not np.all(covariances > 0.0):
            raise IllConditionedError("a variance is not positive")
        return 0.5 * np.log(covariances).reshape(len(covariances), -1)

    def repaired(self, covariances: Array) -> Array:
        return np.maximum(covariances, NUMERIC_FLOOR)


class Diag(_Variances):
    """Every component has its own variances (K, D)."""

    name = "diag"

    def n_covariance_parameters(self, K: int, D: int) -> int:
        return K * D

    def n_features(self, D: int) -> int:
        return 2 * D + 1

    def covariance_shape(self, K: int, D: int) -> tuple[int, ...]:
        return (K, D)

    def fill(self, phi: Array, D: int, B: int) -> None:
        loops.squares(phi, D, B)

    def log_det_precision(self, U: Array, D: int) -> Array:
        return 2.0 * np.log(U).sum(axis=1)

    def linear(self, U: Array, means: Array) -> Array:
        return U * U * means

    def quadratic(self, U: Array, K: int, D: int) -> Array:
        return -0.5 * U * U

    def scatter_of(self, moments: Array, D: int) -> Array:
        return moments.copy()

    def outer(self, N: Array, d: Array) -> Array:
        return N[:, None] * d * d

    def covariances_of(self, scatter: Array, N: Array, D: int) -> Array:
        return scatter / N[:, None]

    def add_floor(self, covariances: Array, floor: Array) -> Array:
        return covariances + floor

    def rescale(self, covariances: Array, scale: Array) -> Array:
        return covariances * (scale * scale)

    def rescale_factors(self, U: Array, scale: Array) -> Array:
        return U / scale

    def from_coordinates(self, coordinates: Array, D: int) -> Array:
        return np.exp(2.0 * coordinates)

    def diagonals(self, covariances: Array, K: int, D: int) -> Array:
        return covariances.copy()

    def smallest_variances(self, covariances: Array, floor: Array, K: int) -> Array:
        return (covariances / floor).min(axis=1)

    def conditioning(self, U: Array, a: Array) -> Array:
        return ((U * a) ** 2).sum(axis=1)

    def whiten(self, residuals: Array, U: Array, k: int) -> None:
        residuals *= U[k][:, None]

    def scatter_of_residuals(self, residuals: Array) -> Array:
        return np.vecdot(residuals, residuals)


class Spherical(_Variances):
    """Every component has one variance (K,), the same in every feature."""

    name = "spherical"
    isotropic = True

    def n_covariance_parameters(self, K: int, D: int) -> int:
        return K

    def n_features(self, D: int) -> int:
        return D + 2

    def covariance_shape(self, K: int, D: int) -> tuple[int, ...]:
        return (K,)

    def fill(self, phi: Array, D: int, B: int) -> None:
        loops.squared_norms(phi, D, B)

    def log_det_precision(self, U: Array, D: int) -> Array:
        return 2.0 * D * np.log(U)

    def linear(self, U: Array, means: Array) -> Array:
        return (U * U)[:, None] * means

    def quadratic(self, U: Array, K: int, D: int) -> Array:
        return (-0.5 * U * U)[:, None]

    def scatter_of(self, moments: Array, D: int) -> Array:
        return moments[:, 0].copy()

    def outer(self, N: Array, d: Array) -> Array:
        return N * (d * d).sum(axis=1)

    def covariances_of(self, scatter: Array, N: Array, D: int) -> Array:
        return scatter / (N * D)

    def add_floor(self, covariances: Array, floor: Array) -> Array:
        return covariances + floor.mean()

    def rescale(self, covariances: Array, scale: Array) -> Array:
        if np.any(scale != scale[0]):
            raise ValueError("a spherical covariance has one scale for all features")
        return covariances * scale[0] ** 2

    def rescale_factors(self, U: Array, scale: Array) -> Array:
        return U / scale[0]

    def from_coordinates(self, coordinates: Array, D: int) -> Array:
        return np.exp(2.0 * coordinates[:, 0])

    def diagonals(self, covariances: Array, K: int, D: int) -> Array:
        return np.tile(covariances[:, None], (1, D))

    def smallest_variances(self, covariances: Array, floor: Array, K: int) -> Array:
        return covariances / floor.mean()

    def conditioning(self, U: Array, a: Array) -> Array:
        return ((U[:, None] * a) ** 2).sum(axis=1)

    def whiten(self, residuals: Array, U: Array, k: int) -> None:
        residuals *= U[k]

    def scatter_of_residuals(self, residuals: Array) -> Array:
        flat = residuals.ravel()
        return np.asarray(flat @ flat)


def _root_precisions(variances: Array) -> Array:
    if not np.all(variances > 0.0):
        raise IllConditionedError("a variance is not positive")
    return 1.0 / np.sqrt(variances)
