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

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.blocking import block_rows, centred_is_cheaper, fills_by_rows
from dask_gmm.mixture.families import LOG_2PI
from dask_gmm.mixture.frame import FARTHEST, Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.workspace import Workspace, workspace

#: phi is used while its rounding error, kappa times epsilon, stays below this.
TOLERATED_ERROR = 1e-9
#: Log-responsibilities are held above this: exp gives a normal number.
LOWEST = -700.0


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
        self.B = block_rows(self.Q + K + self.n_residuals)
        log_weights = np.log(np.maximum(parameters.weights, np.finfo(np.float64).tiny))
        log_det = family.log_det_precision(parameters.factors, D)
        self._constant = log_weights + 0.5 * (log_det - D * LOG_2PI) - frame.log_volume
        if self.uses_phi:
            linear = family.linear(parameters.factors, parameters.means)
            constant = self._constant - 0.5 * (linear * parameters.means).sum(axis=1)
            quadratic = family.quadratic(parameters.factors, K, D)
            self.theta = np.ascontiguousarray(np.hstack([constant[:, None], linear, quadratic]))
            self.theta[centred] = 0.0

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

    def workspace(self) -> Workspace:
        """Return this thread's buffers for this kernel."""
        by_rows = not self.centred and fills_by_rows(self.family, self.D)
        return workspace(self.Q, self.K, self.B, self.n_residuals, by_rows)

    def micro_blocks(self, block: RowBlock, work: Workspace) -> Iterator[tuple[int, int]]:
        """Fill the workspace with B rows at a time, the last ones padded with weight 0."""
        values, D = block.values, self.D
        x = work.phi[1 : D + 1]
        shift, inverse = self.frame.shift[:, None], (1.0 / self.frame.scale)[:, None]
        exact = values.dtype.kind in "iub"
        for start in range(0, len(values), self.B):
            stop = min(start + self.B, len(values))
            b = stop - start
            rows = x[:, :b]
            rows[...] = values[start:stop].T
            with np.errstate(over="ignore", invalid="ignore"):  # found below, and left out
                rows -= shift
                rows *= inverse
            x[:, b:] = 0.0
            work.w[:b] = 1.0 if block.weights is None else block.weights[start:stop]
            work.w[b:] = 0.0
            work.valid[:b] = True if block.valid is None else block.valid[start:stop]
            if not exact:
                check_finite(rows, work.valid[:b])
            if not work.valid[:b].all():
                # 0 x NaN is NaN: invalid rows go to the frame's origin, with weight 0.
                rows[:, ~work.valid[:b]] = 0.0
                work.w[:b][~work.valid[:b]] = 0.0
            yield start, stop

    def log_joint(self, work: Workspace) -> None:
        """Write log w_k + log N(x | mu_k, Sigma_k) into ``work.R``."""
        if self.uses_phi:
            self.family.fill(work.phi, self.D)
            np.matmul(self.theta, work.phi, out=work.R)
        x = work.phi[1 : self.D + 1]
        for k in self.centred:
            y = np.subtract(x, self.parameters.means[k][:, None], out=work.residuals)
            self.family.whiten(y, self.parameters.factors, k)
            np.multiply(y, y, out=y)
            np.matmul(work.ones[: self.D], y, out=work.R[k])
            work.R[k] *= -0.5
            work.R[k] += self._constant[k]

    @staticmethod
    def softmax(work: Workspace) -> Array:
        """Turn log-joints into exp(log_joint - max), sums into ``work.total``; return log-norms."""
        np.max(work.R, axis=0, out=work.peak)
        np.subtract(work.R, work.peak, out=work.R)
        # Where exp underflows it takes 10 to 60 times as long; 1e-304 is as good as nothing.
        np.maximum(work.R, LOWEST, out=work.R)
        np.exp(work.R, out=work.R)
        np.matmul(work.ones[: len(work.R)], work.R, out=work.total)
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
        valid &= (np.abs(rows) < FARTHEST).all(axis=0)


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
