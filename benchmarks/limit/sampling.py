"""Where a process spends its cores' time, by looking at its threads a hundred times a second.

What a thread has computed (the kernel's clock of that thread, to the nanosecond) is put down to
what its stack showed, look by look, when it did not wait: the innermost frame that a rule knows.
What no thread computes is waiting. Worker processes import this module.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from types import FrameType

#: What time may go into; the first of these is what a row has to cost.
PRODUCTS = "products and exponentials"
KERNEL = "rest of the kernel"
READING = "reading and decoding"
ZARR = "Zarr's own work"
COPYING = "copies, masks, frame"
ENGINE = "engine"
INTERVAL = 0.01

#: Functions of the kernel that are not its rest: large products and exponentials, and what makes a
#: micro-block of a block's rows.
_OF_KERNEL = {
    ("kernel", "log_joint"): PRODUCTS,
    ("kernel", "softmax"): PRODUCTS,
    ("e_step", "add"): PRODUCTS,
    ("matrices", "whiten"): PRODUCTS,
    ("matrices", "scatter_of_residuals"): PRODUCTS,
    ("kernel", "micro_blocks"): COPYING,
    ("kernel", "_far"): COPYING,
}
#: Packages, the first fitting one.
_PACKAGES = (
    ("dask_gmm.data", COPYING),
    ("dask_gmm.engine", ENGINE),
    ("zarr.storage", READING),
    ("zarr", ZARR),
    ("numcodecs", READING),
    ("pyarrow", READING),
    ("distributed", ENGINE),
    ("dask", ENGINE),
    ("tornado", ENGINE),
)
#: Functions that wait, as innermost frames: what such a thread has computed, it did before.
_WAITING = {
    ("threading", "wait"),
    ("threading", "_wait_for_tstate_lock"),
    ("selectors", "select"),
    ("queue", "get"),
    ("concurrent.futures.thread", "_worker"),
    ("distributed.threadpoolexecutor", "_worker"),
    ("dask_gmm.engine.turns", "__enter__"),
}


#: Seconds that a look may hold all other threads up, at most: it takes far less.
_UNDISTURBED = 1.0


def waits(frame: FrameType | None) -> bool:
    """Tell whether a thread waits for another one, or for a message."""
    if frame is None:
        return True
    return (frame.f_globals.get("__name__", ""), frame.f_code.co_name) in _WAITING


def category(frame: FrameType | None, thread: str) -> str:
    """Return what a thread does: by the innermost frame that says it."""
    while frame is not None:
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("dask_gmm.mixture"):
            return _OF_KERNEL.get((module.rpartition(".")[2], function), KERNEL)
        if function == "as_numpy_array_wrapper":  # in which Zarr has a codec decode
            return READING
        for package, found in _PACKAGES:
            if module == package or module.startswith(package + "."):
                return found
        frame = frame.f_back
    # Zarr waits for its files and codecs in threads of its own, where only asyncio is seen.
    return ZARR if thread.startswith(("zarr", "asyncio")) else ENGINE


class Sampler(threading.Thread):
    """Looks at all threads of this process, but itself, until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="sampler")
        self._end = threading.Event()
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._looks: dict[int, Counter[str]] = {}
        self._began = time.process_time()

    def run(self) -> None:
        """Look, and look again."""
        self._look(first=True)
        while not self._end.wait(INTERVAL):
            self._look()

    def ended(self) -> dict[str, float]:
        """Return the seconds of every category, and those of ``sampler`` and ``unseen`` apart.

        What was unseen is in the others, too, by their shares.
        """
        self._end.set()
        self.join()
        total = time.process_time() - self._began
        found = Counter[str]()
        for native, looks in self._looks.items():
            spent = 1e-9 * (self._last[native] - self._first[native])
            for name, n in looks.items():
                found[name] += spent * n / looks.total()
        own = found.pop(self.name, 0.0)
        unseen = max(0.0, total - own - found.total())
        # Ends of threads that lived for one task: they did what the others did.
        more = 1.0 + unseen / found.total() if found.total() else 1.0
        return {"sampler": own, "unseen": unseen, **{name: more * t for name, t in found.items()}}

    def _look(self, *, first: bool = False) -> None:
        """Look once; no other thread goes on meanwhile, and no frame is held when they do."""
        threads, usual = threading.enumerate(), sys.getswitchinterval()
        sys.setswitchinterval(_UNDISTURBED)
        try:
            frames = sys._current_frames()
            for thread in threads:
                self._note(thread, frames.pop(thread.ident or 0, None), first)
            frames.clear()
        finally:
            sys.setswitchinterval(usual)

    def _note(self, thread: threading.Thread, frame: FrameType | None, first: bool) -> None:
        native = thread.native_id
        if native is None:
            return
        with suppress(OSError):  # it has ended meanwhile
            now = time.clock_gettime_ns(_clock(native))
            self._first.setdefault(native, now if first else 0)
            self._last[native] = now
            looks = self._looks.setdefault(native, Counter())
            if thread is self:
                looks[self.name] += 1
            elif not waits(frame):
                looks[category(frame, thread.name)] += 1


def _clock(native: int) -> int:
    """Return Linux's number of the clock that runs while this thread does."""
    return (~native << 3) | 6


_sampler: list[Sampler] = []


def begin() -> None:
    """Begin to look at this process."""
    _sampler.append(Sampler())
    _sampler[-1].start()


def end() -> dict[str, float]:
    """Return what was seen since; see :meth:`Sampler.ended`."""
    return _sampler.pop().ended()
