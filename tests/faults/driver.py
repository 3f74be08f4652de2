"""The command in a process that dies, or waits to be harmed, at a given point.

``driver.py FAULTS ARGUMENTS ...``, where FAULTS are none, or some of these with commas between:

PLACE:N
    The process kills itself with SIGKILL when it comes to a place for the N-th time. Places:
    ``fsync`` and ``rename`` of whatever is written durably, before they happen; ``part``, after a
    finished part of a pass was kept; ``cell``, before an output's cell is written, of whatever
    kind; ``flush``, in the middle of a cell of a mapped file; ``join``, in the middle of a table's
    file.
before:N, during:N
    The process waits before its N-th reading in EM; or in it, when all of its tasks were handed to
    workers. It says `HALTED` on stderr, and goes on when a file named `GO` is there.
read:N
    The same in the thread that comes to the N-th reading of a cell.
hang:N
    The N-th reading of a cell never ends, and the patience with it is short.
ttl:N
    A worker that does not answer for N seconds is given up.
clock
    The clock goes back.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dask_gmm.data.sinks.npy import NpySink
from dask_gmm.data.sinks.parquet import ParquetSink
from dask_gmm.data.sinks.zarr import ZarrSink
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.engine import cluster, futures, leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.patience import Patience
from dask_gmm.run import checkpoint, clock

LEAF = 100_000
#: Seconds without progress after which a run that hangs is given up here.
SILENCE = 8.0
HALTED, GO = "halted", "go"


def halt() -> None:
    """Say that the process waits, and wait until a file says that it may go on."""
    print(HALTED, file=sys.stderr, flush=True)
    while not Path(GO).exists():
        time.sleep(0.01)


def die() -> None:
    """End as by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


def at(call, n: int, act: Callable[[], None], *, after: bool = False):
    """Return ``call``, which acts before, or after, it is called for the n-th time."""
    count = iter(range(1, 1_000_000))

    def wrapped(*arguments, **options):
        now = next(count) == n
        if now and not after:
            act()
        result = call(*arguments, **options)
        if now and after:
            act()
        return result

    return wrapped


def arm(fault: str) -> None:
    """Put a fault into its place."""
    place, _, number = fault.partition(":")
    n = int(number or 0)
    if place in ("rename", "part", "cell", "flush", "join"):
        # Zarr renames every chunk too: a process that dies so often must keep every leaf at once.
        checkpoint.OFTEN = 0.0
    if place == "fsync":
        os.fsync = at(os.fsync, n, die)
    elif place == "rename":
        Path.replace = at(Path.replace, n, die)
    elif place == "part":
        checkpoint.KeptCall.part = at(checkpoint.KeptCall.part, n, die, after=True)
    elif place == "cell":
        for sink in (NpySink, ParquetSink, ZarrSink):
            sink.write = at(sink.write, n, die)
    elif place == "flush":
        np.memmap.flush = at(np.memmap.flush, n, die)
    elif place == "join":
        pq.ParquetWriter.write_table = at(pq.ParquetWriter.write_table, n, die)
    elif place == "read":
        ArraySource.read = at(ArraySource.read, n, halt)
    elif place == "before":
        at_pass(n, halt)
    elif place == "during":
        at_pass(n, lambda: setattr(futures, "_Watch", HaltingWatch))
    elif place == "hang":
        ArraySource.read = at(ArraySource.read, n, partial(time.sleep, 1e6))
        Passes.over_source = partial(Passes.over_source, patience=Patience(silence=SILENCE))
    elif place == "ttl":
        cluster.SETTINGS["distributed.scheduler.worker-ttl"] = f"{n}s"
    elif place == "clock":
        turn_back()


def at_pass(n: int, act: Callable[[], None]) -> None:
    """Act before the n-th reading in EM, when all before it are kept."""
    call, count = checkpoint.Checkpoint.call, iter(range(1, 1_000_000))

    def calling(ledger, name, *arguments, **options):
        if name.startswith("e-step") and next(count) == n:
            act()
        return call(ledger, name, *arguments, **options)

    checkpoint.Checkpoint.call = calling


class HaltingWatch(futures._Watch):
    """Begins to watch when it is told to; what it is to watch has begun."""

    def __init__(self, *arguments):
        futures._Watch = HaltingWatch.__base__
        halt()
        super().__init__(*arguments)


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
    leaves.SMALLEST = LEAF
    for each in sys.argv[1].split(","):
        arm(each)
    from dask_gmm.run.cli import main

    sys.exit(main(sys.argv[2:]))
