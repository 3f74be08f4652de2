"""Mixtures to try, rows drawn from them, and EM in extended precision to measure against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import SufficientStatistics, m_step
from dask_gmm.mixture.survey import SurveyPlan, survey

FAMILIES = ("full", "tied", "diag", "spherical")


def random_mixture(
    covariance_type: str, K: int, D: int, rng: np.random.Generator, *, apart: float = 2.0
) -> Parameters:
    """Draw a mixture whose components overlap, with spreads between 0.5 and 2."""
    root = rng.normal(size=(K, D, D)) / np.sqrt(D) + np.eye(D)
    full = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(D)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": rng.uniform(0.25, 4.0, (K, D)),
        "spherical": rng.uniform(0.25, 4.0, K),
    }[covariance_type]
    weights = rng.dirichlet(np.full(K, 5.0))
    return Parameters.of(covariance_type, weights, apart * rng.normal(size=(K, D)), covariances)


def draw(mixture: Parameters, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows (n, D); every component gives at least D + 2 of them, where n allows."""
    K, D = mixture.K, mixture.D
    labels = rng.permutation(
        np.concatenate([np.repeat(np.arange(K), D + 2), rng.choice(K, n, p=mixture.weights)])[:n]
    )
    roots = np.linalg.cholesky(matrices(mixture))
    return mixture.means[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n, D)))


def matrices(mixture: Parameters) -> np.ndarray:
    """Return the covariances of any family as matrices (K, D, D)."""
    C, K, D = mixture.covariances, mixture.K, mixture.D
    if mixture.family.name == "spherical":
        C = np.repeat(C[:, None], D, axis=1)
    if C.ndim == 2 and mixture.family.name != "tied":
        return np.asarray(C[:, :, None] * np.eye(D))
    return np.broadcast_to(C, (K, D, D))


def nudged(mixture: Parameters, rng: np.random.Generator, by: float = 0.3) -> Parameters:
    """Return a start near the mixture: means moved by a part of their spread, wider covariances."""
    means = mixture.means + by * rng.normal(size=mixture.means.shape) * np.sqrt(mixture.variances)
    weights = rng.dirichlet(np.full(mixture.K, 20.0))
    return Parameters.of(mixture.family, weights, means, (1 + by) * mixture.covariances)


def estimator_start(mixture: Parameters) -> dict[str, np.ndarray]:
    """Return the mixture as scikit-learn's arguments for a start."""
    return {
        "weights_init": mixture.weights,
        "means_init": mixture.means,
        "precisions_init": mixture.family.precisions(mixture.factors),
    }


# -- the code under test, in one call -------------------------------------------------------------


def own_step(
    rows: np.ndarray | list[Rows],
    start: Parameters,
    *,
    reg_covar: float = 0.0,
    frame: Frame | None = None,
) -> tuple[Parameters, SufficientStatistics]:
    """Take one EM step by this package from ``start``, everything outside in original units."""
    blocks = rows if isinstance(rows, list) else [Rows(rows)]
    found = survey(blocks, SurveyPlan(start.D, 1000, 0))
    frame = frame or Frame.of_sample(found.sample.rows, isotropic=start.family.isotropic)
    readings = MemoryReadings(blocks[0])
    readings.run = lambda name, function, *arguments: function(blocks, *arguments)  # type: ignore
    expectation = expectation_over(readings, frame, found.moments.total_scatter(frame))
    inside = start.inside(frame)
    statistics = expectation(inside)
    return m_step(statistics, frame.floor(reg_covar), inside).outside(frame), statistics


