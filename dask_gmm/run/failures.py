"""What the cluster's exceptions mean to a user."""

from __future__ import annotations

from dask_gmm.errors import DaskGmmError, RunFailedError, TemporaryFailureError


def explained(error: BaseException) -> DaskGmmError | None:
    """Return the error of ours that says what ``error`` means, or None where nobody knows."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        return RunFailedError(
            f"the task {getattr(error, 'task', '?')} ended its worker again and again "
            f"({error}); it may need more memory than cluster.memory_limit allows"
        )
    if kind in ("FutureCancelledError", "CommClosedError", "CancelledError"):
        return TemporaryFailureError(
            f"the connection to the Dask scheduler was lost ({error}); start the same command again"
        )
    if isinstance(error, MemoryError):
        return RunFailedError(
            "out of memory; give the process more, or store the input in smaller chunks"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return RunFailedError(f"{error.filename}: {error.strerror}")
    return None
