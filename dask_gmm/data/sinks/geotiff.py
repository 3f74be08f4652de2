"""Results as a cloud-optimised GeoTIFF: tiles, overviews, colours, and the input's place."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.raster import GDAL_CACHE, require_rasterio
from dask_gmm.data.sinks.joined import Parts
from dask_gmm.errors import RunFailedError

#: Sides of a tile while it is put together, and of the result.
_TILE, _RESULT_TILE = 256, 512
#: Labels for which TIFF has colours.
_COLOURED = ("u1", "u2")


@dataclass(frozen=True)
class GeoTiffWriter:
    """How a GeoTIFF is made: one band, or one per trailing index.

    Parameters
    ----------
    geometry : Geometry or None
    masked : float
        The value for no data.
    descriptions : tuple of str
        Of the bands.
    colors : tuple of (int, int, int)
        Of labels 1, 2, ...; none where the numbers are no labels.
    scale : float or None
        What a stored number is multiplied by.
    """

    geometry: Geometry | None
    masked: float
    descriptions: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    scale: float | None = None

    def write(self, path: Path, parts: Parts) -> None:
        """Write tiles one after the other, then arrange them with overviews.

        Raises
        ------
        OSError, RunFailedError
            If the file system or GDAL refuses.
        """
        rasterio = require_rasterio(str(path))
        from rasterio.shutil import copy

        tiles = path.with_name(f"{path.stem}.tiles{path.suffix}")
        # Labels between two others are other labels.
        measured = parts.dtype.kind == "f" or self.scale is not None
        resampling = "AVERAGE" if measured else "NEAREST"
        try:
            with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE, GDAL_PAM_ENABLED="NO"), _unplaced(rasterio):
                self._write_tiles(rasterio, tiles, parts)
                copy(
                    str(tiles),
                    str(path),
                    driver="COG",
                    COMPRESS="DEFLATE",
                    PREDICTOR="YES",
                    BLOCKSIZE=_RESULT_TILE,
                    OVERVIEW_RESAMPLING=resampling,
                    BIGTIFF="IF_SAFER",
                )
        except rasterio.errors.RasterioError as error:
            raise RunFailedError(
                f"{path.parent}: GDAL cannot write a GeoTIFF there ({error}); make room or make it "
                "writable, then start again"
            ) from error
        finally:
            tiles.unlink(missing_ok=True)

    def _write_tiles(self, rasterio: Any, path: Path, parts: Parts) -> None:
        height, width = parts.grid.shape
        profile = {
            "driver": "GTiff",
            "height": height,
            "width": width,
            "count": math.prod(parts.trailing),
            "dtype": parts.dtype.name,
            "nodata": self.masked,
            "tiled": True,
            "blockxsize": _TILE,
            "blockysize": _TILE,
            "compress": "deflate",
            "zlevel": 1,
            "bigtiff": "IF_SAFER",
            **self._placed(rasterio),
        }
        with rasterio.open(path, "w", **profile) as dataset:
            self._describe(dataset, parts.dtype)
            for rows, columns in parts.tiles(_TILE):
                values = parts.read((rows, columns)).reshape(
                    rows.stop - rows.start, columns.stop - columns.start, -1
                )
                window = rasterio.windows.Window.from_slices(rows, columns)
                dataset.write(np.moveaxis(values, -1, 0), window=window)

    def _placed(self, rasterio: Any) -> dict[str, Any]:
        found = dict[str, Any]()
        if self.geometry is not None and self.geometry.transform is not None:
            found["transform"] = rasterio.Affine(*self.geometry.transform)
        if self.geometry is not None and self.geometry.crs is not None:
            found["crs"] = rasterio.crs.CRS.from_wkt(self.geometry.crs)
        return found

    def _describe(self, dataset: Any, dtype: np.dtype[Any]) -> None:
        for band, description in enumerate(self.descriptions, start=1):
            dataset.set_band_description(band, description)
        if self.colors and dtype.str[1:] in _COLOURED:
            colors = {k: (*color, 255) for k, color in enumerate(self.colors, start=1)}
            dataset.write_colormap(1, {0: (0, 0, 0, 0), **colors})
        if self.scale is not None:
            dataset.scales = (self.scale,) * dataset.count
        if self.geometry is not None:
            point = json.loads(self.geometry.header).get("AREA_OR_POINT")
            if point is not None:
                dataset.update_tags(AREA_OR_POINT=point)


@contextmanager
def _unplaced(rasterio: Any) -> Iterator[None]:
    """Write pictures that lie nowhere without being warned of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield
