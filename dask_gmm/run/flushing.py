"""Bringing what was written to the disk: all of it, and little else."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def flush(folder: Path) -> None:
    """Wait until everything on the file system of ``folder`` stands on its disk.

    Workers rename chunks into place and flush none, which would take longer than writing them.
    Other file systems are not waited for, as they would be by ``sync``: a disk that others keep
    busy would hold up a run that was told to end.

    Raises
    ------
    OSError
        If something could not be written; ``sync`` would not tell.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
