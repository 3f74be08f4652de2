"""The arrays that a run writes: their shapes, types and fill values, told in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import Sink
from dask_gmm.data.sinks.zarr import ZarrSink
from dask_gmm.run.config.sections import Output
from dask_gmm.run.segment import Segmented


@dataclass(frozen=True)
class Form:
    """What one output looks like, over the source's leading axes.

    Attributes
    ----------
    trailing : tuple of int
        Lengths of the axes behind the leading ones.
    dtype : dtype
    masked : float
        What stands where a row does not take part.
    """

    trailing: tuple[int, ...]
    dtype: npt.DTypeLike
    masked: float


def forms(K: int) -> dict[str, Form]:
    """Return the form of every output of a mixture of K components, by name."""
    return {
        "labels": Form((), np.min_scalar_type(K), 0),
        "probabilities": Form((K,), np.float32, np.nan),
        "uncertainty": Form((), np.float32, np.nan),
        "log_density": Form((), np.float64, np.nan),
    }


def create_sinks(
    folder: Path, written: Mapping[str, Output], grid: Grid, K: int
) -> dict[str, Sink]:
    """Create the arrays below ``folder``, ready to be written cell by cell."""
    form = forms(K)
    return {
        name: ZarrSink.create(
            folder / output.path,
            grid,
            form[name].trailing,
            form[name].dtype,
            form[name].masked,
            {"dask_gmm": name},
        )
        for name, output in written.items()
    }


def describe_outputs(
    written: Mapping[str, Output], grid: Grid, K: int, segmented: Segmented
) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of every output, checksum included.

    The checksum is the SHA-256 of the cells' checksums in the cells' order.
    """
    by_cell = sorted(segmented.checksums, key=lambda each: each[0])
    form = forms(K)
    return {
        name: {
            "path": output.path,
            "dtype": np.dtype(form[name].dtype).name,
            "shape": [*grid.shape, *form[name].trailing],
            "cells": len(by_cell),
            "checksum": hashlib.sha256(
                "".join(sums[name] for _, sums in by_cell).encode()
            ).hexdigest(),
        }
        for name, output in written.items()
    }
