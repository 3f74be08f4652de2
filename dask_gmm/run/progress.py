"""How far a run is: what callbacks are told of every reading, and how much is likely to come.

A :class:`Tracker` hears of steps and readings as they happen, puts them together, and tells whoever
wants to know, some times a second at most. What is shown of it is in :mod:`dask_gmm.run.showing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: Seconds between two calls of a callback while leaves finish.
EVERY = 0.1
#: What is usual, before anything is known of a fit: readings that EM takes, and by which factor the
#: gain falls from one to the next.
USUAL_PASSES, USUAL_FACTOR = 5, 0.1


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    step : str
        Of the run: ``survey``, ``EM over all rows``, ``segment and write``, ...
    reading : str
        What the workers' tasks are called; empty between readings.
    leaves, n_leaves : int
        Parts of the data that this reading has done, and all of them.
    rows, n_rows : int
        Rows, likewise.
    bytes, n_bytes : int
        Bytes, decoded, likewise.
    seconds : float
        Since this reading began.
    number, expected : int or None
        Which reading of EM this is, from 1, and how many there will be, as far as can be told.
    mean_log_likelihood, change : float or None
        What the last reading of EM found, nats per row, and by how much that was more than before.
    left : float or None
        Seconds that the run is likely to take from here on; None: nothing is known yet.
    finished : bool
        Whether the reading is over.
    """

    step: str
    reading: str = ""
    leaves: int = 0
    n_leaves: int = 0
    rows: int = 0
    n_rows: int = 0
    bytes: int = 0
    n_bytes: int = 0
    seconds: float = 0.0
    number: int | None = None
    expected: int | None = None
    mean_log_likelihood: float | None = None
    change: float | None = None
    left: float | None = None
    finished: bool = False

    @property
    def share(self) -> float:
        """How much of the reading is done, 0 to 1."""
        return self.rows / self.n_rows if self.n_rows else 0.0

    @property
    def bytes_per_second(self) -> float:
        """At which pace the data are read, decoded."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


#: What is told of a run's progress.
Callback: TypeAlias = Callable[[Progress], None]


class Tracker:
    """Puts together what is heard of a run; a :class:`dask_gmm.engine.news.Watcher`.

    Parameters
    ----------
    callback : callable
        Takes a :class:`Progress`: when a reading begins, some times a second, and at its end.
    """

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._now = Progress("")
        self._rows: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._row_bytes = 0
        self._done = set[int]()
        self._began = self._told = 0.0
        self._durations = list[float]()
        self._means = list[float]()
        self._negligible = 0.0
        self._most: int | None = None
        self._in_em = False

    def knows(self, rows_of_leaves: npt.NDArray[np.int64], row_bytes: int) -> None:
        """Take note of how many rows every leaf has (n,), and of a row's bytes."""
        self._rows, self._row_bytes = rows_of_leaves, row_bytes

    def expects(self, negligible: float, most: int) -> None:
        """Take note that EM begins, at which gain per row it will end, and after how many readings.

        Parameters
        ----------
        negligible : float
            Nats per row.
        most : int
            Readings at most.
        """
        self._negligible, self._most, self._in_em = negligible, most, True
        self._means, self._durations = [], []

    def em_is_over(self) -> None:
        """Take note that readings to come are not of EM."""
        self._in_em = False

    def step(self, name: str) -> None:
        """Take note that a step begins."""
        self._now = Progress(name)
        self._tell()

    def evaluated(self, mean: float) -> None:
        """Take note of what a reading of EM has found, in nats per row."""
        self._means.append(mean)

    # -- of readings: a Watcher ------------------------------------------------------------------

    def begins(self, name: str, n_leaves: int) -> None:
        """Take note that a reading begins."""
        self._began, self._done = time.monotonic(), set()
        means = self._means
        self._now = replace(
            Progress(self._now.step, name),
            n_leaves=n_leaves,
            n_rows=int(self._rows.sum()),
            n_bytes=int(self._rows.sum()) * self._row_bytes,
            number=len(means) + 1 if self._in_em else None,
            expected=self._expected() if self._in_em else None,
            mean_log_likelihood=means[-1] if means else None,
            change=means[-1] - means[-2] if len(means) > 1 else None,
        )
        self._tell()

    def advances(self, leaves: Collection[int]) -> None:
        """Take note of leaves that have finished."""
        self._done.update(leaves)
        if time.monotonic() - self._told >= EVERY:
            self._tell()

    def ends(self) -> None:
        """Take note that the reading is over."""
        self._now = replace(self._now, finished=True)
        self._tell()
        if self._in_em:
            self._durations.append(self._now.seconds)

    def _tell(self) -> None:
        now = self._told = time.monotonic()
        if self._now.reading:
            rows = int(self._rows[list(self._done)].sum()) if len(self._rows) else 0
            self._now = replace(
                self._now,
                leaves=len(self._done),
                rows=rows,
                bytes=rows * self._row_bytes,
                seconds=now - self._began,
            )
            self._now = replace(self._now, left=self._left())
        self._callback(self._now)

    def _left(self) -> float | None:
        """Predict the seconds to come: of this reading by its pace, of others by those before."""
        now = self._now
        if now.seconds < 1.0 and not self._durations:
            return None
        share = now.share
        if share > 0.1:
            whole = now.seconds / share
        elif self._durations:
            whole = self._durations[-1]
        else:
            return None
        return whole * (1.0 - share) + self._readings_after() * whole

    def _readings_after(self) -> int:
        """Return how many readings come after this one, the segmentation among them."""
        now = self._now
        if now.reading == "segment":
            return 0
        if now.number is not None and now.expected is not None:
            return now.expected - now.number + 1
        return 1 if self._means else 1 + USUAL_PASSES

    def _expected(self) -> int:
        """Return how many readings EM will take in all, from what the last ones gained."""
        n, means = len(self._means), self._means
        most = self._most or n + 1
        if n < 2:
            return min(max(USUAL_PASSES, n + 1), most)
        return min(n + passes_to_come(np.diff(means).tolist(), self._negligible), most)


def passes_to_come(gains: list[float], negligible: float) -> int:
    """Predict how many readings EM still takes, at least one.

    Gains are taken to fall on as they fell last, by the same factor from reading to reading; EM
    ends with the one after which what is to be gained is negligible.

    Parameters
    ----------
    gains : list of float
        What each reading so far found more than the one before, nats per row.
    negligible : float
        Nats per row.
    """
    last = max(gains[-1], 0.0)
    factor = USUAL_FACTOR
    if len(gains) > 1 and gains[-2] > 0:
        factor = min(max(last / gains[-2], 1e-4), 0.95)
    n, gain = 1, last * factor
    while gain > negligible and n < 1000:
        n, gain = n + 1, gain * factor
    return n
