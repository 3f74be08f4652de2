"""Results as a plain TIFF: a page per plane, tiles, the values as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sinks.joined import Parts
from dask_gmm.data.tiff_array import require_tifffile

_TILE = 256
#: Beyond this a TIFF needs offsets of 64 bits; compression is not counted on.
_CLASSIC_BYTES = 0xF000_0000


@dataclass(frozen=True)
class TiffWriter:
    """How a TIFF is made, tile by tile.

    Parameters
    ----------
    colors : tuple of (int, int, int)
        Of labels 1, 2, ...; none where the numbers are no labels.
    """

    colors: tuple[tuple[int, int, int], ...] = ()

    def write(self, path: Path, parts: Parts) -> None:
        """Write all pages, deflated.

        Raises
        ------
        OSError
            If the file system refuses.
        """
        tifffile = require_tifffile(str(path))
        shape = parts.grid.shape + tuple(n for n in parts.trailing if n > 1)
        wide = int(np.prod(shape, dtype=np.int64)) * parts.dtype.itemsize > _CLASSIC_BYTES
        look: dict[str, Any] = {"photometric": "minisblack"}
        if len(shape) > len(parts.grid.shape):
            look |= {"planarconfig": "contig"}
        if self.colors and parts.dtype.itemsize == 1:
            colormap = np.zeros((3, 256), dtype=np.uint16)
            colormap[:, 1 : len(self.colors) + 1] = np.array(self.colors, dtype=np.uint16).T * 257
            look = {"photometric": "palette", "colormap": colormap}
        with tifffile.TiffWriter(path, bigtiff=wide) as file:
            file.write(
                _tiles(parts),
                shape=shape,
                dtype=parts.dtype,
                tile=(_TILE, _TILE),
                compression="zlib",
                maxworkers=1,
                **look,
            )


def _tiles(parts: Parts) -> Iterator[npt.NDArray[Any]]:
    for region in parts.tiles(_TILE):
        values = parts.read(region)
        values = values.reshape(*values.shape[len(region) - 2 : len(region)], -1)
        tile = np.zeros((_TILE, _TILE, values.shape[-1]), parts.dtype)
        tile[: values.shape[0], : values.shape[1]] = values
        yield tile
