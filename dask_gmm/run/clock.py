"""How long each step of a run took."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds per step, and per reading of the data in EM.

    Attributes
    ----------
    started : datetime
        When the run began.
    timings : list of mapping
        ``step`` and ``seconds`` of every finished step, in order.
    readings : list of float
        Seconds of every reading in EM over all rows.
    """

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    timings: list[dict[str, Any]] = field(default_factory=list)
    readings: list[float] = field(default_factory=list)
    _since: float = 0.0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step, and say that it is done."""
        before = self._since = time.perf_counter()
        yield
        seconds = time.perf_counter() - before
        self.timings.append({"step": name, "seconds": round(seconds, 3)})
        log.info("%s: %.1f s", name, seconds)

    def reading(self, iteration: int, mean: float) -> None:
        """Time one reading in EM, and say how the mean log-likelihood (nats per row) stands."""
        before, self._since = self._since, time.perf_counter()
        self.readings.append(round(self._since - before, 4))
        log.info("pass %d: mean log-likelihood %.6f, %.2f s", iteration, mean, self.readings[-1])
