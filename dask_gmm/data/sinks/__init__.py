"""Sinks: results written cell by cell, every cell as whole chunks by exactly one task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

#: Rows that are joined together where cells are parts of files: at the most in memory, and in one
#: row group of the results.
JOINED_ROWS = 1 << 17
#: Kinds of output whose cells are left as parts and then joined to one file, and where they lie.
JOINED_KINDS, PARTS = frozenset({"geotiff", "image", "nifti", "netcdf"}), ".parts"
#: What the name of a file's record of written cells ends in, which lies beside it on the way.
RECORD = ".cells"


class Unfinished(Protocol):
    """What is still to be done when every cell is there; equal values are the same work."""

    def batches(self) -> Sequence[Unfinished]:
        """Cut the work into pieces, each for one task."""

    def join(self) -> None:
        """Do a piece of it; what is done already is left as it is.

        Raises
        ------
        RunFailedError
        """

    def discard_parts(self) -> None:
        """Remove what was needed on the way, when all pieces are done."""


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

    def to_finish(self) -> Sequence[Unfinished]:
        """Return what is to be done when every cell is there: nothing, where cells are files."""
