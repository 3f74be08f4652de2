"""The prediction pass: every cell labelled, counted and written where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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
from dask_gmm.mixture.profiling import Profiler
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.views import Views
from dask_gmm.run.forms import QUANTA, Form
from dask_gmm.run.quicklook import Look, Piece, QuicklookPlan
from dask_gmm.run.segmented import Counted, Segmented

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
    forms : mapping of str to Form
        What outputs look like, whether they are written or only shown.
    looks : mapping of int to Look
        Which pixels make the report's pictures, by the number of the input.
    views : Views or None
        Through which the profile of the rows is taken; None: it is not.
    look_up : LookUp or None
        What is said of the distinct rows, of which then nothing is computed again.
    """

    parameters: Parameters
    sinks: Mapping[str, Sink]
    forms: Mapping[str, Form]
    looks: Mapping[int, Look]
    views: Views | None = None
    look_up: LookUp | None = None


def segment(blocks: Iterable[Cell], job: Segmentation) -> Segmented:
    """Label, count and write the cells of one leaf."""
    kernel = Kernel.in_own_frame(job.parameters)
    profiler = None if job.views is None else Profiler(kernel, job.views)
    total = Segmented()
    for cell in blocks:
        number, _ = place_of(cell.source.grid, cell.number)
        if cell.block.failure is None:
            total = total + _segmented(cell, number, kernel, job, profiler)
        else:
            total = total + Segmented(failures={number: cell.block.failure})
    return total if profiler is None else replace(total, profile=profiler.finished())


def _segmented(
    cell: Cell, number: int, kernel: Kernel, job: Segmentation, profiler: Profiler | None
) -> Segmented:
    """Predict some rows at a time: of a whole cell there is only what is written or shown."""
    n, look = len(cell.values), job.looks.get(number)
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
        found, results = _predicted(rows, number, kernel, job, profiler)
        total = total + found
        for name, values in whole.items():
            values[here] = results[name]
    written = {name: sink.write(cell.number, whole[name]) for name, sink in job.sinks.items()}
    total = replace(total, checksums=((cell.number, written),))
    if look is None:
        return total
    piece = look.picture.piece(cell.region, cell.values, whole["labels"], whole["uncertainty"])
    chances = _map_piece(cell, look.maps, whole["labels"], kernel)
    return replace(
        total,
        pieces=() if piece is None else (replace(piece, input=number),),
        maps=() if chances is None else (replace(chances, input=number),),
    )


def _map_piece(
    cell: Cell, plan: QuicklookPlan | None, labels: npt.NDArray[Any], kernel: Kernel
) -> Piece | None:
    """Return one cell's part of the maps of probabilities, as bytes: those few are predicted."""
    places = None if plan is None else plan.places(cell.region)
    if plan is None or places is None:
        return None
    said = predict(kernel, Rows(cell.values[places]), Wanted(probabilities=True, dtype=np.float32))
    assert said.probabilities is not None
    shown = said.probabilities[:, list(plan.features)]
    return plan.piece_of(cell.region, _as_bytes(shown), labels[places])


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
    rows: Rows, number: int, kernel: Kernel, job: Segmentation, profiler: Profiler | None
) -> tuple[Segmented, dict[str, npt.NDArray[Any]]]:
    """Return what is counted of some rows, and what is said of each in the outputs' forms."""
    wanted = wanted_of_rows(job.sinks)
    if job.look_up is None:
        said = predict(kernel, rows, wanted, profiler)
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
