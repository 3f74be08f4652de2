"""A TIFF of any number of pages as a stored array: mapped where it can be, else by its segments."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.extras import required
from dask_gmm.data.manifest import fingerprint
from dask_gmm.data.npy_array import CELL_BYTES, NpyArray
from dask_gmm.data.objects import StoredObject
from dask_gmm.data.stored import Inventory, StoredArray, check_content, without
from dask_gmm.errors import InputDataError


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a TIFF: a `tifffile.TiffFile`.

    Raises
    ------
    ConfigurationError
        If tifffile is not installed.
    InputDataError
        If there is no such file, or it is no TIFF.
    """
    tifffile = require_tifffile(path)
    try:
        file = tifffile.TiffFile(path)
    except OSError as error:
        raise InputDataError(
            f"{path}: cannot be read ({error.strerror or error}); every worker must see the file "
            "under this path"
        ) from error
    except Exception as error:  # its parser trusts what it reads
        raise InputDataError(
            f"{path}: is no TIFF ({type(error).__name__}: {error}); allowed is a whole TIFF file"
        ) from error
    with file:
        yield file


def require_tifffile(path: str) -> Any:
    """Return tifffile, imported.

    Raises
    ------
    ConfigurationError
        With the line that installs it.
    """
    return required("tifffile", "image", "TIFF", path)