# -- the oracle -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One EM step in extended precision, two passes, centred.

    Attributes
    ----------
    responsibilities : (n, K)
    log_density : (n,)
    weights, means : (K,), (K, D)
    covariances : (K, D, D)
    mean_log_likelihood : float
    """

    responsibilities: np.ndarray
    log_density: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    mean_log_likelihood: float


def reference_step(
    X: np.ndarray,
    start: Parameters,
    *,
    reg_covar: float = 0.0,
    row_weights: np.ndarray | None = None,
) -> Step:
    """Take one EM step in long double: residuals about each mean, never a raw moment."""
    X = np.asarray(X).astype(np.longdouble)
    n, D = X.shape
    w = np.ones(n, np.longdouble) if row_weights is None else row_weights.astype(np.longdouble)
    log_joint = np.stack(
        [
            np.log(start.weights[k].astype(np.longdouble)) + _log_normal(X, start.means[k], C)
            for k, C in enumerate(matrices(start))
        ],
        axis=1,
    )
    peak = log_joint.max(axis=1, keepdims=True)
    log_density = peak[:, 0] + np.log(np.exp(log_joint - peak).sum(axis=1))
    R = np.exp(log_joint - log_density[:, None])
    N = (R * w[:, None]).sum(axis=0)
    means = (R * w[:, None]).T @ X / N[:, None]
    scatters = np.stack(
        [((X - mean) * (r * w)[:, None]).T @ (X - mean) for mean, r in zip(means, R.T, strict=True)]
    )
    covariances = {
        "full": lambda: scatters / N[:, None, None],
        "tied": lambda: np.broadcast_to(scatters.sum(axis=0) / N.sum(), scatters.shape),
        "diag": lambda: scatters / N[:, None, None] * np.eye(D),
        "spherical": lambda: (
            (np.trace(scatters, axis1=1, axis2=2) / (N * D))[:, None, None] * np.eye(D)
        ),
    }[start.family.name]()
    covariances = covariances + reg_covar * np.eye(D)
    mean_log_likelihood = float((log_density * w).sum() / w.sum())
    return Step(R, log_density, N / w.sum(), means, covariances, mean_log_likelihood)


def _log_normal(X: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    L = _cholesky(covariance)
    y = _solved(L, (X - mean.astype(np.longdouble)).T)
    log_det = 2 * np.log(np.diagonal(L)).sum()
    return -0.5 * (len(mean) * np.log(2 * np.pi, dtype=np.longdouble) + log_det + (y * y).sum(0))


def _cholesky(covariance: np.ndarray) -> np.ndarray:
    A = covariance.astype(np.longdouble)
    L = np.zeros_like(A)
    for j in range(len(A)):
        L[j, j] = np.sqrt(A[j, j] - L[j, :j] @ L[j, :j])
        L[j + 1 :, j] = (A[j + 1 :, j] - L[j + 1 :, :j] @ L[j, :j]) / L[j, j]
    return L


def _solved(L: np.ndarray, b: np.ndarray) -> np.ndarray:
    y = np.zeros(b.shape, np.longdouble)
    for i in range(len(L)):
        y[i] = (b[i] - L[i, :i] @ y[:i]) / L[i, i]
    return y


# -- errors, measured where they matter -----------------------------------------------------------


def covariance_error(found: Parameters, covariances: np.ndarray) -> float:
    """Return the largest ||L^-1 (C' - C) L^-T||_2 over the components, L L^T = C (K, D, D)."""
    return max(
        float(np.abs(np.linalg.eigvalsh(_whitened(C, other - C))).max())
        for C, other in zip(covariances, matrices(found), strict=True)
    )


def mean_error(found: Parameters, means: np.ndarray, covariances: np.ndarray) -> float:
    """Return the largest Mahalanobis distance between means (K, D)."""
    steps = (found.means - means)[:, :, None]
    return max(
        float(np.sqrt((_solved(_cholesky(C), d) ** 2).sum()))
        for C, d in zip(covariances, steps, strict=True)
    )


def step_error(found: Parameters, expected: Parameters | Step) -> float:
    """Return the largest error of weights, whitened means and whitened covariances."""
    covariances = expected.covariances if isinstance(expected, Step) else matrices(expected)
    return max(
        float(np.abs(found.weights - expected.weights).max()),
        mean_error(found, expected.means, covariances),
        covariance_error(found, covariances),
    )


def _whitened(C: np.ndarray, difference: np.ndarray) -> np.ndarray:
    L = _cholesky(C)
    half = _solved(L, difference.astype(np.longdouble))
    whole = _solved(L, half.T)
    return np.asarray((whole + whole.T) / 2, dtype=np.float64)
