"""The prediction pass: every cell labelled, counted and written where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block
from dask_gmm.data.halo import lengths, within
from dask_gmm.data.several_cells import place_of
from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources.several import input_of
from dask_gmm.engine.reading import Cell
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Prediction, Wanted, predict
from dask_gmm.mixture.profiling import Profiler
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.views import Views
from dask_gmm.run.forms import QUANTA, Form
from dask_gmm.run.quicklook import Look, Piece, QuicklookPlan
from dask_gmm.run.segmented import Counted, Segmented
from dask_gmm.run.smoothed import ROWS, Smoothed, smoothed
from dask_gmm.run.smoothing import SmoothingPlan

_PROBABILITIES = Wanted(probabilities=True, dtype=np.float32)


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
    smoothing : SmoothingPlan or None
        What is done to probabilities before anything is written; cells come with its halo then.
    """

    parameters: Parameters
    sinks: Mapping[str, Sink]
    forms: Mapping[str, Form]
    looks: Mapping[int, Look]
    views: Views | None = None
    look_up: LookUp | None = None
    smoothing: SmoothingPlan | None = None


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
    said_of = _Said(kernel, job, profiler, cell.n_nodata)
    maps = None if look is None else look.maps
    if cell.around is None:
        for start in range(0, n, ROWS):
            here = slice(start, start + ROWS)
            results = said_of.rows(_rows(cell, here))
            for name, values in whole.items():
                values[here] = results[name]
        pieces = _map_pieces(cell, maps, whole.get("labels"), kernel)
    else:
        pieces = _smoothed(cell, whole, said_of, maps)
    written = {name: sink.write(cell.number, whole[name]) for name, sink in job.sinks.items()}
    total = Segmented({number: said_of.counted}, ((cell.number, written),))
    if look is None:
        return total
    piece = look.picture.piece(cell.region, cell.values, whole["labels"], whole["uncertainty"])
    return replace(
        total,
        pieces=() if piece is None else (replace(piece, input=number),),
        maps=tuple(replace(each, input=number) for each in pieces),
    )


def _smoothed(
    cell: Cell, whole: dict[str, npt.NDArray[Any]], said_of: _Said, maps: QuicklookPlan | None
) -> tuple[Piece, ...]:
    """Fill results with what the field says of a cell; return its part of the maps."""
    assert cell.around is not None
    assert said_of.job.smoothing is not None
    pieces, K, region = list[Piece](), said_of.kernel.K, cell.region
    field = said_of.job.smoothing.field_of(input_of(cell.source, cell.number))
    shaped = {
        name: values.reshape(*lengths(region), *values.shape[1:]) for name, values in whole.items()
    }
    prior = said_of.job.smoothing.raised(said_of.job.parameters.weights)
    for box in smoothed(cell.around, region, field, K, said_of.mixture, prior):
        results = said_of.field(box)
        for name, values in shaped.items():
            there = values[within(box.region, region)]
            there[...] = results[name].reshape(there.shape)
        places = None if maps is None else maps.places(box.region)
        if maps is not None and places is not None:
            shown = _as_bytes(box.probabilities[places][:, list(maps.features)])
            pieces.append(maps.piece_of(box.region, shown, results["labels"][places]))
    return tuple(pieces)


