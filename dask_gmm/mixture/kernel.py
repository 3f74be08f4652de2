r"""The E-step over rows: one matrix product, a softmax, one matrix product.

With phi(x) the quadratic features of a micro-block of B rows, feature-major (Q, B),

    log_joint = theta @ phi        (K, B)
    R         = softmax(log_joint) (K, B)
    S         = R @ phi.T          (K, Q): the sufficient statistics

where sums about the frame's origin would cancel, or phi would cost more than it saves, the
*centred* kernel takes the component over: residuals about its own mean, whitened by its factor.
Memory is O(B (Q + K)) whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture import loops
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.blocking import block_rows, centred_is_cheaper
from dask_gmm.mixture.families import LOG_2PI
from dask_gmm.mixture.frame import FARTHEST, Frame
from dask_gmm.mixture.loops import COMPONENTS_AT_ONCE, padded
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.workspace import Workspace, workspace

#: phi is used while its rounding error, kappa times epsilon, stays below this.
TOLERATED_ERROR = 1e-9
_NOTHING = np.empty(0)


class Kernel:
    """The mixture made ready for evaluation in one frame."""

    def __init__(self, parameters: Parameters, frame: Frame) -> None:
        family, K, D = parameters.family, parameters.K, parameters.D
        self.parameters, self.frame, self.family, self.K, self.D = parameters, frame, family, K, D
        self.is_centred = centred = centred_components(parameters)
        self.centred = tuple(int(k) for k in np.flatnonzero(centred))
        self.uses_phi = len(self.centred) < K
        self.origins = np.where(centred[:, None], parameters.means, 0.0)
        self.Q = family.n_features(D) if self.uses_phi else D + 1
        self.n_residuals = D if self.centred else 0
        self.B = block_rows(self.Q, K, self.n_residuals)
        log_weights = np.log(np.maximum(parameters.weights, np.finfo(np.float64).tiny))
        log_det = family.log_det_precision(parameters.factors, D)
        self._constant = log_weights + 0.5 * (log_det - D * LOG_2PI) - frame.log_volume
        if self.uses_phi:
            linear = family.linear(parameters.factors, parameters.means)
            constant = self._constant - 0.5 * (linear * parameters.means).sum(axis=1)
            quadratic = family.quadratic(parameters.factors, K, D)
            # Padded, so that a component's log-joints are the same bits whatever stands beside it:
            # a product's edges go other ways through BLAS than its middle.
            self.theta = np.zeros((padded(K, COMPONENTS_AT_ONCE), self.Q))
            self.theta[:K] = np.hstack([constant[:, None], linear, quadratic])
            self.theta[:K][centred] = 0.0

    @classmethod
    def in_own_frame(cls, parameters: Parameters) -> Kernel:
        """Make a mixture in original units ready; the frame follows from its own moments."""
        own = Frame.of_mixture(
            parameters.weights,
            parameters.means,
            parameters.variances,
            isotropic=parameters.family.isotropic,
        )
        return cls(parameters.inside(own), own)

    @property
    def log_norms(self) -> Array:
        """The log-joints of rows at the means, (K,): log-weight and log of the density there."""
        return np.asarray(self._constant)

    def workspace(self) -> Workspace:
        """Return this thread's buffers for this kernel."""
        return workspace(self.Q, self.K, self.B, self.n_residuals)

    def micro_blocks(self, block: RowBlock, work: Workspace) -> Iterator[tuple[int, int]]:
        """Fill the workspace with B rows at a time, the last ones padded with weight 0."""
        x = work.phi[1 : self.D + 1]
        shift, inverse = self.frame.shift, 1.0 / self.frame.scale
        every_row_once = block.weights is None and block.valid is None
        filled = False
        for start in range(0, len(block.values), self.B):
            stop = min(start + self.B, len(block.values))
            b = stop - start
            rows, w, valid = x[:, :b], work.w[:b], work.valid[:b]
            rows[...] = block.values[start:stop].T
            squares = loops.into_frame(work.padded_phi, self.D, b, shift, inverse)
            if not (every_row_once and filled):
                w[...] = 1.0 if block.weights is None else block.weights[start:stop]
                valid[...] = True if block.valid is None else block.valid[start:stop]
                filled = True
            if not squares < FARTHEST**2:
                valid &= ~_far(rows)
            if not (every_row_once and squares < FARTHEST**2) and not valid.all():
                # 0 x NaN is NaN: invalid rows go to the frame's origin, with weight 0.
                rows[:, ~valid] = 0.0
                w[~valid] = 0.0
                filled = False
            if b < self.B:
                x[:, b:] = 0.0
                work.w[b:] = 0.0
            yield start, stop

    def log_joint(self, work: Workspace) -> None:
        """Write log w_k + log N(x | mu_k, Sigma_k) into ``work.R``."""
        if self.uses_phi:
            self.family.fill(work.padded_phi, self.D, self.B)
            np.matmul(self.theta, work.phi, out=work.padded_R[: len(self.theta), : self.B])
        self.log_joint_centred(work)

    def log_joint_centred(self, work: Workspace) -> None:
        """Write the log-joints of the components that are centred."""
        x = work.phi[1 : self.D + 1]
        for k in self.centred:
            y = np.subtract(x, self.parameters.means[k][:, None], out=work.residuals)
            self.family.whiten(y, self.parameters.factors, k)
            np.multiply(y, y, out=y)
            np.matmul(work.ones[: self.D], y, out=work.R[k])
            work.R[k] *= -0.5
            work.R[k] += self._constant[k]

    def softmax(self, work: Workspace, *, entropy: bool = False) -> Array:
        """Turn log-joints into exp(log_joint - peak), and return log-norms (B,).

        ``work.total`` and, for the entropy, ``work.mean`` become what
        :func:`dask_gmm.mixture.loops.softmax` says.
        """
        mean = work.mean if entropy else _NOTHING
        loops.softmax(work.padded_R, self.K, self.B, work.peak, work.total, mean)
        log_norm: Array = np.log(work.total)
        log_norm += work.peak
        return log_norm

    def shared_quadratic(self, work: Workspace) -> Array | float:
        """Return the quadratic term that cancels in the responsibilities of shared covariances."""
        if not (self.family.shares_scatter and self.uses_phi):
            return 0.0
        y = self.parameters.factors.T @ work.phi[1 : self.D + 1]
        return np.asarray(-0.5 * (work.ones[: self.D] @ (y * y)))


