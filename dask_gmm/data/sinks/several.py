"""One output of many inputs: a sink per input, behind one that knows whose a cell is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from dask_gmm.data.several_cells import SeveralCells
from dask_gmm.data.sinks import Sink, Unfinished


@dataclass(frozen=True)
class SeveralSink:
    """Sinks of single inputs as one.

    Parameters
    ----------
    members : tuple of Sink
        One per input, in order.
    grid : SeveralCells
        The inputs' cells, numbered through.
    left_out : frozenset of int
        Numbers of inputs that will have no result.
    """

    members: tuple[Sink, ...]
    grid: SeveralCells = field(repr=False)
    left_out: frozenset[int] = frozenset()

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Write one cell and return the checksum of what was written."""
        number, inner = self.grid.place(cell)
        return self.members[number].write(inner, values)

    def missing_cells(self) -> list[int]:
        """Return the cells that are not there yet, in order."""
        return [
            self.grid.cells_of(number)[inner]
            for number, sink in self._kept()
            for inner in sink.missing_cells()
        ]

    def to_finish(self) -> tuple[Unfinished, ...]:
        """Return what is to be done for each input when every cell is there."""
        return tuple(each for _, sink in self._kept() for each in sink.to_finish())

    def _kept(self) -> Sequence[tuple[int, Sink]]:
        return [each for each in enumerate(self.members) if each[0] not in self.left_out]
