"""The command in a process that dies at a given point: ``driver.py FAULT ARGUMENTS ...``.

FAULT is none, or PLACE:N: the process kills itself with SIGKILL when it comes to a place for the
N-th time. Places: ``fsync`` and ``rename`` of whatever is written durably, before they happen;
``part``, after a finished part of a pass was kept; ``cell``, before an output's cell is written.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from dask_gmm.engine import leaves
from dask_gmm.run import checkpoint

LEAF = 100_000


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
    if place == "fsync":
        os.fsync = dying(os.fsync, int(n))
    elif place == "rename":
        # Zarr renames every chunk too: a process that dies so often must keep every leaf at once.
        checkpoint.OFTEN = 0.0
        Path.replace = dying(Path.replace, int(n))
    elif place == "part":
        checkpoint.OFTEN = 0.0
        checkpoint.KeptCall.part = dying(checkpoint.KeptCall.part, int(n), after=True)
    elif place == "cell":
        from dask_gmm.data.sinks.zarr import ZarrSink

        checkpoint.OFTEN = 0.0
        ZarrSink.write = dying(ZarrSink.write, int(n))
    elif place == "clock":
        import time

        from dask_gmm.run import clock

        class Backwards(clock.datetime):
            """A clock that goes back an hour whenever it is read."""

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
