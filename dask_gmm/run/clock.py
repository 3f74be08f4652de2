"""How long each step of a run took."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_gmm.run.progress import Tracker

log = logging.getLogger(__name__)

#: The step in which the report is drawn, which therefore cannot tell how long it takes, and the
#: workers stop.
DRAWING = "write model and report"


@dataclass
class Clock:
    """Seconds per step, and per reading of the data in EM.

    Attributes
    ----------
    started : datetime
        When the run began.
    timings : list of mapping
        ``step`` and ``seconds`` of every finished step, in order.
    readings : list of float or None
        Seconds of every reading in EM over all rows; None where an earlier process did it.
    is_recalled : callable
        Tells whether the last reading was done by an earlier process.
    tracker : Tracker or None
        Who is told what goes on, for others to watch.
    """

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    timings: list[dict[str, Any]] = field(default_factory=list)
    readings: list[float | None] = field(default_factory=list)
    is_recalled: Callable[[], bool] = lambda: False
    tracker: Tracker | None = None
    _since: float = 0.0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step, and say that it is done."""
        before = self._since = time.perf_counter()
        if self.tracker is not None:
            self.tracker.step(name)
        yield
        seconds = time.perf_counter() - before
        self.timings.append({"step": name, "seconds": round(seconds, 3)})
        log.info("%s: %.1f s", name, seconds)

    def reading(self, iteration: int, mean: float) -> None:
        """Time one reading in EM, and say how the mean log-likelihood (nats per row) stands."""
        before, self._since = self._since, time.perf_counter()
        seconds = None if self.is_recalled() else round(self._since - before, 4)
        self.readings.append(seconds)
        if self.tracker is not None:
            self.tracker.evaluated(mean)
        took = "done earlier" if seconds is None else f"{seconds:.2f} s"
        log.info("pass %d: mean log-likelihood %.6f, %s", iteration, mean, took)