def check_finite(rows: Array, valid: npt.NDArray[np.bool_]) -> None:
    """Clear ``valid`` (n,) where a column of ``rows`` (D, n) is not finite or absurdly far.

    The sum of squares is one fast pass; only where it overflows or is NaN are the rows looked at.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        along = rows if rows.flags.c_contiguous else rows.T
        if float(np.vecdot(along, along).sum()) < FARTHEST**2:
            return
    valid &= ~_far(rows)


def _far(rows: Array) -> npt.NDArray[np.bool_]:
    """Tell which columns of ``rows`` (D, n) are not finite, or absurdly far."""
    return np.asarray(~(np.abs(rows) < FARTHEST).all(axis=0))


def centred_components(parameters: Parameters) -> npt.NDArray[np.bool_]:
    """Tell which components (K,) the centred kernel takes: by conditioning, then by cost.

    kappa_k = a_k^T |P_k| a_k with a_k the root second moments about the frame's origin bounds the
    cancellation in phi. Where collinearity, not distance, makes it large, centring gains nothing,
    but costs no digits either.
    """
    family, K, D = parameters.family, parameters.K, parameters.D
    a = np.sqrt(parameters.means**2 + parameters.variances)
    with np.errstate(over="ignore"):
        kappa = family.conditioning(parameters.factors, a)
    centred = np.asarray(~(kappa * np.finfo(np.float64).eps <= TOLERATED_ERROR))
    if centred_is_cheaper(family, K, D) or (family.shares_scatter and centred.any()):
        return np.ones(K, dtype=bool)
    return centred
