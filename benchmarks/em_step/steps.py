"""One EM iteration of this package and of scikit-learn, ready to be timed, and their difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture import loops
from dask_gmm.mixture.e_step import complete, e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import m_step
from dask_gmm.mixture.workspace import padded_statistics

REG_COVAR = 1e-6

Rows2D = npt.NDArray[np.float64]


class OurStep:
    """One EM iteration of this package, frame and all."""

    def __init__(self, X: Rows2D, start: Parameters) -> None:
        self.rows = Rows(X)
        self.frame = Frame.of_sample(X[:20_000], isotropic=start.family.isotropic)
        self.floor = self.frame.floor(REG_COVAR)
        self.start = start.inside(self.frame)
        inside = self.frame.inside(X)
        # The survey's: taken once per data set, whatever the number of iterations.
        self.total_scatter = inside.T @ inside if start.family.shares_scatter else None

    def __call__(self) -> Parameters:
        """Return the parameters after one iteration, in the frame."""
        statistics = e_step([self.rows], self.start, self.frame)
        return m_step(complete(statistics, self.start, self.total_scatter), self.floor)

    def parameters(self) -> Parameters:
        """Return them in original units."""
        return self().outside(self.frame)


class Products:
    """The matrix products of one E-step alone, in its shapes and blocks, on buffers that are warm.

    What is not here: features, frame, softmax, weights, M-step. Products of short sides cannot run
    at the rate of large square ones; this tells how fast these can.
    """

    def __init__(self, step: OurStep) -> None:
        self._kernel = kernel = Kernel(step.start, step.frame)
        self._work = kernel.workspace()
        next(kernel.micro_blocks(step.rows, self._work))
        kernel.log_joint(self._work)
        kernel.softmax(self._work)
        self._S = padded_statistics(kernel.Q, kernel.K)
        self._n_blocks = -(-len(step.rows.values) // kernel.B)

    def __call__(self) -> None:
        """Make the products of all rows."""
        kernel, work = self._kernel, self._work
        R = np.empty_like(work.padded_R)[:, : kernel.B]
        for _ in range(self._n_blocks):
            if kernel.uses_phi:
                np.matmul(kernel.theta, work.phi, out=R)
                loops.add_statistics(self._S, work.padded_phi, work.padded_R, kernel.B)
            for k in kernel.centred:
                kernel.family.whiten(work.residuals, kernel.parameters.factors, k)
                work.residuals[...] = 0.5  # whitened again and again they would overflow
                kernel.family.scatter_of_residuals(work.residuals)


class PeerStep:
    """One EM iteration of scikit-learn: what its ``fit`` repeats."""

    def __init__(self, X: Rows2D, peer: Any) -> None:
        self.X, self.peer = X, peer
        self.start = peer._get_parameters()

    def back_to_start(self) -> None:
        """Undo all iterations."""
        self.peer._set_parameters(self.start)

    def __call__(self) -> None:
        """Make one iteration from where it stands."""
        _, log_resp = self.peer._e_step(self.X)
        self.peer._m_step(self.X, log_resp)


def difference(ours: Parameters, peer: Any) -> float:
    """Return the largest difference of two results: weights, whitened means and covariances."""
    K, D = ours.K, ours.D
    errors = [np.abs(ours.weights - peer.weights_).max()]
    for k in range(K):
        mine, theirs = (
            _matrix(np.asarray(each), ours.family.name, k, D)
            for each in (ours.covariances, peer.covariances_)
        )
        whiten = np.linalg.inv(np.linalg.cholesky(theirs))
        errors.append(np.linalg.norm(whiten @ (mine - theirs) @ whiten.T, 2))
        errors.append(np.abs(whiten @ (ours.means[k] - peer.means_[k])).max())
    return float(max(errors))


def _matrix(covariances: Rows2D, family: str, k: int, D: int) -> Rows2D:
    """Return component k's covariance (D, D)."""
    one = covariances if family == "tied" else covariances[k]
    return one if one.ndim == 2 else one * np.eye(D) if one.ndim == 0 else np.diag(one)
