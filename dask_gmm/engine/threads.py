"""One thread of BLAS and of OpenMP per task: the same bits everywhere, and no fight for the cores.

A sum's last bits depend on how many threads share it, so every task runs with one, whoever started
the process and whatever its environment says.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


class _OneThread:
    """Holds the process's BLAS, and each caller's OpenMP, at one thread while any task runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._modules = 0
        self._libraries: ThreadpoolController | None = None
        self._limits: list[tuple[ThreadpoolController, Any]] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Limit while inside; nested and concurrent use is counted."""
        # BLAS has one number of threads for the process, OpenMP one for each thread that calls it.
        libraries = self._enter()
        try:
            with libraries.select(user_api="openmp").limit(limits=1):
                yield
        finally:
            self._leave()

    def _enter(self) -> ThreadpoolController:
        from threadpoolctl import ThreadpoolController

        with self._lock:
            # Looking for libraries takes milliseconds: only after something was imported.
            libraries, looked = self._libraries, self._modules == len(sys.modules)
            if libraries is None or not looked:
                libraries = self._libraries = ThreadpoolController()
                self._modules = len(sys.modules)
            self._users += 1
            if self._users == 1 or not looked:
                blas = libraries.select(user_api="blas")
                with _in_control(blas):
                    self._limits.append((blas, blas.limit(limits=1)))
            return libraries

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            while self._users == 0 and self._limits:
                blas, limit = self._limits.pop()
                with _in_control(blas):
                    limit.restore_original_limits()


@contextmanager
def _in_control(blas: ThreadpoolController) -> Iterator[None]:
    """Let this thread set the number of BLAS threads.

    threadpoolctl 3.7 lets one thread of a process do so, and passes over all others without a word:
    our tasks would run with whatever number the first of them has left behind.
    """
    release = [
        getattr(library, "clear_controlling_thread", lambda force: None)
        for library in blas.lib_controllers
    ]
    for clear in release:
        clear(force=True)
    try:
        yield
    finally:
        for clear in release:
            clear(force=True)


one_blas_thread = _OneThread()
