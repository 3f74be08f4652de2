"""Pictures that can only be decoded whole: PNG and JPEG, and TIFF as Pillow reads it."""

from __future__ import annotations

import logging
import math
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from dask_gmm.data.manifest import fingerprint
from dask_gmm.data.npy_array import CELL_BYTES
from dask_gmm.data.objects import StoredObject
from dask_gmm.data.stored import Inventory, check_content
from dask_gmm.errors import DaskGmmError, InputDataError

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "TIFF")
MAX_PIXELS = 1 << 31  # a picture is decoded whole: at 4 bytes a pixel in Pillow these are 8 GiB

# Pillow's mode -> (mode to convert to, names of the features). Alpha is coverage, not a
# measurement, and mostly constant; a palette's and CMYK's numbers mean little as features.
MODES = {
    **dict.fromkeys(("1", "L", "LA", "La"), ("L", ("grey",))),
    **dict.fromkeys(("I;16", "I;16L", "I;16B", "I", "F"), (None, ("grey",))),
    **dict.fromkeys(
        ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr"),
        ("RGB", ("red", "green", "blue")),
    ),
}
_pillow_lock = threading.Lock()


#: EXIF orientations that lay a picture on its side.
_TURNED = (5, 6, 7, 8)
_ORIENTATION = 0x0112
_DTYPES = {"I": "i4", "F": "f4"} | dict.fromkeys(("I;16", "I;16L", "I;16B"), "u2")


