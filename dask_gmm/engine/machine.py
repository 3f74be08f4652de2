"""What this machine has for runs, as far as this process may use it: cores and memory."""

from __future__ import annotations

from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use."""
    from dask.system import CPU_COUNT

    return CPU_COUNT


def memory() -> int:
    """Return how many bytes this process may use, limits of its container considered."""
    from distributed.system import MEMORY_LIMIT

    return MEMORY_LIMIT


def free_memory() -> int:
    """Return how many of these are free now, where the system says so; else all."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, IndexError):
        return memory()
    return min(int(found) << 10, memory())