@dataclass(frozen=True)
class TiffArray:
    """Pages of one shape, in the file's own order of axes.

    Parameters
    ----------
    name : str
        Absolute path.
    axes : str
        A letter per axis: Y, X, Z, T, C, S (samples of a pixel).
    shape : tuple of int
    dtype : numpy.dtype
    page_axes : int
        How many of the last axes one page holds.
    segment : tuple of int
        Shape of a strip or tile, over the axes of a page.
    digest : str
        SHA-256 of the tags of the first page.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    page_axes: int
    segment: tuple[int, ...]
    digest: str

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The letters, small."""
        return tuple(self.axes.lower())

    @property
    def objects(self) -> tuple[int, ...]:
        """A strip or tile of one page."""
        return (*(1 for _ in self.shape[: -self.page_axes]), *self.segment)

    @property
    def decoded_together(self) -> int:
        """Bytes of a strip or tile."""
        return math.prod(self.segment) * self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return cells of some 16 MiB: whole segments, along the fastest axes first."""
        features = 1 if feature_axis is None else self.shape[feature_axis]
        units, lengths = without(self.objects, feature_axis), without(self.shape, feature_axis)
        room = CELL_BYTES // (features * self.dtype.itemsize)
        room //= math.prod(min(u, n) for u, n in zip(units, lengths, strict=True))
        cell = list[int]()
        for unit, n in zip(reversed(units), reversed(lengths), strict=True):
            times = max(1, min(-(-n // unit), room))
            cell.append(min(n, times * unit))
            room //= times
        return tuple(reversed(cell))

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region.

        Raises
        ------
        InputDataError
            Naming file and segment.
        """
        n = len(self.shape) - self.page_axes
        lengths = tuple(span.stop - span.start for span in selection)
        values = np.zeros(lengths, self.dtype)
        with opened(self.name) as file:
            pages = file.series[0].pages
            for place in product(*(range(span.start, span.stop) for span in selection[:n])):
                number = int(np.ravel_multi_index(place, self.shape[:n])) if n else 0
                target = values[tuple(i - s.start for i, s in zip(place, selection, strict=False))]
                try:
                    page = pages[number]
                except Exception as error:  # of a damaged directory of pages, anything
                    raise self._unreadable(place, selection[n:], error) from error
                self._read_page(file, page, place, selection[n:], target)
        return values

    def _read_page(
        self,
        file: Any,
        page: Any,
        place: tuple[int, ...],
        region: tuple[slice, ...],
        target: npt.NDArray[Any],
    ) -> None:
        counts = tuple(-(-n // s) for n, s in zip(self._page_shape, self.segment, strict=True))
        along = [
            range(span.start // s, -(-span.stop // s))
            for span, s in zip(region, self.segment, strict=True)
        ]
        for where in product(*along):
            start = tuple(i * s for i, s in zip(where, self.segment, strict=True))
            try:
                number = int(np.ravel_multi_index(where, counts))
                decoded = self._segment(file, page.keyframe, page, number)
            except MemoryError:
                raise
            except Exception as error:  # every codec raises its own
                spans = tuple(slice(a, a + s) for a, s in zip(start, self.segment, strict=True))
                raise self._unreadable(place, spans, error) from error
            inside, there = [], []
            for begin, length, span in zip(start, decoded.shape, region, strict=True):
                low, high = max(begin, span.start), min(begin + length, span.stop)
                inside.append(slice(low - begin, high - begin))
                there.append(slice(low - span.start, high - span.start))
            target[tuple(there)] = decoded[tuple(inside)]

    def _segment(self, file: Any, keyframe: Any, page: Any, number: int) -> npt.NDArray[Any]:
        """Return one strip or tile, over the axes of a page; as it is at a border, or longer."""
        size = page.databytecounts[number]
        file.filehandle.seek(page.dataoffsets[number])
        stored = file.filehandle.read(size)
        if size == 0 or len(stored) < size:
            raise ValueError(f"{len(stored)} of {size} bytes are there")
        decoded, _, _ = keyframe.decode(stored, number, jpegtables=page.jpegtables)
        if decoded is None:
            raise ValueError("it holds nothing")
        lengths = dict(zip("ZYXS", decoded.shape, strict=True))
        if self._page[0] == "S":  # one after the other, each a plane
            lengths["S"] = 1
        return decoded.reshape([lengths[axis] for axis in self._page])

    @property
    def _page(self) -> str:
        return self.axes[-self.page_axes :]

    @property
    def _page_shape(self) -> tuple[int, ...]:
        return self.shape[-self.page_axes :]

    def _unreadable(
        self, place: Sequence[int], spans: Sequence[slice], error: Exception
    ) -> InputDataError:
        found = self.chunk_at((*place, *(span.start for span in spans)))
        return InputDataError(
            f"{self.name}: {found} cannot be decoded ({type(error).__name__}: {error}); restore "
            "the file from a copy"
        )

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name the segment that holds an element."""
        begins = [i // unit * unit for i, unit in zip(index, self.objects, strict=True)]
        named = ", ".join(f"{axis.lower()}={i}" for axis, i in zip(self.axes, begins, strict=True))
        return f"the segment at {named}"

    def inventory(self) -> Inventory:
        """Look at the file's size and time.

        Raises
        ------
        InputDataError
            If it is gone.
        """
        try:
            status = Path(self.name).stat()
        except OSError as error:
            raise InputDataError(
                f"{self.name}: cannot be read ({error.strerror}); correct the path or its rights"
            ) from error
        there = {"data": StoredObject(status.st_size, status.st_mtime_ns)}
        marks = fingerprint({"header": self.digest.encode()}, there)
        return Inventory(self.objects, None, status.st_size, (), marks)


def open_tiff(path: str) -> tuple[StoredArray, str, bool, int]:
    """Open the first series of a TIFF's pages.

    Returns
    -------
    array : StoredArray
        Memory-mapped where it is stored as one uncompressed run.
    axes : str
        A letter per axis.
    colored : bool
        Whether the first three samples are red, green and blue.
    alpha : int
        How many samples follow that are no measurements.

    Raises
    ------
    InputDataError
        If it cannot be read, or holds no rows of real numbers.
    """
    with opened(path) as file:
        try:
            series = file.series[0]
            page = series.keyframe
            tags = repr([(t.code, t.value) for t in page.tags if t.name not in _PLACES])
            digest = hashlib.sha256(tags.encode()).hexdigest()
            dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
            colored = page.photometric in (2, 6) and page.samplesperpixel >= 3
            alpha = _trailing_alpha(page.extrasamples) if page.photometric in (1, 2) else 0
            axes, shape, offset = series.axes, series.shape, series.dataoffset
            array: StoredArray
            if offset is not None:
                array = NpyArray(path, shape, dtype, False, offset, digest)
            else:
                n = len(page.shape)
                segment = (*(1 for _ in range(n - len(page.chunks))), *page.chunks)
                array = TiffArray(path, axes, shape, dtype.newbyteorder("="), n, segment, digest)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise InputDataError(
                f"{path}: its pages cannot be told ({type(error).__name__}: {error}); allowed is a "
                "TIFF of pages of one shape and type"
            ) from error
    check_content(array)
    array.inventory()
    return array, axes, colored, alpha


def _trailing_alpha(extra: Sequence[int]) -> int:
    """Count the last samples beyond colours that are alpha; those of no said kind are data."""
    return len(list(takewhile(lambda kind: int(kind) in _ALPHA, reversed(extra))))


#: Kinds of extra samples: associated and unassociated alpha.
_ALPHA = (1, 2)
#: Tags that tell where the data lie.
_PLACES = ("StripOffsets", "TileOffsets", "StripByteCounts", "TileByteCounts")
