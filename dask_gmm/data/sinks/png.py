"""Labels as a PNG of full size: every pixel holds its label, and shows its class's colour."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dask_gmm.data.sinks.joined import Parts
from dask_gmm.errors import ConfigurationError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Colour types of the format, and how well deflate tries: level 6 takes four times as long as 3.
_GREY, _PALETTE, _LEVEL = 0, 3, 3
_MOST = 65_535


@dataclass(frozen=True)
class PngWriter:
    """How a PNG of labels is made, row by row: libraries want the whole picture.

    Up to 255 labels are a palette, whose first colour is transparent; more are 16-bit grey.

    Parameters
    ----------
    colors : tuple of (int, int, int)
        Of labels 1, 2, ...
    """

    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if len(self.colors) > _MOST:
            raise ConfigurationError(
                f"outputs.labels: a PNG holds {_MOST:,} labels, there are {len(self.colors):,}; "
                "choose a path that ends with .tif"
            )

    def write(self, path: Path, parts: Parts) -> None:
        """Write header, palette, and the rows of all cells.

        Raises
        ------
        OSError
            If the file system refuses.
        """
        height, width = parts.grid.shape
        wide = parts.dtype.itemsize > 1
        with path.open("wb") as file:
            file.write(_SIGNATURE)
            head = (width, height, 16 if wide else 8, _GREY if wide else _PALETTE, 0, 0, 0)
            _chunk(file, b"IHDR", struct.pack(">IIBBBBB", *head))
            if not wide:
                colors = np.array([(0, 0, 0), *self.colors], dtype=np.uint8)
                _chunk(file, b"PLTE", colors.tobytes())
                _chunk(file, b"tRNS", b"\0")
            packed = zlib.compressobj(_LEVEL)
            for rows, columns in parts.runs():
                block = parts.read((rows, columns)).astype(">u2" if wide else "u1")
                lines = block.view("u1").reshape(len(block), -1)
                if columns.start == 0:  # the filter of a row: none
                    lines = np.pad(lines, ((0, 0), (1, 0)))
                _chunk(file, b"IDAT", packed.compress(lines.tobytes()))
            _chunk(file, b"IDAT", packed.flush())
            _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    if data or kind == b"IEND":
        crc = zlib.crc32(kind + data)
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc))
