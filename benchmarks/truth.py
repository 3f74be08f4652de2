"""Labels against the components that rows were drawn from, block by block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from benchmarks.known import Known


class Agreement(NamedTuple):
    """How well labels tell the components apart.

    Attributes
    ----------
    accuracy : float
        Share of the rows that the best assignment of labels to components has right.
    ari : float
        The adjusted Rand index.
    """

    accuracy: float
    ari: float

    @classmethod
    def of_counts(cls, counts: npt.NDArray[np.int64]) -> Agreement:
        """Return it from the rows by component and label (K, L)."""
        n = int(counts.sum())
        right = counts[linear_sum_assignment(counts, maximize=True)].sum()
        together, by_truth, by_label = (
            float((each * (each - 1.0) / 2.0).sum())
            for each in (counts, counts.sum(axis=1), counts.sum(axis=0))
        )
        by_chance = by_truth * by_label / (n * (n - 1.0) / 2.0)
        most = (by_truth + by_label) / 2.0
        ari = 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)
        return cls(float(right / n), ari)


def agreement(labels: Path, known: Known) -> Agreement:
    """Compare a Zarr array of labels (rows,), from 0 or from 1, with the truth."""
    import zarr

    array = zarr.open_array(str(labels), mode="r")
    if array.shape != (known.rows,):
        raise SystemExit(f"labels of {known.rows:,} rows are expected, found is {array.shape}")

    def stored(number: int, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        start = number * known.block_rows
        return np.asarray(array[start : start + len(rows)], np.int64)

    return _counted(known, known.rows, stored)


def best_possible(known: Known, most_rows: int) -> Agreement:
    """Return what labels by the true parameters come to, on the first rows."""
    weights, means, covariances = known.parameters()
    factors = np.linalg.inv(np.linalg.cholesky(covariances))
    constants = np.log(weights) + np.linalg.slogdet(factors)[1]

    def true(_: int, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        joint = [
            constant - 0.5 * (((rows - mean) @ factor.T) ** 2).sum(axis=1)
            for constant, mean, factor in zip(constants, means, factors, strict=True)
        ]
        return np.argmax(joint, axis=0)

    return _counted(known, most_rows, true)


def _counted(
    known: Known,
    most_rows: int,
    labels: Callable[[int, npt.NDArray[np.float32]], npt.NDArray[np.int64]],
) -> Agreement:
    width = known.K + 1  # labels from 0 to K - 1 or from 1 to K
    counts = np.zeros(known.K * width, np.int64)
    for number in range(-(-most_rows // known.block_rows)):
        rows, components = known.drawn(number)
        counts += np.bincount(components * width + labels(number, rows), minlength=len(counts))
    return Agreement.of_counts(counts.reshape(known.K, width))
