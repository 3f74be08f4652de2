"""The prediction pass: every cell labelled, counted and written where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources.several import place_of
from dask_gmm.engine.reading import Cell
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.run.forms import QUANTA, Form
from dask_gmm.run.quicklook import Piece, QuicklookPlan

#: Rows that are predicted together; a multiple of every kernel's micro-block.
ROWS = 1 << 16
#: Which of many inputs the report shows.
PICTURED = 0


@dataclass(frozen=True)
class Segmentation:
    """What the prediction pass is to do.

    Attributes
    ----------
    parameters : Parameters
        In original units.
    sinks : mapping of str to Sink
        Where each output goes, by its name in the configuration.
    forms : mapping of str to Form
        What outputs look like, whether they are written or only shown.
    quicklook : QuicklookPlan or None
        Which pixels make the report's picture.
    look_up : LookUp or None
        What is said of the distinct rows, of which then nothing is computed again.
    """

    parameters: Parameters
    sinks: Mapping[str, Sink]
    forms: Mapping[str, Form]
    quicklook: QuicklookPlan | None
    look_up: LookUp | None = None


@dataclass(frozen=True)
class Counted:
    """The rows of one input: a monoid.

    Attributes
    ----------
    class_rows : (K + 1,)
        Rows per label; label 0 are those that do not take part.
    nodata, invalid : int
        How many of those hold a value that stands for no data, or NaN or infinity.
    log_likelihood : float
        Sum of weight times log-density, in nats, in original units.
    entropy : float
        Sum of weight times the entropy of the responsibilities, in nats.
    weight : float
        Sum of the weights of the rows that take part.
    """

    class_rows: npt.NDArray[np.int64]
    nodata: int = 0
    invalid: int = 0
    log_likelihood: float = 0.0
    entropy: float = 0.0
    weight: float = 0.0

    def __add__(self, other: Counted) -> Counted:
        names = ("class_rows", "nodata", "invalid", "log_likelihood", "entropy", "weight")
        return Counted(*(getattr(self, name) + getattr(other, name) for name in names))

    def to_json(self) -> dict[str, int]:
        """Return the counts as the manifest has them."""
        total, masked = int(self.class_rows.sum()), int(self.class_rows[0])
        return {
            "total": total,
            "masked": masked,
            "nodata": self.nodata,
            "invalid": self.invalid,
            "used": total - masked,
        }


@dataclass(frozen=True)
class Segmented:
    """What the prediction pass found: a monoid.

    Attributes
    ----------
    inputs : mapping of int to Counted
        By the number of the input.
    checksums : tuple of (int, mapping of str to str)
        Per cell, the checksum of what was written of each output.
    pieces : tuple of Piece
        Of the report's picture.
    failures : mapping of int to str
        Why an input could not be read, by its number.
    """

    inputs: Mapping[int, Counted] = field(default_factory=dict)
    checksums: tuple[tuple[int, Mapping[str, str]], ...] = ()
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    failures: Mapping[int, str] = field(default_factory=dict)

    def __add__(self, other: Segmented) -> Segmented:
        inputs = dict(self.inputs)
        for number, counted in other.inputs.items():
            inputs[number] = inputs[number] + counted if number in inputs else counted
        return Segmented(
            inputs,
            self.checksums + other.checksums,
            self.pieces + other.pieces,
            {**other.failures, **self.failures},
        )

    @property
    def total(self) -> Counted:
        """The rows of all inputs that could be read."""
        first, *others = (self.inputs[i] for i in sorted(self.inputs.keys() - self.failures.keys()))
        return sum(others, start=first)


def segment(blocks: Iterable[Cell], job: Segmentation) -> Segmented:
    """Label, count and write the cells of one leaf."""
    kernel = Kernel.in_own_frame(job.parameters)
    total = Segmented()
    for cell in blocks:
        number, _ = place_of(cell.source.grid, cell.number)
        if cell.block.failure is None:
            total = total + _segmented(cell, number, kernel, job)
        else:
            total = total + Segmented(failures={number: cell.block.failure})
    return total


def _segmented(cell: Cell, number: int, kernel: Kernel, job: Segmentation) -> Segmented:
    """Predict some rows at a time: of a whole cell there is only what is written or shown."""
    n, look = len(cell.values), job.quicklook if number == PICTURED else None
    shown = () if look is None else ("labels", "uncertainty")
    whole = {name: _room(job.forms[name], n) for name in {*job.sinks, *shown}}
    counted = Counted(np.zeros(kernel.K + 1, dtype=np.int64), nodata=cell.n_nodata)
    total = Segmented({number: counted})
    for start in range(0, n, ROWS):
        here = slice(start, start + ROWS)
        rows = Rows(
            cell.values[here],
            None if cell.weights is None else cell.weights[here],
            None if cell.valid is None else cell.valid[here],
        )
        found, results = _predicted(rows, number, kernel, job)
        total = total + found
        for name, values in whole.items():
            values[here] = results[name]
    written = {name: sink.write(cell.number, whole[name]) for name, sink in job.sinks.items()}
    pieces: tuple[Piece, ...] = ()
    if look is not None:
        piece = look.piece(cell.region, cell.values, whole["labels"], whole["uncertainty"])
        pieces = () if piece is None else (piece,)
    return replace(total, checksums=((cell.number, written),), pieces=pieces)


def _room(form: Form, n: int) -> npt.NDArray[Any]:
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
    rows: Rows, number: int, kernel: Kernel, job: Segmentation
) -> tuple[Segmented, dict[str, npt.NDArray[Any]]]:
    """Return what is counted of some rows, and what is said of each in the outputs' forms."""
    wanted = wanted_of_rows(job.sinks)
    if job.look_up is None:
        said = predict(kernel, rows, wanted)
    else:
        said = job.look_up.predict(kernel, rows, wanted)
    valid = said.valid
    names = ("labels", "probabilities", "uncertainty", "log_density")
    given = {name: values for name in names if (values := getattr(said, name)) is not None}
    given["labels"] = labels = given["labels"] + given["labels"].dtype.type(1)
    w = valid.astype(np.float64) if rows.weights is None else np.where(valid, rows.weights, 0.0)
    entropy = np.where(valid, given["uncertainty"], 0.0) @ w * np.log(max(kernel.K, 2))
    log_likelihood = np.where(valid, given["log_density"], 0.0) @ w
    if "top_labels" in job.sinks:
        m = job.forms["top_labels"].trailing[0]
        given |= _most_probable(labels, given["probabilities"], m)
    if "probabilities" in given and job.forms["probabilities"].scale is not None:
        given["probabilities"] = _as_bytes(given["probabilities"])
    if not valid.all():
        for name, values in given.items():
            values[~valid] = job.forms[name].masked
    counted = Counted(
        np.bincount(labels, minlength=kernel.K + 1),
        invalid=_n_invalid(rows, valid),
        log_likelihood=float(log_likelihood),
        entropy=float(entropy),
        weight=float(w.sum()),
    )
    return Segmented({number: counted}), given


