"""A variable of a NetCDF file, classic or NetCDF-4, as a stored array."""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dask_gmm.data.extras import required
from dask_gmm.data.manifest import fingerprint
from dask_gmm.data.npy_array import CELL_BYTES
from dask_gmm.data.objects import StoredObject
from dask_gmm.data.stored import Inventory, check_content, without
from dask_gmm.errors import InputDataError

#: The library below is not made for several threads at once.
netcdf_lock = threading.RLock()


@dataclass(frozen=True)
class NetcdfArray:
    """A variable; it holds no handle, every process opens the file when it first reads.

    Parameters
    ----------
    path : str
        Absolute, of the file.
    variable : str
    shape : tuple of int
    dtype : numpy.dtype
        As stored, but native byte order; unsigned where `_Unsigned` says so.
    dims : tuple of str
        Names of the axes.
    chunks : tuple of int
        What is decoded together; of a variable that is not chunked, a single element.
    digest : str
        Of what the file says about the variable.
    beside : int
        Variables of which the same region is read together, this one included.
    """

    path: str
    variable: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    chunks: tuple[int, ...]
    digest: str
    beside: int = 1

    @classmethod
    def of_variable(cls, path: str, variable: Any, beside: int = 1) -> NetcdfArray:
        """Return a variable of an open file as an array."""
        dtype = np.dtype(variable.dtype if variable.dtype is not str else object)
        dtype = dtype.newbyteorder("=")
        if dtype.kind == "i" and getattr(variable, "_Unsigned", "false") == "true":
            dtype = np.dtype(f"u{dtype.itemsize}")
        told = variable.chunking()
        chunked = isinstance(told, list)
        attributes = {name: str(variable.getncattr(name)) for name in variable.ncattrs()}
        document = repr((variable.shape, str(dtype), variable.dimensions, told, attributes))
        array = cls(
            path,
            variable.name,
            tuple(map(int, variable.shape)),
            dtype,
            tuple(variable.dimensions),
            tuple(map(int, told)) if chunked else (1,) * variable.ndim,
            hashlib.sha256(document.encode()).hexdigest(),
            beside,
        )
        check_content(array)
        return array

    @property
    def name(self) -> str:
        """File and variable."""
        return f"{self.path}: {self.variable}"

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return self.dims

    @property
    def objects(self) -> tuple[int, ...]:
        """What is decoded together."""
        return self.chunks

    @property
    def decoded_together(self) -> int:
        """Bytes of a chunk."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return the leading shape of cells of some 16 MiB: whole chunks, long along the last axes.

        Chunks of NetCDF are often a few rows or one moment: each alone would be too small a cell.
        """
        leading, chunks = without(self.shape, feature_axis), without(self.chunks, feature_axis)
        features = self.beside if feature_axis is None else self.shape[feature_axis]
        room = max(1, CELL_BYTES // (features * self.dtype.itemsize * math.prod(chunks)))
        lengths = []
        for n, chunk in zip(reversed(leading), reversed(chunks), strict=True):
            lengths.append(min(n, chunk * room))
            room = max(1, room // -(-lengths[-1] // chunk))
        return tuple(reversed(lengths))

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region, as stored.

        Raises
        ------
        InputDataError
            Naming file, variable and chunk, if it cannot be read or decoded.
        """
        with netcdf_lock:
            try:
                return self._read(selection)
            except (MemoryError, InputDataError):
                raise
            except Exception as error:  # the library has its own for every layer below it
                raise InputDataError(
                    f"{self.name}: {self._culprit(selection)} cannot be decoded "
                    f"({type(error).__name__}: {error}); restore the file from a copy"
                ) from error

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name an element's chunk."""
        return f"chunk {tuple(int(i) // n for i, n in zip(index, self.chunks, strict=True))}"

    def inventory(self) -> Inventory:
        """Look at the file's size and time."""
        status = _status(self.path)
        there = {"data": StoredObject(status.st_size, status.st_mtime_ns)}
        return Inventory(
            chunks=self.chunks,
            zarr_format=None,
            stored_bytes=status.st_size,
            missing=(),
            fingerprint=fingerprint({self.variable: self.digest.encode()}, there),
        )

    def _read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        status = _status(self.path)
        opened = _opened(self.path, status.st_size, status.st_mtime_ns)
        values = np.asarray(opened[self.variable][selection])
        same_size = self.dtype.newbyteorder(values.dtype.byteorder)
        return np.ascontiguousarray(values.view(same_size), dtype=self.dtype)

    def _culprit(self, selection: tuple[slice, ...]) -> str:
        """Name the first chunk under a selection that cannot be read by itself."""
        if set(self.chunks) == {1}:
            return f"the block at {tuple(span.start for span in selection)}"
        along = [
            range(span.start // n, -(-span.stop // n))
            for span, n in zip(selection, self.chunks, strict=True)
        ]
        for place in itertools.product(*along):
            sizes = zip(place, self.chunks, strict=True)
            try:
                self._read(tuple(slice(i * n, (i + 1) * n) for i, n in sizes))
            except Exception:  # as above: this one is it
                return f"chunk {place}"
        return f"the block at {tuple(span.start for span in selection)}"


@contextmanager
def netcdf_file(path: str, mode: str = "r", **options: Any) -> Iterator[Any]:
    """Open a file; its variables give and take what is stored, neither masked nor scaled.

    Raises
    ------
    InputDataError
        If it does not exist or is no NetCDF.
    ConfigurationError
        If the package for it is not installed.
    """
    with netcdf_lock:
        dataset = _open(path, mode, **options)
        try:
            yield dataset
        finally:
            dataset.close()


def _open(path: str, mode: str = "r", **options: Any) -> Any:
    netCDF4 = required("netCDF4", "netcdf", "NetCDF", path)
    try:
        dataset: Any = netCDF4.Dataset(path, cast("Any", mode), **options)
    except FileNotFoundError:
        raise InputDataError(f"{path}: does not exist; allowed is a NetCDF file") from None
    except OSError as error:
        if mode != "r":
            raise
        raise InputDataError(
            f"{path}: is no NetCDF file that can be read ({error.strerror or error}); restore it "
            "from a copy, or convert it"
        ) from error
    dataset.set_auto_maskandscale(False)
    return dataset


@lru_cache(maxsize=8)
def _opened(path: str, size: int, mtime_ns: int) -> Any:
    """Open a file for reading; a process opens it once and its threads take turns."""
    return _open(path)


def _status(path: str) -> Any:
    try:
        return Path(path).stat()
    except OSError as error:
        raise InputDataError(
            f"{path}: cannot be read ({error.strerror}); every worker must see the file under this "
            "path"
        ) from error
