"""A GeoTIFF, COG among them, as a stored array, bands first."""

from __future__ import annotations

import hashlib
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.extras import required
from dask_gmm.data.manifest import fingerprint
from dask_gmm.data.npy_array import CELL_BYTES
from dask_gmm.data.objects import StoredObject
from dask_gmm.data.stored import Inventory, check_content
from dask_gmm.errors import InputDataError

#: What GDAL may keep of decoded blocks, in MB. Windows are whole blocks, so none comes twice; its
#: default, a twentieth of the machine's memory, would count as the worker's.
GDAL_CACHE = 16
_opening = threading.Lock()


@contextmanager
def raster(path: str) -> Iterator[Any]:
    """Open a raster for reading: a rasterio dataset, of the thread that opened it alone.

    Raises
    ------
    ConfigurationError
        If rasterio is not installed.
    InputDataError
        If there is no such file, or GDAL cannot read it.
    """
    rasterio = require_rasterio(path)
    try:
        # Neither listings of folders nor metadata beside the file: a scene's folder may be large.
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE, GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
            # Pictures without georeference are as good here; the filters are the process's, though.
            with _opening, warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                dataset = rasterio.open(path, driver="GTiff")  # others may lead elsewhere
            with dataset:
                yield dataset
    except rasterio.errors.RasterioIOError as error:
        if not Path(path).exists():
            raise InputDataError(
                f"{path}: does not exist; every worker must see the file under this path"
            ) from None
        raise InputDataError(
            f"{path}: cannot be read ({error}); allowed is a whole GeoTIFF: restore it from a copy"
        ) from error


def require_rasterio(path: str) -> Any:
    """Return rasterio, imported.

    Raises
    ------
    ConfigurationError
        With the line that installs it.
    """
    required("rasterio.errors", "geo", "GeoTIFF", path)
    return required("rasterio", "geo", "GeoTIFF", path)


