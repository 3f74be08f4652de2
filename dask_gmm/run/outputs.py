"""The arrays that a run writes: created, checked to be complete, and described."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import Sink
from dask_gmm.data.sinks.zarr import ZarrSink
from dask_gmm.errors import RunFailedError
from dask_gmm.run.config.sections import Output
from dask_gmm.run.forms import forms
from dask_gmm.run.segment import Segmented


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


def require_complete(sinks: Mapping[str, Sink]) -> None:
    """Check that every cell of every output is there.

    Raises
    ------
    RunFailedError
    """
    for name, sink in sinks.items():
        missing = sink.missing_cells()
        if missing:
            raise RunFailedError(
                f"outputs.{name}: {len(missing):,} chunks were written and are not there, the "
                f"first is number {missing[0]}; something else works on these files: start again"
            )


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
