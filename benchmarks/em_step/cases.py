"""Mixtures of known parameters to measure on, and the same model for us and for scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture as PeerMixture

from dask_gmm import GaussianMixture
from dask_gmm.mixture.families import FAMILIES
from dask_gmm.mixture.parameters import Parameters


@dataclass(frozen=True)
class Case:
    """One cell of a grid.

    Attributes
    ----------
    D, K : int
        Features and components.
    family : str
        Covariance type.
    n_rows : int
    """

    D: int
    K: int
    family: str
    n_rows: int

    @property
    def name(self) -> str:
        """D,K,family: what the command line takes."""
        return f"{self.D},{self.K},{self.family}"

    @property
    def Q(self) -> int:
        """Length of phi(x)."""
        return FAMILIES[self.family].n_features(self.D)


def draw(case: Case) -> tuple[npt.NDArray[np.float64], Parameters]:
    """Return rows (n, D) of a mixture whose components overlap, and a start near its truth.

    The covariances are rotated and stretched up to 4 : 1. What they are is of no moment to the
    time; that many components claim a row is, because exp(-700) is no work.
    """
    D, K = case.D, case.K
    generator = np.random.default_rng([D, K])
    means = generator.standard_normal((K, D)) * 3.0 / np.sqrt(D)
    factors = np.stack([_stretched_rotation(generator, D) for _ in range(K)])
    X = np.empty((case.n_rows, D))
    of = generator.integers(0, K, case.n_rows)
    for k in range(K):
        mine = of == k
        X[mine] = means[k] + generator.standard_normal((mine.sum(), D)) @ factors[k].T
    covariances = factors @ factors.transpose(0, 2, 1)
    diagonals = np.diagonal(covariances, axis1=1, axis2=2)
    forms = {
        "full": covariances,
        "tied": covariances.mean(axis=0),
        "diag": diagonals,
        "spherical": diagonals.mean(axis=1),
    }
    start = means + 0.1 * generator.standard_normal((K, D))
    return X, Parameters.of(case.family, np.full(K, 1.0 / K), start, forms[case.family])


def _stretched_rotation(generator: np.random.Generator, D: int) -> npt.NDArray[np.float64]:
    rotation, _ = np.linalg.qr(generator.standard_normal((D, D)))
    return rotation * generator.uniform(0.5, 2.0, D)


def estimators(
    start: Parameters, X: npt.NDArray[np.float64]
) -> tuple[GaussianMixture, PeerMixture]:
    """Return our estimator and scikit-learn's, both standing at ``start`` with no step made.

    Parameters
    ----------
    start : Parameters
    X : (n, D)
        Rows to learn the number of features from.
    """
    family, precisions = start.family, start.family.precisions(start.factors)
    ours = GaussianMixture(
        start.K,
        covariance_type=family.name,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions,
        max_iter=0,
    ).fit(X[: 10 * start.K])
    peer = PeerMixture(start.K, covariance_type=family.name)
    peer.n_features_in_ = start.D
    # Its own max_iter=0 fails where precisions_init is given (1.9).
    peer.weights_, peer.means_ = np.array(start.weights), np.array(start.means)
    peer.covariances_, peer.precisions_ = np.array(start.covariances), precisions
    peer.precisions_cholesky_ = np.array(start.factors)
    return ours, peer
