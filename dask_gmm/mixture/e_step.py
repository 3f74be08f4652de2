"""The E-step over blocks of rows, and what completes its sum over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from dask_gmm.mixture import loops
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel, centred_components
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.workspace import Workspace, padded_statistics


def e_step(
    blocks: Iterable[RowBlock], parameters: Parameters, frame: Frame
) -> SufficientStatistics:
    """Return the sufficient statistics of ``blocks`` under ``parameters``.

    Parameters
    ----------
    blocks : iterable of RowBlock
        Rows in original units. Rows that are not finite are left out.
    parameters : Parameters
        In the coordinates of ``frame``.
    frame : Frame

    Notes
    -----
    For a family that shares its scatter the sum over all rows must still be completed by
    :func:`complete`.
    """
    kernel = Kernel(parameters, frame)
    sums = Sums(kernel)
    for block in blocks:
        sums.add(block)
    return sums.statistics()


def complete(
    statistics: SufficientStatistics, parameters: Parameters, total_scatter: Array | None
) -> SufficientStatistics:
    """Give a shared scatter, and its part of the log-likelihood, to the sum over all rows.

    Parameters
    ----------
    statistics : SufficientStatistics
        The sum over all rows of what :func:`e_step` returned for ``parameters``.
    parameters : Parameters
    total_scatter : (D, D)
        Sum of w x x^T over the same rows about the frame's origin; a constant of the data.
    """
    if not parameters.family.shares_scatter or centred_components(parameters).all():
        return statistics
    if total_scatter is None:
        raise ValueError("tied covariances need the total scatter of the rows")
    whitened = parameters.factors.T @ total_scatter @ parameters.factors
    return replace(
        statistics,
        scatter=total_scatter,
        log_likelihood=statistics.log_likelihood - 0.5 * float(np.trace(whitened)),
    )


class Sums:
    """The running sums of one E-step, updated in place; ``totals`` are weight and log-likelihood.

    Those of phi are taken :data:`~dask_gmm.mixture.loops.TILE` rows at a time, so that they are the
    same bits for micro-blocks of any width.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        zero = SufficientStatistics.zero(kernel.frame, kernel.family, kernel.origins)
        self.N, self.sum_x, self.scatter = zero.N, zero.sum_x, zero.scatter
        self.S = padded_statistics(kernel.Q, kernel.K)
        self.totals = np.zeros(2)

    def add(self, block: RowBlock) -> None:
        """Add the rows of a block."""
        kernel = self.kernel
        work = kernel.workspace()
        for _ in kernel.micro_blocks(block, work):
            kernel.log_joint(work)
            self.take_responsibilities(work)
            if kernel.uses_phi:
                loops.add_statistics(self.S, work.padded_phi, work.padded_R, kernel.B)
            self.add_centred(work)

    def take_responsibilities(self, work: Workspace) -> None:
        """Turn the log-joints of a micro-block into responsibilities times weights."""
        log_norm = self.kernel.softmax(work)
        loops.add_weighted(self.totals, log_norm, work.w, self.kernel.B)
        loops.weigh(work.padded_R, self.kernel.K, self.kernel.B, work.w, work.total)

    def add_centred(self, work: Workspace) -> None:
        """Add the sums of the components that are centred."""
        for k in self.kernel.centred:
            self._add_centred(k, work)

    def _add_centred(self, k: int, work: Workspace) -> None:
        x, mean = work.phi[1 : self.kernel.D + 1], self.kernel.parameters.means[k]
        self.N[k] += work.R[k].sum()
        # Root responsibilities on both sides make the scatter a product with its own transpose.
        root = np.sqrt(work.R[k], out=work.R[k])
        residuals = np.subtract(x, mean[:, None], out=work.residuals)
        residuals *= root
        self.sum_x[k] += residuals @ root
        scatter = self.kernel.family.scatter_of_residuals(residuals)
        if self.kernel.family.shares_scatter:
            self.scatter += scatter
        else:
            self.scatter[k] += scatter

    def statistics(self) -> SufficientStatistics:
        """Return the sums as a value: those of phi unpacked beside the centred ones."""
        kernel = self.kernel
        if kernel.uses_phi:
            D, by_phi = kernel.D, ~kernel.is_centred
            S = self.S[: kernel.K, : kernel.Q]
            self.N[by_phi] = S[by_phi, 0]
            self.sum_x[by_phi] = S[by_phi, 1 : D + 1]
            scatter = kernel.family.scatter_of(S[:, D + 1 :], D)
            if kernel.centred:
                scatter[kernel.is_centred] = self.scatter[kernel.is_centred]
            self.scatter = scatter
        return SufficientStatistics(
            kernel.frame,
            kernel.family,
            kernel.origins,
            self.N,
            self.sum_x,
            self.scatter,
            *self.totals.tolist(),
        )
