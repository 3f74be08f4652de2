"""A command as a process of its own, with all below it: time, memory, and what it may take."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.output import HERE

#: Seconds between two looks at the processes.
INTERVAL = 0.05
#: Below this share of the machine's memory left to anybody, a watched command is stopped, too.
LEAST_LEFT = 0.05
#: What a command may hold of the machine's memory.
SHARE = 0.8


@dataclass(frozen=True)
class Watched:
    """What was seen of a command and of all processes below it.

    Attributes
    ----------
    began : float
        ``time.monotonic()``, which is one clock for all processes, just before the start.
    seconds : float
        Until the process had ended.
    stopped_by : str or None
        'memory' or 'time', where a ceiling was reached.
    peak_bytes : int
        The sum of what processes that were there together had held at most, each at its own time:
        an upper bound of what they held together.
    largest_bytes : int
        The most that one process below the first held; the first itself where there is no other.
    output : str
        What it wrote to its standard output.
    """

    began: float
    seconds: float
    stopped_by: str | None
    peak_bytes: int
    largest_bytes: int
    output: str

    def as_json(self) -> dict[str, Any]:
        """Return what a result keeps."""
        names = ("seconds", "stopped_by", "peak_bytes", "largest_bytes")
        return {name: getattr(self, name) for name in names}


class ResidentMemory:
    """Looks at the resident memory of every process below another one, while inside."""

    def __init__(self, pid: int) -> None:
        self.most: dict[int, int] = {}
        self._pid, self._end = pid, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> ResidentMemory:
        self._thread.start()
        return self

    def __exit__(self, *of_exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.1):
            for pid in _tree(self._pid)[1:]:
                held = _kilobytes(_read(f"/proc/{pid}/status"), "VmRSS")
                self.most[pid] = max(held, self.most.get(pid, 0))


def physical_bytes() -> int:
    """Return the machine's memory."""
    return _memory("MemTotal")


def most_of_memory() -> float:
    """Return what a command may hold without harm to others."""
    return SHARE * physical_bytes()


def watched(
    command: Sequence[str], most_bytes: float, most_seconds: float, environment: Mapping[str, str]
) -> Watched:
    """Carry out a command, and end it and all processes below it at either ceiling.

    Raises
    ------
    SystemExit
        If it fails by itself.
    """
    peaks, together = dict[int, int](), 0
    stopped_by, variables = None, {**os.environ, **environment}
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, env=variables, cwd=HERE.parent)
        try:
            while process.poll() is None and stopped_by is None:
                held, most = _look(process.pid, peaks)
                together = max(together, most)
                if held > most_bytes or _memory("MemAvailable") < LEAST_LEFT * physical_bytes():
                    stopped_by = "memory"
                elif time.monotonic() - began > most_seconds:
                    stopped_by = "time"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0 if stopped_by else INTERVAL)
        finally:
            if process.poll() is None:
                _end(process)
        seconds = time.monotonic() - began
        output.seek(0)
        text = output.read()
    if process.returncode and not stopped_by:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    below = [most for pid, most in peaks.items() if pid != process.pid]
    return Watched(began, seconds, stopped_by, together, max(below, default=together), text)


def _look(pid: int, peaks: dict[int, int]) -> tuple[int, int]:
    """Note the peak of every process from ``pid`` down; return what they hold and their peaks."""
    held = most = 0
    for each in _tree(pid):
        status = _read(f"/proc/{each}/status")
        peaks[each] = max(peaks.get(each, 0), _kilobytes(status, "VmHWM"))
        held += _kilobytes(status, "VmRSS")
        most += _kilobytes(status, "VmHWM")
    return held, most


def _tree(pid: int) -> list[int]:
    """Return a process and all below it, but forks that have not begun a program of their own.

    Their memory is still that of their parent, and would count twice.
    """
    children = {
        int(child)
        for thread in Path(f"/proc/{pid}/task").glob("*/children")
        for child in _read(thread).split()
    }
    own = _read(f"/proc/{pid}/cmdline")
    others = [child for child in children if _read(f"/proc/{child}/cmdline") != own]
    return [pid, *(each for child in others for each in _tree(child))]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, then those that were below it and are still there."""
    below = _tree(process.pid)[1:]
    process.kill()
    process.wait()
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _memory(name: str) -> int:
    return _kilobytes(_read("/proc/meminfo"), name)


def _kilobytes(text: str, name: str) -> int:
    """Return a line ``name: n kB`` in bytes; 0 where a process has ended and holds nothing."""
    found = text.partition(f"{name}:")[2].split()
    return int(found[0]) << 10 if found else 0


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # it has ended meanwhile
        return ""
