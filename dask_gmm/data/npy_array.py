"""A NumPy file (.npy) as a stored array, memory-mapped region by region."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dask_gmm.data.manifest import fingerprint
from dask_gmm.data.objects import StoredObject
from dask_gmm.data.stored import Inventory, check_content, without
from dask_gmm.errors import InputDataError

#: Bytes of a cell: large enough that a task is worth its cost, small enough for any worker.
CELL_BYTES = 16 << 20


@dataclass(frozen=True)
class NpyArray:
    """An array in NumPy's own format, versions 1 and 2, in C or Fortran order.

    A region is mapped, copied and unmapped: pages that stay mapped would count as the worker's
    memory.

    Parameters
    ----------
    name : str
        Absolute path.
    shape : tuple of int
    dtype : numpy.dtype
        As stored, byte order included.
    fortran : bool
        Whether the first axis is the fastest.
    offset : int
        Bytes in front of the data.
    digest : str
        SHA-256 of the header.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    digest: str

    @classmethod
    def open(cls, path: str) -> NpyArray:
        """Read the header.

        Raises
        ------
        InputDataError
            If there is no such file, it is no .npy, it is shorter than its header says, or it holds
            no rows of real numbers.
        """
        try:
            with Path(path).open("rb") as file:
                shape, fortran, dtype, offset, digest = _header(file)
        except FileNotFoundError:
            raise InputDataError(f"{path}: does not exist; allowed is a .npy file") from None
        except OSError as error:
            raise InputDataError(
                f"{path}: cannot be read ({error.strerror}); allowed is a readable .npy file"
            ) from error
        except Exception as error:  # NumPy parses the header with the tokenizer's errors too
            raise InputDataError(
                f"{path}: is no .npy file ({type(error).__name__}: {error}); write it with "
                "numpy.save"
            ) from error
        array = cls(path, shape, dtype, fortran, offset, digest)
        check_content(array)
        array._check_size()
        return array

    @property
    def axis_names(self) -> None:
        """The format has none."""

    @property
    def objects(self) -> tuple[int, ...]:
        """All of the array: the file is one object."""
        return self.shape

    @property
    def decoded_together(self) -> int:
        """Bytes of an element: nothing is decoded."""
        return self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return the leading shape of cells of about 16 MiB, cut along the slowest axes first."""
        leading = without(self.shape, feature_axis)
        features = 1 if feature_axis is None else self.shape[feature_axis]
        room = max(1, CELL_BYTES // (features * self.dtype.itemsize))
        lengths = []
        for n in leading if self.fortran else reversed(leading):
            lengths.append(min(n, max(1, room)))
            room //= lengths[-1]
        return tuple(lengths if self.fortran else reversed(lengths))

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region.

        Raises
        ------
        InputDataError
            If the file is not there any more, or not what it was.
        """
        self._check_size()
        try:
            mapped = np.memmap(
                self._file(),
                dtype=self.dtype,
                mode="r",
                offset=self.offset,
                shape=self.shape,
                order="F" if self.fortran else "C",
            )
            return np.array(mapped[selection], order="K", subok=False)
        except (OSError, ValueError) as error:
            raise InputDataError(
                f"{self.name}: {self.chunk_at([s.start for s in selection])} cannot be read "
                f"({error}); restore the file"
            ) from error

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name an element's place."""
        return f"the block at {tuple(map(int, index))}"

    def inventory(self) -> Inventory:
        """Look at the file's size and time."""
        status = self._check_size()
        there = {"data": StoredObject(status.st_size, status.st_mtime_ns)}
        return Inventory(
            chunks=self.shape,
            zarr_format=None,
            stored_bytes=status.st_size,
            missing=(),
            fingerprint=fingerprint({"header": self.digest.encode()}, there),
        )

    def _file(self) -> str | IO[bytes]:
        """Return what is mapped."""
        return self.name

    def _check_size(self) -> Any:
        """Check that all of the data are there: a mapping beyond a file's end kills its process."""
        try:
            status = Path(self.name).stat()
        except OSError as error:
            raise InputDataError(
                f"{self.name}: cannot be read ({error.strerror}); every worker must see the file "
                "under this path"
            ) from error
        wanted = self.offset + math.prod(self.shape) * self.dtype.itemsize
        if status.st_size < wanted:
            raise InputDataError(
                f"{self.name}: is truncated ({status.st_size:,} bytes, its header asks for "
                f"{wanted:,}); restore it from a copy or write it again"
            )
        return status


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any], int, str]:
    """Return shape, whether in Fortran order, dtype, offset and digest of the header."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"format version {version}")
    shape, fortran, dtype = read[version](file)
    offset = file.tell()
    file.seek(0)
    return shape, fortran, dtype, offset, hashlib.sha256(file.read(offset)).hexdigest()
