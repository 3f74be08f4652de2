"""What exceptions that are not ours mean to a user."""

from __future__ import annotations

import errno
import tempfile
import traceback

from dask_gmm.errors import ConfigurationError, DaskGmmError, RunFailedError, TemporaryFailureError

_LOST = ("FutureCancelledError", "CommClosedError", "CancelledError", "ClosedClientError")
#: What to do where the operating system refuses.
_REMEDIES = {
    errno.ENOSPC: "make room, then start the same command again",
    errno.EDQUOT: "make room in your quota, then start the same command again",
    errno.EACCES: "give this user the right to it, then start the same command again",
    errno.EROFS: "choose a place that can be written",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then start the same command again",
    errno.ENOENT: "correct the path",
}


def explained(error: BaseException) -> DaskGmmError | None:
    """Return the error of ours that says what ``error`` means, or None where nobody knows."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        return RunFailedError(
            f"the task {getattr(error, 'task', '?')} ended its worker process again and again; it "
            "may need more memory than cluster.memory_limit allows: raise that, or store the input "
            "in smaller chunks"
        )
    if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("dask_gmm"):
        return ConfigurationError(
            f"a worker has no dask-gmm, or another version ({error}); install the same version on "
            "scheduler and workers: pip install dask-gmm"
        )
    if kind in ("NoWorkerError", "NoValidWorkerError"):
        return TemporaryFailureError(
            "all worker processes have ended, and none could be started again; see the machine's "
            "free memory, then start the same command again"
        )
    if kind in _LOST:
        return TemporaryFailureError(
            f"the connection to the Dask scheduler was lost ({kind}); start the same command again"
        )
    if isinstance(error, MemoryError):
        return RunFailedError(
            "out of memory; give the process more, or store the input in smaller chunks"
        )
    if isinstance(error, RuntimeError) and str(error).startswith("Cluster failed to start"):
        return RunFailedError(
            f"the worker processes could not be started ({error.__cause__ or error}); "
            "check cluster.memory_limit and the machine's free memory and processes"
        )
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        remedy = _REMEDIES.get(error.errno, "mend that, then start the same command again")
        return RunFailedError(f"{where}{error.strerror}; {remedy}")
    return None


def unforeseen(error: BaseException) -> RunFailedError:
    """Return the error to report for one that nobody foresaw; its traceback goes into a file."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="dask-gmm-", suffix=".traceback", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exception(error, file=file)
        details = f"please report it with {file.name}"
    except OSError as reason:
        details = f"please report it; its details could not be written ({reason.strerror})"
    return RunFailedError(
        f"{type(error).__name__}: {error} (this was not foreseen and is a fault of dask-gmm; "
        f"{details})"
    )
