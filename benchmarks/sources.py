"""Sources and leaf functions that take a pass apart; worker processes import this module."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.data.grid import Block
from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources import Source
from dask_gmm.engine.reading import Cell
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Prediction, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.run.segment import ROWS, wanted_of_rows

#: Cells that a worker keeps in memory: more than the processor's caches hold.
KEPT = 8


@dataclass(frozen=True)
class Around:
    """A source that stands before another one."""

    source: Source

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "source":  # while it is being unpickled there is nothing
            raise AttributeError(name)
        return getattr(self.source, name)

    def part(self, cells: Any) -> Any:
        """Return itself: it is small."""
        return self


@dataclass(frozen=True)
class Remembered(Around):
    """Reading costs nothing: cells are a few of the source's, kept in memory."""

    def read(self, cell: int) -> Block:
        """Return a block of the same number of rows from memory."""
        last = len(self.source.grid) - 1
        return _remembered(self.source, cell % min(KEPT, last) if cell < last else last)


@lru_cache(maxsize=KEPT + 1)
def _remembered(source: Source, cell: int) -> Block:
    return source.read(cell)


@dataclass(frozen=True)
class Slow(Around):
    """A slow store: every cell arrives so many seconds later."""

    delay: float = 0.0

    def read(self, cell: int) -> Block:
        """Wait, then read."""
        time.sleep(self.delay)
        return self.source.read(cell)


@dataclass(frozen=True)
class Alone(Around):
    """Every worker reads one cell at a time."""

    def read(self, cell: int) -> Block:
        """Read when nobody else of this process does."""
        with _reading:
            return self.source.read(cell)


@dataclass(frozen=True)
class Free(Around):
    """Reading costs nothing at all: every cell is one and the same block."""

    def read(self, cell: int) -> Block:
        """Return the one block."""
        return _ONE


_reading = threading.Lock()
_ONE = Block(np.zeros((1, 1), np.float32))


def read_only(blocks: Iterable[Cell]) -> int:
    """Read a leaf and do nothing with it; return its rows."""
    return sum(len(cell.values) for cell in blocks)


def predict_only(blocks: Iterable[Cell], parameters: Parameters) -> int:
    """Ask the kernel of a leaf's rows what a run asks of it, and keep none of it."""
    kernel, n = Kernel.in_own_frame(parameters), 0
    for cell in blocks:
        n += sum(
            len(_said(cell, start, kernel).valid) for start in range(0, len(cell.values), ROWS)
        )
    return n


def write_only(blocks: Iterable[Cell], parameters: Parameters, sinks: Mapping[str, Sink]) -> int:
    """Write what is said of a leaf's rows, which is known already; return the rows."""
    n = 0
    for cell in blocks:
        known = _known(cell, parameters)
        for name, sink in sinks.items():
            sink.write(cell.number, known[name])
        n += len(cell.values)
    return n


def _known(cell: Cell, parameters: Parameters) -> dict[str, Any]:
    """Return what a run writes of a cell; worked out once for each block in memory."""
    key = (cell.number % KEPT, len(cell.values), cell.source.n_features)
    if key not in _written:
        kernel = Kernel.in_own_frame(parameters)
        said = [_said(cell, start, kernel) for start in range(0, len(cell.values), ROWS)]
        labels = np.concatenate([each.labels for each in said])
        _written[key] = {
            "labels": labels + labels.dtype.type(1),
            "uncertainty": np.concatenate([each.uncertainty for each in said]),
        }
    return _written[key]


def _said(cell: Cell, start: int, kernel: Kernel) -> Prediction:
    wanted = wanted_of_rows(("labels", "uncertainty"))
    return predict(kernel, Rows(cell.values[start : start + ROWS]), wanted)


_written = dict[tuple[int, int, int], dict[str, Any]]()


def read_by_library(cells: range, path: str, rows: int) -> int:
    """Read these chunks of a Zarr array with nothing but Zarr; return the rows."""
    import zarr

    array = zarr.open_array(path, mode="r")
    return sum(len(array[cell * rows : (cell + 1) * rows]) for cell in cells)


def peak_bytes() -> int:
    """Return the most that this process has held in memory so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
