"""The command in a process that dies at a given point: ``driver.py FAULT ARGUMENTS ...``.

FAULT is none, or PLACE:N: the process kills itself with SIGKILL when it comes to a place for the
N-th time. Places: ``fsync`` and ``rename`` of whatever is written durably, before they happen;
``part``, after a finished part of a pass was kept; ``cell``, before an output's cell is written, of
whatever kind; ``flush``, in the middle of a cell of a mapped file; ``join``, in the middle of a
table's file. Two faults are no death: ``clock``, which goes back; and ``hang:N``, where the N-th
reading of a cell never ends, and the patience with it is short.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dask_gmm.data.sinks.npy import NpySink
from dask_gmm.data.sinks.parquet import ParquetSink
from dask_gmm.data.sinks.zarr import ZarrSink
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.engine import leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.patience import Patience
from dask_gmm.run import checkpoint, clock

LEAF = 100_000
#: Seconds without progress after which a run that hangs is given up here.
SILENCE = 8.0


def dying(call, n, *, after=False):
    """Return ``call``, during whose n-th time the process ends."""
    count = iter(range(1, 1_000_000))

    def wrapped(*arguments, **options):
        last = next(count) == n
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def arm(fault: str) -> None:
    """Put the fault into its place."""
    leaves.SMALLEST = LEAF
    place, _, n = fault.partition(":")
    if place in ("rename", "part", "cell", "flush", "join"):
        # Zarr renames every chunk too: a process that dies so often must keep every leaf at once.
        checkpoint.OFTEN = 0.0
    if place == "fsync":
        os.fsync = dying(os.fsync, int(n))
    elif place == "rename":
        Path.replace = dying(Path.replace, int(n))
    elif place == "part":
        checkpoint.KeptCall.part = dying(checkpoint.KeptCall.part, int(n), after=True)
    elif place == "cell":
        for sink in (NpySink, ParquetSink, ZarrSink):
            sink.write = dying(sink.write, int(n))
    elif place == "flush":
        np.memmap.flush = dying(np.memmap.flush, int(n))
    elif place == "join":
        pq.ParquetWriter.write_table = dying(pq.ParquetWriter.write_table, int(n))
    elif place == "hang":
        hang(int(n))
    elif place == "clock":
        turn_back()


def hang(n: int) -> None:
    """Let the n-th reading of a cell take for ever; a few seconds of silence are too many."""
    read, count = ArraySource.read, iter(range(1, 1_000_000))

    def reading(source, cell):
        if next(count) == n:
            time.sleep(1e6)
        return read(source, cell)

    ArraySource.read = reading
    Passes.over_source = partial(Passes.over_source, patience=Patience(silence=SILENCE))


def turn_back() -> None:
    """Let the clock go back an hour whenever it is read."""

    class Backwards(clock.datetime):
        reads = 0

        @classmethod
        def now(cls, tz=None):
            cls.reads += 1
            return clock.datetime.fromtimestamp(time.time() - 3600 * cls.reads, tz)

    clock.datetime = Backwards


if __name__ == "__main__":
    arm(sys.argv[1])
    from dask_gmm.run.cli import main

    sys.exit(main(sys.argv[2:]))
