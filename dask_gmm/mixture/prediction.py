"""What a fitted mixture says of rows: labels, probabilities, uncertainty, log-density."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture import loops
from dask_gmm.mixture.arrays import AnyArray, Array
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.workspace import Workspace

if TYPE_CHECKING:
    from dask_gmm.mixture.profiling import Profiler


@dataclass(frozen=True)
class Wanted:
    """Which parts of a :class:`Prediction` to compute, in which precision and layout.

    ``by_class``: probabilities lie in memory class by class, whatever their shape says.
    """

    labels: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    log_density: bool = False
    dtype: type[np.floating] = np.float64
    by_class: bool = False


@dataclass(frozen=True)
class Prediction:
    """What the mixture says of n rows; what was not asked for is None.

    Attributes
    ----------
    labels : (n,)
        The most probable component, 0 to K - 1, in the smallest unsigned type that holds K.
    probabilities : (n, K)
    uncertainty : (n,)
        Entropy of the probabilities over log K, between 0 and 1; 0 where K is 1.
    log_density : (n,)
        In nats, in original units.
    valid : (n,)
        Rows that are finite and take part. What is said of the others has no meaning.
    """

    labels: AnyArray | None
    probabilities: AnyArray | None
    uncertainty: AnyArray | None
    log_density: Array | None
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Score:
    """How well a mixture explains rows: a monoid.

    Attributes
    ----------
    log_likelihood : float
        Sum of weight times log-density, in nats.
    entropy : float
        Sum of weight times the entropy of the responsibilities, in nats.
    weight : float
        Sum of the weights of the rows that take part.
    n_invalid : int
        Rows that do not, and have a weight: one of weight zero is absent, whatever it holds.
    """

    log_likelihood: float = 0.0
    entropy: float = 0.0
    weight: float = 0.0
    n_invalid: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.log_likelihood + other.log_likelihood,
            self.entropy + other.entropy,
            self.weight + other.weight,
            self.n_invalid + other.n_invalid,
        )


def predict(
    kernel: Kernel, block: RowBlock, wanted: Wanted, profiler: Profiler | None = None
) -> Prediction:
    """Return what the mixture says of each row of ``block``; its rows are added to ``profiler``."""
    n, K = len(block.values), kernel.K
    work = kernel.workspace()
    labels = np.empty(n, np.min_scalar_type(K)) if wanted.labels else None
    order: Literal["C", "F"] = "F" if wanted.by_class else "C"
    probabilities = np.empty((n, K), wanted.dtype, order) if wanted.probabilities else None
    uncertainty = np.empty(n, wanted.dtype) if wanted.uncertainty else None
    log_density = np.empty(n) if wanted.log_density else None
    valid = np.empty(n, dtype=bool)
    only_labels = all(each is None for each in (probabilities, uncertainty, log_density, profiler))
    for start, stop in kernel.micro_blocks(block, work):
        here, b = slice(start, stop), stop - start
        valid[here] = work.valid[:b]
        kernel.log_joint(work)
        if labels is not None or profiler is not None:
            loops.most_probable(work.padded_R, K, kernel.B, work.peak, work.component)
        if labels is not None:
            labels[here] = work.component[:b]
        if only_labels:
            continue
        log_norm = kernel.softmax(work, entropy=wanted.uncertainty)
        if log_density is not None or profiler is not None:
            shared = kernel.shared_quadratic(work)
        if log_density is not None:
            log_density[here] = (log_norm + shared)[:b]
        if profiler is not None:
            profiler.add(work, shared)
        if uncertainty is not None:
            uncertainty[here] = _entropy(work)[:b] / np.log(max(K, 2))
        if probabilities is not None:
            np.divide(work.R, work.total, out=work.R)
            probabilities[here] = work.R[:, :b].T
    return Prediction(labels, probabilities, uncertainty, log_density, valid)


def score(blocks: Iterable[RowBlock], parameters: Parameters) -> Score:
    """Return how well ``parameters``, in original units, explain ``blocks``."""
    kernel = Kernel.in_own_frame(parameters)
    total = Score()
    for block in blocks:
        work = kernel.workspace()
        for start, stop in kernel.micro_blocks(block, work):
            kernel.log_joint(work)
            log_density = kernel.softmax(work, entropy=True) + kernel.shared_quadratic(work)
            invalid = ~work.valid[: stop - start]
            if block.weights is not None:
                invalid &= block.weights[start:stop] != 0.0
            total = total + Score(
                float(log_density @ work.w),
                float(_entropy(work) @ work.w),
                float(work.w.sum()),
                int(invalid.sum()),
            )
    return total


def _entropy(work: Workspace) -> Array:
    """Return the entropy (B,) of the responsibilities that a softmax has left unnormalised."""
    return np.maximum(np.log(work.total) - work.mean / work.total, 0.0)
