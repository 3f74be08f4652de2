"""Sinks: results written cell by cell, every cell as whole chunks by exactly one task."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt


class Sink(Protocol):
    """What the engine asks of an output: a small frozen value that travels to workers."""

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Write one cell and return the checksum of what was written.

        Raises
        ------
        RunFailedError
            If the cell cannot be written.
        """

    def missing_cells(self) -> list[int]:
        """Return the cells that are not there yet."""
