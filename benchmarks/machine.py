"""The machine: what a figure depends on, and the rates that bound any kernel on it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from dask_gmm.run.record import environment

#: Calls of exp that are timed together.
_REPEATS = 1_000


def described() -> dict[str, Any]:
    """Return processor, BLAS, versions and date, as JSON values."""
    known = environment()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": known["cpu"],
        "cores": known["cores"],
        "cpu_features": known["cpu_features"],
        "system": f"{platform.system()} {platform.machine()}",
        "python": known["python"],
        "blas": ", ".join(sorted(known["blas"].split(", "))),
        "packages": {name: known["packages"][name] for name in ("numpy", "scipy", "scikit-learn")},
    }


def sentence(machine: dict[str, Any]) -> str:
    """Say the machine in one line of Markdown."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"Measured {machine['date']} on {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}; Python {machine['python']}, {packages}, {machine['blas']}."
    )


def seconds(function: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    before = time.perf_counter()
    function()
    return time.perf_counter() - before


class Limits:
    """Two rates of this machine that no kernel can beat, measured again at every call.

    ``gemm`` is one thread's float64 matrix product of a size that suits it (512 x 512 x 2048),
    ``exp`` NumPy's exponential in a buffer that stays in the cache.
    """

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self._a = generator.standard_normal((512, 512))
        self._b = generator.standard_normal((512, 2048))
        self._product = np.empty((512, 2048))
        self._x = generator.uniform(-30.0, 0.0, 8192)
        self._exp = np.empty_like(self._x)
        self.gemm_flop = 2.0 * 512 * 512 * 2048
        self._multiply(), self._exponentials()  # the first calls pay for memory

    def _multiply(self) -> None:
        np.matmul(self._a, self._b, out=self._product)

    def _exponentials(self) -> None:
        for _ in range(_REPEATS):
            np.exp(self._x, out=self._exp)

    def measured(self) -> tuple[float, float]:
        """Return (seconds per flop, seconds per exponential)."""
        per_flop = seconds(self._multiply) / self.gemm_flop
        return per_flop, seconds(self._exponentials) / (_REPEATS * len(self._x))
