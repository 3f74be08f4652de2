"""The prediction pass: every cell labelled, counted and written where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sinks import Sink
from dask_gmm.engine.reading import Cell
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.run.forms import forms
from dask_gmm.run.quicklook import Piece, QuicklookPlan

#: Rows that are predicted together; a multiple of every kernel's micro-block.
ROWS = 1 << 16


@dataclass(frozen=True)
class Segmentation:
    """What the prediction pass is to do.

    Attributes
    ----------
    parameters : Parameters
        In original units.
    sinks : mapping of str to Sink
        Where each output goes, by its name in the configuration.
    quicklook : QuicklookPlan or None
        Which pixels make the report's picture.
    look_up : LookUp or None
        What is said of the distinct rows, of which then nothing is computed again.
    """

    parameters: Parameters
    sinks: Mapping[str, Sink]
    quicklook: QuicklookPlan | None
    look_up: LookUp | None = None


@dataclass(frozen=True)
class Segmented:
    """What the prediction pass found: a monoid.

    Attributes
    ----------
    class_rows : (K + 1,)
        Rows per label; label 0 are those that do not take part.
    log_likelihood : float
        Sum of weight times log-density, in nats, in original units.
    entropy : float
        Sum of weight times the entropy of the responsibilities, in nats.
    weight : float
        Sum of the weights of the rows that take part.
    checksums : tuple of (int, mapping of str to str)
        Per cell, the checksum of what was written of each output.
    pieces : tuple of Piece
        Of the report's picture.
    """

    class_rows: npt.NDArray[np.int64]
    log_likelihood: float = 0.0
    entropy: float = 0.0
    weight: float = 0.0
    checksums: tuple[tuple[int, Mapping[str, str]], ...] = ()
    pieces: tuple[Piece, ...] = field(default=(), repr=False)

    def __add__(self, other: Segmented) -> Segmented:
        return Segmented(
            self.class_rows + other.class_rows,
            self.log_likelihood + other.log_likelihood,
            self.entropy + other.entropy,
            self.weight + other.weight,
            self.checksums + other.checksums,
            self.pieces + other.pieces,
        )


def segment(blocks: Iterable[Cell], job: Segmentation) -> Segmented:
    """Label, count and write the cells of one leaf."""
    kernel = Kernel.in_own_frame(job.parameters)
    total = Segmented(np.zeros(kernel.K + 1, dtype=np.int64))
    for cell in blocks:
        total = total + _segmented(cell, kernel, job)
    return total


def _segmented(cell: Cell, kernel: Kernel, job: Segmentation) -> Segmented:
    """Predict some rows at a time: of a whole cell there is only what is written or shown."""
    n = len(cell.values)
    shown = () if job.quicklook is None else ("labels", "uncertainty")
    whole = {name: _room(name, n, kernel.K) for name in {*job.sinks, *shown}}
    total = Segmented(np.zeros(kernel.K + 1, dtype=np.int64))
    for start in range(0, n, ROWS):
        here = slice(start, start + ROWS)
        rows = Rows(
            cell.values[here],
            None if cell.weights is None else cell.weights[here],
            None if cell.valid is None else cell.valid[here],
        )
        counted, results = _predicted(rows, kernel, job)
        total = total + counted
        for name, values in whole.items():
            values[here] = results[name]
    written = {name: sink.write(cell.number, whole[name]) for name, sink in job.sinks.items()}
    pieces: tuple[Piece, ...] = ()
    if job.quicklook is not None:
        look = job.quicklook
        piece = look.piece(cell.region, cell.values, whole["labels"], whole["uncertainty"])
        pieces = () if piece is None else (piece,)
    return replace(total, checksums=((cell.number, written),), pieces=pieces)


def _room(name: str, n: int, K: int) -> npt.NDArray[Any]:
    form = forms(K)[name]
    return np.empty((n, *form.trailing), form.dtype)


def wanted_of_rows(outputs: Iterable[str]) -> Wanted:
    """Return what is to be said of every row: probabilities only where they are an output."""
    return Wanted(
        labels=True,
        probabilities="probabilities" in outputs,
        uncertainty=True,
        log_density=True,
        dtype=np.float32,
    )


def _predicted(
    rows: Rows, kernel: Kernel, job: Segmentation
) -> tuple[Segmented, dict[str, npt.NDArray[Any]]]:
    """Return what is counted of some rows, and what is said of each: 0 or NaN where masked."""
    wanted = wanted_of_rows(job.sinks)
    if job.look_up is None:
        said = predict(kernel, rows, wanted)
    else:
        said = job.look_up.predict(kernel, rows, wanted)
    valid = said.valid
    given = {
        name: values for name in forms(kernel.K) if (values := getattr(said, name)) is not None
    }
    given["labels"] = labels = given["labels"] + given["labels"].dtype.type(1)
    w = valid.astype(np.float64) if rows.weights is None else np.where(valid, rows.weights, 0.0)
    entropy = np.where(valid, given["uncertainty"], 0.0) @ w * np.log(max(kernel.K, 2))
    log_likelihood = np.where(valid, given["log_density"], 0.0) @ w
    if not valid.all():
        for name, values in given.items():
            values[~valid] = forms(kernel.K)[name].masked
    counts = np.bincount(labels, minlength=kernel.K + 1)
    return Segmented(counts, float(log_likelihood), float(entropy), float(w.sum())), given
