"""What fitting asks of data: that a function can be mapped over it and the results added.

The engine's passes are readings of data larger than memory; :class:`MemoryReadings` are readings of
rows in memory. Both count. ``fit.compression`` has readings of distinct rows, which stand for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from dask_gmm.fit.loop import Expectation
from dask_gmm.fit.race import Expectations
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.e_step import complete, e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.several import e_steps
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.survey import SurveyPlan, survey

Result = TypeVar("Result")


class Readings(Protocol):
    """Data that can be read again and again."""

    @property
    def n_passes(self) -> int:
        """Readings of the data so far."""

    def run(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read once: add ``function(blocks, *arguments)`` over all parts of the data."""

    def write(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read once, as ``run`` does, with a function that writes what is not to be lost."""

    def map(
        self, name: str, function: Callable[..., Result], items: Sequence[Any], *arguments: Any
    ) -> list[Result]:
        """Return ``function(item, *arguments)`` for every item; read nothing."""


class MemoryReadings:
    """Readings of rows in memory."""

    def __init__(self, rows: RowBlock) -> None:
        self.rows = rows
        self.n_passes = 0

    def run(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read once."""
        self.n_passes += 1
        return function([self.rows], *arguments)

    def write(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read once."""
        return self.run(name, function, *arguments)

    def map(
        self, name: str, function: Callable[..., Result], items: Sequence[Any], *arguments: Any
    ) -> list[Result]:
        """Return ``function(item, *arguments)`` for every item; read nothing."""
        return [function(item, *arguments) for item in items]


def expectation_over(readings: Readings, frame: Frame, total_scatter: Array | None) -> Expectation:
    """Return the expectation over all of the data: one reading a call.

    Parameters
    ----------
    readings : Readings
    frame : Frame
    total_scatter : (D, D) or None
        Sum of w x x^T in ``frame``, which tied covariances need.
    """

    def expectation(parameters: Parameters) -> SufficientStatistics:
        statistics = readings.run("e-step", e_step, parameters, frame)
        return complete(statistics, parameters, total_scatter)

    return expectation


def expectation_in_memory(rows: RowBlock, frame: Frame) -> tuple[Expectation, float]:
    """Return the expectation over rows in memory, and the sum of their weights."""
    readings = MemoryReadings(rows)
    moments = readings.run("survey", survey, SurveyPlan(frame.D, capacity=0, seed=0)).moments
    return expectation_over(readings, frame, moments.total_scatter(frame)), moments.weight


def expectations_over(
    readings: Readings, frame: Frame, total_scatter: Array | None
) -> Expectations:
    """Return the expectation of several mixtures at once: one reading a call, for all of them."""
    alone = expectation_over(readings, frame, total_scatter)

    def expectations(mixtures: Sequence[Parameters]) -> Sequence[SufficientStatistics]:
        if len(mixtures) == 1:
            return [alone(mixtures[0])]
        together = readings.run("e-steps", e_steps, tuple(mixtures), frame)
        return [
            complete(part, mixture, total_scatter)
            for part, mixture in zip(together.parts, mixtures, strict=True)
        ]

    return expectations
