"""One E-step for several mixtures at once: rows are read, moved into the frame and squared once.

A micro-block is loaded, and phi filled, for the widest family that runs: phi's order makes those of
tied and diag prefixes of full's. The components of mixtures of one family stand in one theta, so
that a micro-block costs one product there and one back for all of them; each mixture has its own
softmax. Spherical's phi is no prefix of the others': beside them it fills its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from dask_gmm.mixture import loops
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.blocking import STACKED, block_rows
from dask_gmm.mixture.e_step import Sums
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.loops import COMPONENTS_AT_ONCE, padded
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Score, score
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.workspace import (
    Workspace,
    padded_features,
    padded_statistics,
    workspace,
)

Part = TypeVar("Part", SufficientStatistics, Score)


@dataclass(frozen=True, eq=False)
class Several(Generic[Part]):
    """What several mixtures make of the same rows: a monoid.

    Attributes
    ----------
    parts : tuple of SufficientStatistics or Score
        One of each mixture, in their order.
    """

    parts: tuple[Part, ...]

    def __add__(self, other: Several[Part]) -> Several[Part]:
        return Several(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))


def e_steps(
    blocks: Iterable[RowBlock], mixtures: Sequence[Parameters], frame: Frame
) -> Several[SufficientStatistics]:
    """Return the sufficient statistics of ``blocks`` under each of ``mixtures``.

    Parameters
    ----------
    blocks : iterable of RowBlock
        Rows in original units. Rows that are not finite are left out.
    mixtures : sequence of Parameters
        All in the coordinates of ``frame``.
    frame : Frame

    Notes
    -----
    Each sum is what :func:`dask_gmm.mixture.e_step.e_step` returns for its mixture alone, and is
    completed in the same way: the same bits where no component is centred, whose sums go by the
    width of micro-blocks, which company changes.
    """
    together = _Together(mixtures, frame)
    for block in blocks:
        together.add(block)
    return Several(tuple(sums.statistics() for sums in together.sums))


def scores(blocks: Iterable[RowBlock], mixtures: Sequence[Parameters]) -> Several[Score]:
    """Return how well each of ``mixtures``, in original units, explains ``blocks``."""
    totals = [Score()] * len(mixtures)
    for block in blocks:
        totals = [
            total + score([block], each) for total, each in zip(totals, mixtures, strict=True)
        ]
    return Several(tuple(totals))


class _Together:
    """The running sums of several mixtures."""

    def __init__(self, mixtures: Sequence[Parameters], frame: Frame) -> None:
        kernels = [Kernel(each, frame) for each in mixtures]
        self.sums = [Sums(kernel) for kernel in kernels]
        self.stacks = list(_stacks(self.sums))
        self.widest = max(kernels, key=lambda kernel: (not kernel.family.isotropic, kernel.Q))
        apart = [each.Q for each in kernels if each.family.isotropic and each.uses_phi]
        self.n_apart = 0 if self.widest.family.isotropic else max(apart, default=0)
        self.K = max(len(stack.theta) for stack in self.stacks)
        self.n_residuals = max(kernel.n_residuals for kernel in kernels)
        self.B = block_rows(self.widest.Q + self.n_apart, self.K, self.n_residuals)
        for kernel in kernels:
            kernel.B = self.B  # one width for all, whatever each would have chosen alone

    def add(self, block: RowBlock) -> None:
        """Add the rows of a block to all sums."""
        widest, n_loaded = self.widest, self.widest.D + 1
        work = workspace(widest.Q, self.K, self.B, self.n_residuals)
        apart = padded_features(self.n_apart, self.B)
        for _ in widest.micro_blocks(block, work):
            if widest.uses_phi:
                widest.family.fill(work.padded_phi, widest.D, self.B)
            if self.n_apart:
                apart[:n_loaded] = work.padded_phi[:n_loaded]
                self.stacks[-1].family.fill(apart, widest.D, self.B)
            for stack in self.stacks:
                own = self.n_apart and stack.fills_apart
                stack.add(work, apart if own else work.padded_phi, self.B)


class _Stack:
    """Mixtures of one family whose components share a product."""

    def __init__(self, sums: Sequence[Sums]) -> None:
        self.sums, kernels = sums, [each.kernel for each in sums]
        self.family, self.Q = kernels[0].family, kernels[0].Q
        self.uses_phi = kernels[0].uses_phi
        self.fills_apart = self.family.isotropic and self.uses_phi
        lengths = list(map(_length, sums))
        stops = np.cumsum(lengths)
        self.rows = [slice(stop - n, stop) for stop, n in zip(stops, lengths, strict=True)]
        self.theta = np.zeros((stops[-1], self.Q))
        self.S = padded_statistics(self.Q, len(self.theta))
        for rows, each in zip(self.rows, sums, strict=True):
            if self.uses_phi:
                self.theta[rows] = each.kernel.theta
                each.S = self.S[rows]  # a view: what the stack adds, each mixture has

    def add(self, work: Workspace, padded_phi: Array, B: int) -> None:
        """Add a micro-block of B rows, whose phi is filled."""
        if self.uses_phi:
            R = work.padded_R[: len(self.theta), :B]
            np.matmul(self.theta, padded_phi[: self.Q, :B], out=R)
        views = [
            work.for_mixture(rows, each.kernel.K)
            for rows, each in zip(self.rows, self.sums, strict=True)
        ]
        for view, sums in zip(views, self.sums, strict=True):
            sums.kernel.log_joint_centred(view)
            sums.take_responsibilities(view)
        if self.uses_phi:
            K, Q = self.S.shape
            loops.add_statistics(self.S, padded_phi[:Q], work.padded_R[:K], B)
        for view, sums in zip(views, self.sums, strict=True):
            sums.add_centred(view)


def _length(sums: Sums) -> int:
    """Return the rows of a stack that a mixture takes."""
    return padded(sums.kernel.K, COMPONENTS_AT_ONCE)


def _stacks(sums: Sequence[Sums]) -> Iterator[_Stack]:
    """Put mixtures of one family together, as many as the caches hold responsibilities of."""
    groups: dict[tuple[bool, int, str, bool], list[list[Sums]]] = {}
    for each in sums:
        kernel = each.kernel
        key = (kernel.family.isotropic, kernel.Q, kernel.family.name, kernel.uses_phi)
        held = groups.setdefault(key, [[]])
        if held[-1] and sum(map(_length, held[-1])) + _length(each) > STACKED:
            held.append([])
        held[-1].append(each)
    # Isotropic families, with a phi of their own, come last.
    for key in sorted(groups, key=lambda key: key[:3]):
        yield from map(_Stack, groups[key])
