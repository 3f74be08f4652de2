"""Which component of one mixture is which of another: distances between Gaussians, and a matching.

A. Bhattacharyya, *On a measure of divergence between two statistical populations defined by their
probability distributions*, Bull. Calcutta Math. Soc. 35 (1943).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import FAMILIES
from dask_gmm.mixture.parameters import Parameters


def bhattacharyya(a: Parameters, b: Parameters) -> Array:
    """Return the distance of every component of one mixture from every one of another.

    With S = (S_a + S_b) / 2 and d = mu_a - mu_b it is ::

        d^T S^-1 d / 8 + log(|S| / sqrt(|S_a| |S_b|)) / 2

    0 for equal components; exp(-distance), between 0 and 1, is by how much their densities overlap:
    the integral of the root of their product. No invertible map of the features changes it, scales
    and units least of all. Weights play no part.

    Parameters
    ----------
    a, b : Parameters
        Of equal D, in equal units; families may differ.

    Returns
    -------
    ndarray, shape (K_a, K_b)
    """
    D = a.D
    covariances = [p.family.dense(p.covariances, p.K, D) for p in (a, b)]
    log_dets = [np.broadcast_to(-p.family.log_det_precision(p.factors, D), (p.K,)) for p in (a, b)]
    distances = np.empty((a.K, b.K))
    for i in range(a.K):
        for j in range(b.K):
            L = _factor((covariances[0][i] + covariances[1][j]) / 2.0)
            d = solve_triangular(L, a.means[i] - b.means[j], lower=True)
            log_det = 2.0 * np.log(np.diagonal(L)).sum()
            spread = log_det - (log_dets[0][i] + log_dets[1][j]) / 2.0
            distances[i, j] = d @ d / 8.0 + spread / 2.0
    # Of equal components rounding leaves a little, of either sign.
    return np.maximum(distances, 0.0)


def matching(distances: Array) -> dict[int, int]:
    """Match components so that the sum of their distances (K_a, K_b) is the least there is.

    Returns
    -------
    dict of int to int
        From components of the one mixture to those of the other: as many as the smaller one has.
    """
    rows, columns = linear_sum_assignment(distances)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True)}


def _factor(covariance: Array) -> Array:
    """Return the lower Cholesky factor (D, D); where rounding leaves none, of what is nearest."""
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.cholesky(FAMILIES["full"].repaired(covariance[None])[0]))