@dataclass(frozen=True)
class PictureArray:
    """A PNG or JPEG as a stored array, (rows, columns, features) or (rows, columns).

    Every process decodes a picture once and keeps it for as long as one of its threads reads
    cells of it: each holds on to its last picture, and all of them share what is there.

    Parameters
    ----------
    name : str
        Absolute path.
    shape : tuple of int
    dtype : numpy.dtype
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: str) -> tuple[PictureArray, tuple[str, ...]]:
        """Read the header; return the array, and the features' names.

        Raises
        ------
        InputDataError
            If it is missing, no picture, too large or of an unsupported kind.
        """
        _version(path)
        try:
            with _open_image(Path(path)) as image:
                _check_image(Path(path), image)
                names = MODES[image.mode][1]
                size = (image.height, image.width)
                if image.getexif().get(_ORIENTATION) in _TURNED:
                    size = (image.width, image.height)
                dtype = np.dtype(_DTYPES.get(image.mode, "u1"))
        except (DaskGmmError, MemoryError):
            raise
        except Exception as error:  # every format's decoder raises its own
            raise _not_decoded(path, error) from error
        array = cls(path, (*size, len(names)), dtype)
        check_content(array)
        return array, names

    @property
    def axis_names(self) -> tuple[str, ...]:
        """As pictures have them."""
        return ("y", "x", "feature")[: len(self.shape)]

    @property
    def objects(self) -> tuple[int, ...]:
        """All of it."""
        return self.shape

    @property
    def decoded_together(self) -> int:
        """All of it, as Pillow holds it and as an array."""
        rows, columns = self.shape[:2]
        return rows * columns * 4 + math.prod(self.shape) * self.dtype.itemsize

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return full rows of some 16 MiB."""
        rows, *others = self.shape
        high = max(1, CELL_BYTES // (math.prod(others) * self.dtype.itemsize))
        return (min(rows, high), others[0])

    def plane(self) -> PictureArray:
        """Return it without its only feature's axis."""
        return replace(self, shape=self.shape[:2])

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region.

        Raises
        ------
        InputDataError
            If the file is gone, has changed or cannot be decoded.
        """
        pixels = _decoded(self.name)
        if len(self.shape) == 2 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise InputDataError(
                f"{self.name}: has changed since the run looked at it ({pixels.dtype} of shape "
                f"{pixels.shape}, was {self.dtype} of shape {self.shape}); start again"
            )
        return np.array(pixels[selection], order="C")

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name an element's place."""
        return f"the pixel at row {int(index[0])}, column {int(index[1])}"

    def inventory(self) -> Inventory:
        """Look at the file's size and time."""
        found = _version(self.name)
        header = repr((self.shape, self.dtype.str)).encode()
        return Inventory(
            self.shape, None, found.size, (), fingerprint({"header": header}, {"data": found})
        )


_decoding = threading.Lock()
_own = threading.local()
_alive: weakref.WeakValueDictionary[Any, npt.NDArray[Any]] = weakref.WeakValueDictionary()


def _decoded(path: str) -> npt.NDArray[Any]:
    key = (path, _version(path))
    if getattr(_own, "key", None) != key:
        _own.key = _own.pixels = None  # let go before the next one is decoded
        with _decoding:
            pixels = _alive.get(key)
            if pixels is None:
                _alive[key] = pixels = decode_picture(Path(path))[0]
        _own.key, _own.pixels = key, pixels
    held: npt.NDArray[Any] = _own.pixels
    return held


def _version(path: str) -> StoredObject:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise InputDataError(
            f"{path}: cannot be read ({error.strerror}); every worker must see the file under this "
            "path"
        ) from error
    return StoredObject(status.st_size, status.st_mtime_ns)


def decode_picture(path: Path) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Decode a picture, whole.

    Returns
    -------
    pixels : ndarray, shape (rows, columns, features)
        With the EXIF orientation applied, alpha left out; 8 and 16 bits stay as they are.
    names : tuple of str
        Of the features.

    Raises
    ------
    InputDataError
        If it is missing, broken, too large or of an unsupported kind.
    """
    try:
        with _open_image(path) as image:
            _check_image(path, image)
            mode, names = MODES[image.mode]
            _warn_of_alpha(path, image)
            ImageOps.exif_transpose(image, in_place=True)
            pixels = np.asarray(image if mode in (None, image.mode) else image.convert(mode))
    except (DaskGmmError, MemoryError):
        raise
    except Exception as error:  # every format's decoder raises its own
        raise _not_decoded(path, error) from error
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.reshape(*native.shape[:2], len(names)), names


def _open_image(path: Path) -> Image.Image:
    """Read a picture's header, with our limit of pixels in the place of Pillow's."""
    # Pillow refuses 179 Mpx as a "decompression bomb", and large pictures are what we are for. Its
    # limit is a global that only `open` looks at: lifted for this call, then restored.
    with _pillow_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    n_pixels = image.width * image.height
    if n_pixels > MAX_PIXELS:
        image.close()
        raise InputDataError(
            f"{path}: has {image.width} x {image.height} = {n_pixels:,} pixels; allowed are "
            f"{MAX_PIXELS:,}, because a picture is decoded whole: cut it into tiles"
        )
    if limit is not None and n_pixels > limit:
        log.warning(
            "%s: %s pixels, beyond Pillow's usual limit; decoding takes about %.1f GB of memory",
            path,
            f"{n_pixels:,}",
            8e-9 * n_pixels,
        )
    return image


def _check_image(path: Path, image: Image.Image) -> None:
    if image.mode not in MODES:
        raise InputDataError(
            f"{path}: has pixels of Pillow's mode {image.mode}; allowed: {', '.join(MODES)}"
        )
    # Pillow hands out 16 bit colour as 8 bit; only the raw mode of the first tile betrays it.
    if len(MODES[image.mode][1]) == 3 and ";16" in str(getattr(image, "tile", ())[:1]):
        raise InputDataError(
            f"{path}: has 16 bit colour, of which Pillow would keep 8 bits; allowed: 16 bit grey, "
            "8 bit colour. Write it as Zarr with another tool"
        )
    if getattr(image, "n_frames", 1) > 1:
        log.warning("%s: has several pages; only the first is read", path)


def _warn_of_alpha(path: Path, image: Image.Image) -> None:
    alpha = [image.getchannel(band) for band in image.getbands() if band in ("A", "a")]
    if image.info.pop("transparency", None) is not None or any(
        np.asarray(a).min() < 255 for a in alpha
    ):
        log.warning("%s: transparency is left out; all pixels count alike", path)


def _not_decoded(path: Path | str, error: Exception) -> InputDataError:
    return InputDataError(
        f"{path}: cannot be decoded ({type(error).__name__}: {error}); allowed are whole "
        f"{', '.join(FORMATS)} files"
    )