@dataclass(frozen=True)
class RasterArray:
    """Bands of a raster, (bands, rows, columns); or one plane of it, (rows, columns).

    Parameters
    ----------
    name : str
        Absolute path.
    shape : tuple of int
    dtype : numpy.dtype
        The smallest that holds every band.
    block : (int, int)
        Rows and columns of a tile or strip.
    interleaved : bool
        Whether a block holds all bands.
    bands : tuple of int
        Numbers of the bands as GDAL counts them, from 1; empty: the mask of the dataset, which is
        0 where nothing was recorded.
    missing : tuple of str
        Blocks that were never written and read as fill value.
    digest : str
        SHA-256 of what the header says.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    block: tuple[int, int]
    interleaved: bool
    bands: tuple[int, ...]
    missing: tuple[str, ...]
    digest: str

    @classmethod
    def of_dataset(
        cls, dataset: Any, bands: Sequence[int], missing: Sequence[str] = (), *, plane: bool = False
    ) -> RasterArray:
        """Describe some bands of an open dataset.

        Raises
        ------
        InputDataError
            If they hold no rows of real numbers.
        """
        dtypes = [np.dtype(dataset.dtypes[band - 1]) for band in bands] or [np.dtype("u1")]
        size = (dataset.height, dataset.width)
        rows, columns = dataset.block_shapes[0]
        header = (dataset.profile, dataset.descriptions, dataset.scales, dataset.offsets)
        array = cls(
            name=dataset.name,
            shape=size if plane else (len(bands), *size),
            dtype=np.result_type(*dtypes),
            block=(min(rows, size[0]), min(columns, size[1])),
            interleaved=dataset.count > 1 and dataset.profile.get("interleave") == "pixel",
            bands=tuple(bands),
            missing=tuple(missing),
            digest=hashlib.sha256(repr(header).encode()).hexdigest(),
        )
        check_content(array)
        return array

    @property
    def axis_names(self) -> tuple[str, ...]:
        """As maps have them."""
        return ("band", "y", "x")[-len(self.shape) :]

    @property
    def objects(self) -> tuple[int, ...]:
        """A block, of one band or of all."""
        together = self.shape[0] if self.interleaved else 1
        return self.block if len(self.shape) == 2 else (together, *self.block)

    @property
    def decoded_together(self) -> int:
        """Bytes of a block."""
        return math.prod(self.objects) * self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return cells of some 16 MiB: whole blocks, along a row of them first."""
        bands = 1 if len(self.shape) == 2 else self.shape[0]
        room = CELL_BYTES // (bands * self.dtype.itemsize)
        (rows, columns), (height, width) = self.block, self.shape[-2:]
        wide = min(width, max(1, room // (rows * columns)) * columns)
        high = min(height, max(1, room // (rows * wide)) * rows if wide == width else rows)
        return (high, wide) if len(self.shape) == 2 or feature_axis == 0 else (bands, high, wide)

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region.

        Raises
        ------
        InputDataError
            Naming file and block.
        """
        rows, columns = selection[-2:]
        with raster(self.name) as dataset:
            self._check_unchanged(dataset)
            try:
                return self._window(dataset, selection[:-2], rows, columns)
            except OSError as error:  # rasterio's own are of this kind
                place = self._first_unreadable(dataset, selection[:-2], rows, columns)
                raise InputDataError(
                    f"{self.name}: {place} cannot be decoded ({error}); restore the file from a "
                    "copy"
                ) from error

    def _window(
        self, dataset: Any, leading: tuple[slice, ...], rows: slice, columns: slice
    ) -> npt.NDArray[Any]:
        from rasterio.windows import Window

        window = Window.from_slices(rows, columns)
        if not self.bands:
            return np.asarray(dataset.read_masks(1, window=window))
        wanted = list(self.bands[leading[0]]) if leading else self.bands[0]
        return np.asarray(dataset.read(wanted, window=window, out_dtype=self.dtype))

    def _first_unreadable(
        self, dataset: Any, leading: tuple[slice, ...], rows: slice, columns: slice
    ) -> str:
        high, wide = self.block
        for row in range(rows.start // high * high, rows.stop, high):
            for column in range(columns.start // wide * wide, columns.stop, wide):
                one = slice(row, min(row + 1, rows.stop)), slice(column, column + 1)
                try:
                    self._window(dataset, leading, *one)
                except OSError:
                    return self.chunk_at((row, column))
        return f"rows {rows.start} to {rows.stop - 1}"

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name the block that holds a pixel."""
        row, column = int(index[-2]), int(index[-1])
        high, wide = self.block
        kind = "strip" if wide == self.shape[-1] else "tile"
        return (
            f"{kind} ({row // high}, {column // wide}), which begins at row {row // high * high}, "
            f"column {column // wide * wide},"
        )

    def inventory(self) -> Inventory:
        """Look at sizes and times of the file and what lies beside it.

        Raises
        ------
        InputDataError
            If it is gone.
        """
        there = {}
        with raster(self.name) as dataset:
            self._check_unchanged(dataset)
            for name in sorted({self.name, *dataset.files}):
                status = Path(name).stat()
                there[Path(name).name] = StoredObject(status.st_size, status.st_mtime_ns)
        return Inventory(
            chunks=self.objects,
            zarr_format=None,
            stored_bytes=sum(each.size for each in there.values()),
            missing=self.missing,
            fingerprint=fingerprint({"header": self.digest.encode()}, there),
        )

    def _check_unchanged(self, dataset: Any) -> None:
        found = (dataset.height, dataset.width)
        if found != self.shape[-2:] or dataset.count < max(self.bands, default=1):
            raise InputDataError(
                f"{self.name}: has changed since the run looked at it ({dataset.count} bands of "
                f"{found[0]} x {found[1]}); start again"
            )


def blocks_never_written(dataset: Any, bands: Sequence[int]) -> list[str]:
    """Name the blocks of a GeoTIFF that were left out, and read as its fill value."""
    high, wide = dataset.block_shapes[0]
    interleaved = dataset.profile.get("interleave") == "pixel"
    return [
        f"band {band} block ({row}, {column})"
        for band in (bands[:1] if interleaved else bands)
        for row in range(-(-dataset.height // high))
        for column in range(-(-dataset.width // wide))
        if dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band) is None
    ]
