"""Results into a NumPy file (.npy) of the source's leading shape, written cell by cell."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import RECORD, Unfinished
from dask_gmm.data.sinks.cells import as_cell, cannot_write, checksum
from dask_gmm.errors import RunFailedError

#: What the record beside the file holds for a cell that was written.
_WRITTEN = b"\x01"


@dataclass(frozen=True)
class NpySink:
    """A .npy file of full size, whose cells are disjoint regions that tasks fill.

    Make one with `NpySink.create`. A file does not show which of its bytes were written; so one
    byte per cell in a record beside it (``NAME.cells``) says so, set after the cell has reached the
    disk.

    Parameters
    ----------
    path : str
        Absolute path of the file.
    grid : Grid
        The leading axes, cut into cells.
    trailing : tuple of int
        Lengths of the axes behind the leading ones: (K,) for probabilities, () for labels.
    dtype : numpy.dtype
        Of the array, little-endian.
    offset : int
        Bytes of the header.
    """

    path: str
    grid: Grid
    trailing: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def create(
        cls,
        path: Path,
        grid: Grid,
        trailing: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        again: bool = False,
    ) -> NpySink:
        """Create the file and reserve all of its bytes; nothing that exists is ever overwritten.

        With ``again`` the file was created before, and is gone on with.

        Raises
        ------
        RunFailedError
            If `path` exists or cannot be written, or the disk has no room for all of it.
        """
        path, little = path.absolute(), np.dtype(dtype).newbyteorder("<")
        shape = grid.shape + trailing
        header = {
            "descr": np.lib.format.dtype_to_descr(little),
            "fortran_order": False,
            "shape": shape,
        }
        n_bytes = int(np.prod(shape, dtype=np.int64)) * little.itemsize
        head = BytesIO()
        np.lib.format.write_array_header_1_0(head, header)
        offset = head.tell()
        if again:
            return cls(str(path), grid, trailing, little, offset)
        if path.exists():
            raise RunFailedError(f"{path}: exists already; remove it or choose another path")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # First: a whole file without a record is a finished one.
            _record(path).write_bytes(bytes(len(grid)))
            with path.open("xb") as file:
                file.write(head.getvalue())
                file.flush()
                # A mapping into a hole of a full disk would kill the process that writes there.
                os.posix_fallocate(file.fileno(), 0, offset + n_bytes)
        except OSError as error:
            raise cannot_write(str(path), error) from error
        return cls(str(path), grid, trailing, little, offset)

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Write one cell, and note it once it has reached the disk.

        Parameters
        ----------
        cell : int
            Number of the cell in `grid`.
        values : ndarray, shape (n, *trailing) or (*cell shape, *trailing)
            Rows in the cell's C order; of a dtype that casts to the array's within its kind.

        Returns
        -------
        str
            BLAKE2b-128 of the values' little-endian C-order bytes, 32 hexadecimal digits.

        Raises
        ------
        RunFailedError
            If the values do not fill the cell, or the file system refuses (path and reason are
            named).
        """
        region, block = self.grid.region(cell), as_cell(self, cell, values)
        try:
            mapped = np.memmap(
                self.path,
                dtype=self.dtype,
                mode="r+",
                offset=self.offset,
                shape=self.grid.shape + self.trailing,
            )
            mapped[region] = block
            mapped.flush()
            del mapped
            with _record(Path(self.path)).open("r+b") as record:
                record.seek(cell)
                record.write(_WRITTEN)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return checksum(block)

    def missing_cells(self) -> list[int]:
        """Return the cells that were not written, in order; all of them where the file is gone.

        Raises
        ------
        RunFailedError
            If the record cannot be read.
        """
        try:
            whole = self.offset + np.prod(self.grid.shape + self.trailing) * self.dtype.itemsize
            if Path(self.path).stat().st_size != whole:
                return list(range(len(self.grid)))
            if not _record(Path(self.path)).exists():  # swept away, since all of it was there
                return []
            written = _record(Path(self.path)).read_bytes()
        except FileNotFoundError:
            return list(range(len(self.grid)))
        except OSError as error:
            raise RunFailedError(
                f"{self.path}: cannot be looked at ({error.strerror}); make it readable"
            ) from error
        return [cell for cell in range(len(self.grid)) if written[cell : cell + 1] != _WRITTEN]

    def to_finish(self) -> tuple[Unfinished, ...]:
        """Return nothing: every cell is at its place."""
        return ()


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}{RECORD}")
