"""From the configuration's `source` section to a source of GeoTIFF: bands, nodata, geometry."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dask_gmm.data.folders import is_url
from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.data.raster import RasterArray, blocks_never_written, raster
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import AlignedSource, GridSource, Mask
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.data.sources.openers import aligned, place_of, resolve_columns
from dask_gmm.data.sources.packing import require_possible, unpacked, without_nodata
from dask_gmm.data.stored import StoredArray
from dask_gmm.errors import ConfigurationError, InputDataError

log = logging.getLogger(__name__)

#: Whether coordinates are meant of a pixel's area or its centre: GDAL tells it as a tag.
_POINT = "AREA_OR_POINT"


def open_geotiff(options: SourceOptions) -> GridSource:
    """Open a GeoTIFF: its bands are the features, alpha is a mask.

    Rows hold values: what is stored times the band's scale plus its offset. Pixels are left out by
    the declared nodata value (in any band), by an alpha band or the file's own mask, and, where
    none of these is declared, by zeros in all bands if they reach into two corners or more: the
    frame of a scene that was turned north-up.
    """
    path = place_of(options)
    if is_url(path):
        raise ConfigurationError(
            f"source.path: found {path!r}; a GeoTIFF must be a file that every worker sees: copy "
            "it, or store it as Zarr"
        )
    with raster(path) as dataset:
        bands = [i for i in dataset.indexes if not _is_alpha(dataset, i)]
        names = tuple(dataset.descriptions[i - 1] or f"B{i}" for i in bands)
        columns = None
        if options.columns is not None:
            columns = resolve_columns(options.columns, len(bands), names, path)
        chosen = range(len(bands)) if columns is None else columns
        geometry = geometry_of(dataset, [bands[i] for i in chosen])
        missing = [] if geometry.nodata is not None else blocks_never_written(dataset, bands)
        if missing and options.missing_chunks == "error":
            raise InputDataError(
                f"{path}: {len(missing):,} blocks were never written and no nodata value is "
                f"declared, the first is {missing[0]}; write them, declare the value, or set "
                "source.missing_chunks: fill to read zeros"
            )
        stored = RasterArray.of_dataset(dataset, bands, missing)
        own_mask = _own_mask(dataset, bands) if options.nodata == "auto" else None
        scales, offsets = (
            [each[i - 1] for i in bands] for each in (dataset.scales, dataset.offsets)
        )
    array: StoredArray = stored
    declared = [] if geometry.nodata is None else [geometry.nodata]
    known: list[dict[str, Any]] = [{"nodata": geometry.nodata}]
    look_for_frame, step = options.nodata == "auto" and not declared, None
    if geometry.scaling is not None:
        require_possible(options.nodata, [stored], path)
        decoded = unpacked(stored, tuple(scales), tuple(offsets), declared, options.nodata)
        array, step, options, known = decoded, decoded.step, without_nodata(options), []
    source = ArraySource(
        options.kind,
        path,
        None,
        array,
        0,
        columns,
        tuple(names[i] for i in chosen),
        geometry,
        step,
    )
    found = aligned(source, options, known)
    if own_mask is not None:
        return _and_mask(found, own_mask)
    if look_for_frame and _has_blank_corners(stored, list(chosen)):
        log.warning(
            "%s: declares no value for no data, and two or more of its corners are zero in every "
            "band: pixels that are zero in all bands are left out (source.nodata: null keeps them)",
            path,
        )
        return _and_blank(found, tuple(offsets[i] for i in chosen))
    return found


def open_plane(path: str) -> RasterArray:
    """Open a raster of one band as an array of rows and columns: a mask, or weights.

    Raises
    ------
    ConfigurationError
        If it has several bands.
    """
    with raster(path) as dataset:
        if dataset.count != 1:
            raise ConfigurationError(
                f"{path}: has {dataset.count} bands; a mask or weights are a file of one"
            )
        return RasterArray.of_dataset(dataset, (1,), plane=True)


def geometry_of(dataset: Any, bands: Sequence[int]) -> Geometry:
    """Return where the pixels of an open dataset lie, and what its chosen bands declare."""
    crs, t = dataset.crs, dataset.transform
    unit: str | None = None
    if crs is not None:
        unit = "degree" if crs.is_geographic else crs.linear_units
        unit = None if unit == "unknown" else unit
    placed = crs is not None or not t.is_identity
    upright = placed and t.b == 0 and t.d == 0
    kind = "space"
    axes = (
        Axis("y", kind, unit, t.e if upright else None, t.f + t.e / 2 if upright else None),
        Axis("x", kind, unit, t.a if upright else None, t.c + t.a / 2 if upright else None),
    )
    scaling = tuple((dataset.scales[i - 1], dataset.offsets[i - 1]) for i in bands)
    values = {repr(v): v for v in (dataset.nodatavals[i - 1] for i in bands) if v is not None}
    return Geometry(
        axes=axes,
        crs=None if crs is None else crs.to_wkt(),
        transform=tuple(t)[:6] if placed else None,
        nodata=next(iter(values.values()), None),
        scaling=scaling if any(each != (1.0, 0.0) for each in scaling) else None,
        header=json.dumps({key: value for key, value in dataset.tags().items() if key == _POINT}),
    )


def _is_alpha(dataset: Any, band: int) -> bool:
    """Tell whether a band is coverage.

    GDAL takes the fourth of four bands of 8 bits for alpha unless told otherwise; one that has a
    name of its own, nir, is none.
    """
    name = dataset.descriptions[band - 1] or "alpha"
    return dataset.colorinterp[band - 1].name == "alpha" and "alpha" in name.lower()


def _own_mask(dataset: Any, bands: Sequence[int]) -> Mask | None:
    """Return what the file says of its pixels apart from their values: alpha, or a mask."""
    alpha = [band for band in dataset.indexes if band not in bands]
    flags = {flag.name for band in bands for flag in dataset.mask_flag_enums[band - 1]}
    if alpha:
        log.info("%s: its alpha band is taken for a mask, not for a feature", dataset.name)
    elif "per_dataset" not in flags or "alpha" in flags:
        return None
    return Mask(RasterArray.of_dataset(dataset, alpha[:1], plane=True), "nonzero")


def _and_mask(source: GridSource, mask: Mask) -> GridSource:
    if isinstance(source, AlignedSource):
        return replace(source, masks=(*source.masks, mask))
    return AlignedSource(source, (mask,))


def _and_blank(source: GridSource, blank: tuple[float, ...]) -> GridSource:
    if isinstance(source, AlignedSource):
        return replace(source, blank=blank)
    return AlignedSource(source, blank=blank)


def _has_blank_corners(array: RasterArray, chosen: list[int]) -> bool:
    """Tell whether two corners are zero in all of several bands of integers."""
    if len(chosen) < 2 or array.dtype.kind not in "iu":
        return False
    height, width = array.shape[1:]
    if min(height, width) < 4:
        return False
    corners = [
        array.read((slice(0, array.shape[0]), rows, columns))
        for rows in (slice(0, 2), slice(height - 2, height))
        for columns in (slice(0, 2), slice(width - 2, width))
    ]
    return sum(not corner[chosen].any() for corner in corners) >= 2