class _Said:
    """What is said of the rows of one cell, in the outputs' forms; and what is counted of them."""

    def __init__(
        self, kernel: Kernel, job: Segmentation, profiler: Profiler | None, n_nodata: int
    ) -> None:
        self.kernel, self.job, self._profiler = kernel, job, profiler
        self.counted = Counted(np.zeros(kernel.K + 1, dtype=np.int64), nodata=n_nodata)
        self._wanted = wanted_of_rows(job.sinks, smoothed=job.smoothing is not None)

    def rows(self, rows: Rows) -> dict[str, npt.NDArray[Any]]:
        """Return what the mixture says of rows."""
        said = self._predict(rows, self._wanted, self._profiler)
        names = ("labels", "probabilities", "uncertainty", "log_density")
        given = {name: values for name in names if (values := getattr(said, name)) is not None}
        given["labels"] = given["labels"] + given["labels"].dtype.type(1)
        return self._formed(given, said.valid)

    def mixture(self, block: Block, inside: bool) -> Prediction:
        """Return what the mixture says of rows, for the field; those inside are counted."""
        rows = Rows(block.values, block.weights, block.valid)
        if inside:
            return self._predict(rows, self._wanted, self._profiler)
        return self._ask(rows, replace(_PROBABILITIES, by_class=True), None)

    def field(self, box: Smoothed) -> dict[str, npt.NDArray[Any]]:
        """Return what the field says."""
        names = ("labels", "probabilities", "uncertainty", "log_density")
        changed = int(((box.labels != box.before) & box.valid).sum())
        self.counted += Counted(np.zeros_like(self.counted.class_rows), changed=changed)
        return self._formed({name: getattr(box, name) for name in names}, box.valid)

    def _ask(self, rows: Rows, wanted: Wanted, profiler: Profiler | None) -> Prediction:
        if self.job.look_up is None:
            return predict(self.kernel, rows, wanted, profiler)
        return self.job.look_up.predict(self.kernel, rows, wanted)

    def _predict(self, rows: Rows, wanted: Wanted, profiler: Profiler | None) -> Prediction:
        """Return what the mixture says of rows, and count them."""
        said = self._ask(rows, wanted, profiler)
        assert said.uncertainty is not None
        assert said.log_density is not None
        valid, K = said.valid, self.kernel.K
        w = valid.astype(np.float64) if rows.weights is None else np.where(valid, rows.weights, 0.0)
        entropy = np.where(valid, said.uncertainty, 0.0) @ w * np.log(max(K, 2))
        self.counted += Counted(
            np.zeros_like(self.counted.class_rows),
            invalid=_n_invalid(rows, valid),
            log_likelihood=float(np.where(valid, said.log_density, 0.0) @ w),
            entropy=float(entropy),
            weight=float(w.sum()),
        )
        return said

    def _formed(
        self, given: dict[str, npt.NDArray[Any]], valid: npt.NDArray[np.bool_]
    ) -> dict[str, npt.NDArray[Any]]:
        """Bring what is said of rows, labels from 1, into the outputs' forms; count the labels."""
        forms, labels = self.job.forms, given["labels"]
        if "top_labels" in self.job.sinks:
            m = forms["top_labels"].trailing[0]
            given |= _most_probable(labels, given["probabilities"], m)
        if "probabilities" in self.job.sinks and forms["probabilities"].scale is not None:
            given["probabilities"] = _as_bytes(given["probabilities"])
        if not valid.all():
            for name, values in given.items():
                values[~valid] = forms[name].masked
        class_rows = np.bincount(labels, minlength=self.kernel.K + 1)
        self.counted += Counted(class_rows)
        return given


def _rows(cell: Cell, here: slice) -> Rows:
    return Rows(
        cell.values[here],
        None if cell.weights is None else cell.weights[here],
        None if cell.valid is None else cell.valid[here],
    )


def _map_pieces(
    cell: Cell, plan: QuicklookPlan | None, labels: npt.NDArray[Any] | None, kernel: Kernel
) -> tuple[Piece, ...]:
    """Return one cell's part of the maps of probabilities, as bytes: those few are predicted."""
    places = None if plan is None else plan.places(cell.region)
    if plan is None or places is None or labels is None:
        return ()
    said = predict(kernel, Rows(cell.values[places]), _PROBABILITIES)
    assert said.probabilities is not None
    shown = _as_bytes(said.probabilities[:, list(plan.features)])
    return (plan.piece_of(cell.region, shown, labels[places]),)


def _room(form: Form, n: int) -> npt.NDArray[Any]:
    return np.empty((n, *form.trailing), form.dtype)


def wanted_of_rows(outputs: Iterable[str], *, smoothed: bool = False) -> Wanted:
    """Return what is to be said of every row: probabilities only where they are needed.

    They are an output, or what a field begins with.
    """
    return Wanted(
        labels=True,
        probabilities=smoothed or "probabilities" in outputs,
        uncertainty=True,
        log_density=True,
        dtype=np.float32,
        by_class=smoothed,
    )


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
