"""Full and tied: covariances with cross terms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, lapack

from dask_gmm.mixture import loops
from dask_gmm.mixture.arrays import AnyArray, Array, Indices
from dask_gmm.mixture.families.base import BREAKDOWN, NUMERIC_FLOOR, Family, IllConditionedError


class _Matrices(Family):
    """What full and tied share: symmetric (D, D) matrices."""

    proper = "symmetric, positive-definite"

    def add_floor(self, covariances: Array, floor: Array) -> Array:
        result = covariances.copy()
        diagonal = np.arange(len(floor))
        result[..., diagonal, diagonal] += floor
        return result

    def rescale(self, covariances: Array, scale: Array) -> Array:
        return covariances * np.outer(scale, scale)

    def rescale_factors(self, U: Array, scale: Array) -> Array:
        return U / scale[:, None]

    def of_precisions(self, precisions: Array) -> tuple[Array, Array]:
        matrices = precisions.reshape(-1, *precisions.shape[-2:])
        pairs = [_of_precision(matrix) for matrix in matrices]
        shape = precisions.shape
        covariances, factors = (np.stack(each).reshape(shape) for each in zip(*pairs, strict=True))
        return covariances, factors

    def precisions(self, U: Array) -> Array:
        return np.asarray(U @ np.swapaxes(U, -1, -2))

    def coordinates(self, covariances: Array) -> Array:
        matrices = covariances.reshape(-1, *covariances.shape[-2:])
        try:
            L = np.linalg.cholesky(matrices)
        except np.linalg.LinAlgError as error:
            raise IllConditionedError("a covariance is not positive definite") from error
        lengths = np.diagonal(L, axis1=1, axis2=2)
        below = (L / lengths[:, :, None])[:, *np.tril_indices(L.shape[-1], -1)]
        return np.hstack([np.log(lengths), below])

    def from_coordinates(self, coordinates: Array, D: int) -> Array:
        L = np.tile(np.eye(D), (len(coordinates), 1, 1))
        L[:, *np.tril_indices(D, -1)] = coordinates[:, D:]
        L *= np.exp(coordinates[:, :D, None])
        covariances = L @ L.transpose(0, 2, 1)
        return covariances[0] if self.shares_scatter else covariances

    def repaired(self, covariances: Array) -> Array:
        matrices = covariances.reshape(-1, *covariances.shape[-2:])
        return np.stack([_repaired(matrix) for matrix in matrices]).reshape(covariances.shape)

    def singular(self, covariances: Array) -> npt.NDArray[np.bool_]:
        matrices = covariances.reshape(-1, *covariances.shape[-2:])
        roots = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
        correlations = matrices / (roots[:, :, None] * roots[:, None, :])
        return np.asarray(np.linalg.eigvalsh(correlations)[:, 0] < 10 * BREAKDOWN)

    def scatter_of_residuals(self, residuals: Array) -> Array:
        # A product with its own transpose: NumPy computes one triangle of it.
        return residuals @ residuals.T


class Full(_Matrices):
    """Every component has its own covariance matrix (K, D, D)."""

    name = "full"

    def n_covariance_parameters(self, K: int, D: int) -> int:
        return K * D * (D + 1) // 2

    def n_features(self, D: int) -> int:
        return (D + 1) * (D + 2) // 2

    def covariance_shape(self, K: int, D: int) -> tuple[int, ...]:
        return (K, D, D)

    def fill(self, phi: Array, D: int, B: int) -> None:
        loops.squares(phi, D, B)
        loops.cross_terms(phi, D, B)

    def precision_factors(self, covariances: Array) -> Array:
        return np.stack([_upper_factor(covariance) for covariance in covariances])

    def log_det_precision(self, U: Array, D: int) -> Array:
        return 2.0 * np.log(np.diagonal(U, axis1=1, axis2=2)).sum(axis=1)

    def linear(self, U: Array, means: Array) -> Array:
        return (U @ (U.transpose(0, 2, 1) @ means[:, :, None]))[:, :, 0]

    def quadratic(self, U: Array, K: int, D: int) -> Array:
        P = U @ U.transpose(0, 2, 1)
        i, j = _pairs(D)
        return np.hstack([-0.5 * np.diagonal(P, axis1=1, axis2=2), -P[:, i, j]])

    def scatter_of(self, moments: Array, D: int) -> Array:
        scatter = np.empty((len(moments), D, D))
        i, j = _pairs(D)
        diagonal = np.arange(D)
        scatter[:, diagonal, diagonal] = moments[:, :D]
        scatter[:, i, j] = moments[:, D:]
        scatter[:, j, i] = moments[:, D:]
        return scatter

    def outer(self, N: Array, d: Array) -> Array:
        return N[:, None, None] * (d[:, :, None] * d[:, None, :])

    def covariances_of(self, scatter: Array, N: Array, D: int) -> Array:
        return scatter / N[:, None, None]

    def diagonals(self, covariances: Array, K: int, D: int) -> Array:
        return np.diagonal(covariances, axis1=1, axis2=2).copy()

    def dense(self, covariances: Array, K: int, D: int) -> Array:
        return covariances

    def smallest_variances(self, covariances: Array, floor: Array, K: int) -> Array:
        return np.array([_whitened_smallest(covariance, floor) for covariance in covariances])

    def conditioning(self, U: Array, a: Array) -> Array:
        P = np.abs(U @ U.transpose(0, 2, 1))
        return (a[:, None, :] @ P @ a[:, :, None])[:, 0, 0]

    def draw(
        self, covariances: Array, k: int, mean: Array, n: int, generator: np.random.RandomState
    ) -> Array:
        return generator.multivariate_normal(mean, covariances[k], n)

    def whiten(self, residuals: Array, U: Array, k: int) -> None:
        _multiply_triangular(residuals, U[k])


class Tied(_Matrices):
    """One covariance matrix (D, D) serves all components."""

    name = "tied"
    shares_scatter = True

    def n_covariance_parameters(self, K: int, D: int) -> int:
        return D * (D + 1) // 2

    def n_features(self, D: int) -> int:
        return D + 1

    def covariance_shape(self, K: int, D: int) -> tuple[int, ...]:
        return (D, D)

    def precision_factors(self, covariances: Array) -> Array:
        return _upper_factor(covariances)

    def log_det_precision(self, U: Array, D: int) -> Array:
        return np.asarray(2.0 * np.log(np.diagonal(U)).sum())

    def linear(self, U: Array, means: Array) -> Array:
        return (means @ U) @ U.T

    def quadratic(self, U: Array, K: int, D: int) -> Array:
        return np.empty((K, 0))

    def scatter_of(self, moments: Array, D: int) -> Array:
        return np.zeros((D, D))

    def outer(self, N: Array, d: Array) -> Array:
        return (N[:, None] * d).T @ d

    def covariances_of(self, scatter: Array, N: Array, D: int) -> Array:
        return scatter / N.sum()

    def diagonals(self, covariances: Array, K: int, D: int) -> Array:
        return np.tile(np.diagonal(covariances), (K, 1))

    def dense(self, covariances: Array, K: int, D: int) -> Array:
        return np.tile(covariances, (K, 1, 1))

    def smallest_variances(self, covariances: Array, floor: Array, K: int) -> Array:
        return np.full(K, _whitened_smallest(covariances, floor))

    def conditioning(self, U: Array, a: Array) -> Array:
        return ((a @ np.abs(U @ U.T)) * a).sum(axis=1)

    def draw(
        self, covariances: Array, k: int, mean: Array, n: int, generator: np.random.RandomState
    ) -> Array:
        return generator.multivariate_normal(mean, covariances, n)

    def whiten(self, residuals: Array, U: Array, k: int) -> None:
        _multiply_triangular(residuals, U)

    def stack(self, scatters: list[Array]) -> Array:
        return np.sum(scatters, axis=0)


def _multiply_triangular(X: Array, U: Array) -> None:
    """Write U^T X over X (D, B): half the arithmetic of a general product."""
    # BLAS sees the transposes of C-ordered arrays: X^T := X^T U, with U as its transpose's own.
    blas.dtrmm(1.0, U.T, X.T, side=1, lower=1, trans_a=1, overwrite_b=1)


def _triangular_inverse(L: AnyArray) -> Array:
    inverse, info = lapack.dtrtri(L, lower=1)
    if info != 0:
        raise IllConditionedError("a Cholesky factor is singular")
    return inverse


def _upper_factor(covariance: Array) -> Array:
    """Return U upper triangular with inverse(covariance) = U U^T: never an explicit inverse."""
    try:
        L = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise IllConditionedError("a covariance is not positive definite") from error
    return np.ascontiguousarray(_triangular_inverse(L).T)


def _of_precision(precision: Array) -> tuple[Array, Array]:
    """Return the covariance and U: the Cholesky factor of the matrix read backwards."""
    if not np.allclose(precision, precision.T):
        raise IllConditionedError("a precision is not symmetric")
    try:
        U = np.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
    except np.linalg.LinAlgError as error:
        raise IllConditionedError("a precision is not positive definite") from error
    inverse = _triangular_inverse(np.ascontiguousarray(U.T)).T
    return inverse.T @ inverse, np.ascontiguousarray(U)


def _repaired(covariance: Array) -> Array:
    """Lift variances, then eigenvalues of the correlations, that rounding has taken below zero."""
    variances = np.maximum(np.diagonal(covariance), NUMERIC_FLOOR)
    covariance = covariance + np.diag(variances - np.diagonal(covariance))
    roots = np.sqrt(variances)
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(roots, roots))
    lifted = np.maximum(eigenvalues, BREAKDOWN * max(eigenvalues[-1], 1.0))
    correlation = (vectors * lifted) @ vectors.T
    return 0.5 * (correlation + correlation.T) * np.outer(roots, roots)


def _whitened_smallest(covariance: Array, floor: Array) -> float:
    root = np.sqrt(floor)
    return float(np.linalg.eigvalsh(covariance / np.outer(root, root))[0])


@lru_cache(maxsize=64)
def _pairs(D: int) -> tuple[Indices, Indices]:
    """Return the indices (i, j), i < j, in the order of the cross terms."""
    i, j = np.triu_indices(D, 1)
    return i, j
