"""The prediction pass: every cell labelled, counted and written where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sinks import Sink
from dask_gmm.engine.reading import Cell
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Prediction, Wanted, predict
from dask_gmm.run.report.quicklook import Piece, QuicklookPlan


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
    """

    parameters: Parameters
    sinks: Mapping[str, Sink]
    quicklook: QuicklookPlan | None


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
    wanted = Wanted(
        labels=True,
        probabilities="probabilities" in job.sinks,
        uncertainty=True,
        log_density=True,
        dtype=np.float32,
    )
    total = Segmented(np.zeros(kernel.K + 1, dtype=np.int64))
    for cell in blocks:
        total = total + _segmented(cell, predict(kernel, cell, wanted), job)
    return total


def _segmented(cell: Cell, prediction: Prediction, job: Segmentation) -> Segmented:
    K, valid = job.parameters.K, prediction.valid
    labels, results = _results(prediction)
    w = valid.astype(np.float64) if cell.weights is None else np.where(valid, cell.weights, 0.0)
    written = {name: sink.write(cell.number, results[name]) for name, sink in job.sinks.items()}
    piece = None
    if job.quicklook is not None:
        piece = job.quicklook.piece(cell.region, cell.values, labels, results["uncertainty"])
    return Segmented(
        np.bincount(labels, minlength=K + 1),
        float(np.where(valid, results["log_density"], 0.0) @ w),
        float(np.where(valid, results["uncertainty"], 0.0) @ w) * float(np.log(max(K, 2))),
        float(w.sum()),
        ((cell.number, written),),
        () if piece is None else (piece,),
    )


def _results(prediction: Prediction) -> tuple[npt.NDArray[Any], dict[str, npt.NDArray[Any]]]:
    """Return labels 1 to K and all results, with 0 and NaN where a row does not take part."""
    assert prediction.labels is not None
    labels = prediction.labels + prediction.labels.dtype.type(1)
    results = {
        "labels": labels,
        "probabilities": prediction.probabilities,
        "uncertainty": prediction.uncertainty,
        "log_density": prediction.log_density,
    }
    out = ~prediction.valid
    if out.any():
        for name, values in results.items():
            if values is not None:
                values[out] = 0 if name == "labels" else np.nan
    return labels, {name: values for name, values in results.items() if values is not None}