def _most_probable(
    labels: npt.NDArray[Any], probabilities: npt.NDArray[Any], m: int
) -> dict[str, npt.NDArray[Any]]:
    """Return the m highest probabilities of every row, falling, and whose they are, (n, m).

    The first is the row's label: where rounding has made two probabilities equal, it still is. Of
    other equal ones the lower label comes first.
    """
    height = -probabilities
    np.put_along_axis(height, labels[:, None].astype(np.intp) - 1, -np.inf, axis=1)
    best = np.argsort(height, axis=1, kind="stable")[:, :m]
    return {
        "probabilities": np.take_along_axis(probabilities, best, axis=1),
        "top_labels": (best + 1).astype(labels.dtype),
    }


def _as_bytes(probabilities: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return probabilities as bytes, 0 to 254; what is said of masked rows has no meaning."""
    with np.errstate(invalid="ignore"):
        return np.rint(probabilities * np.float32(QUANTA)).astype(np.uint8)


def _n_invalid(rows: Rows, valid: npt.NDArray[np.bool_]) -> int:
    """Count the rows that would take part, were they finite."""
    if valid.all():
        return 0
    taken = np.ones(len(valid), bool) if rows.valid is None else rows.valid
    if rows.weights is not None:
        taken = taken & (rows.weights != 0.0)
    return int((taken & ~valid).sum())
