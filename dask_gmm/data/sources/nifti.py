"""NIfTI volumes: voxels are rows, the volumes along a fourth axis are features."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from dask_gmm.data.folders import is_url
from dask_gmm.data.geometry import Affine, Axis, Geometry
from dask_gmm.data.nifti_array import open_nifti_array
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import GridSource
from dask_gmm.data.sources.openers import aligned, place_of, rows_of
from dask_gmm.data.sources.packing import require_possible, unpacked, without_nodata
from dask_gmm.data.stored import StoredArray
from dask_gmm.errors import ConfigurationError

#: The axes of space: the format has exactly these three in front.
_SPACE = 3
_UNITS = {"mm": "millimetre", "meter": "metre", "micron": "micrometer", "sec": "second"}


def open_nifti(options: SourceOptions) -> GridSource:
    """Open a .nii or .nii.gz file.

    The last axis holds the features only where it is not one of space: a volume of three axes has
    one feature, whatever `feature_axis` is by default.
    """
    place = place_of(options)
    if is_url(place):
        raise ConfigurationError(
            f"source.path: found {place!r}; a NIfTI volume is mapped into memory and must be a "
            "local file: copy it here"
        )
    stored, image = open_nifti_array(place)
    if options.feature_axis == -1 and len(stored.shape) <= _SPACE:
        options = replace(options, feature_axis=None)
    slope, offset = image.dataobj.slope, image.dataobj.inter
    array: StoredArray = stored
    step = None
    attributes: dict[str, Any] = {}
    if (slope, offset) != (1.0, 0.0):
        require_possible(options.nodata, [stored], place)
        decoded = unpacked(stored, float(slope), float(offset), (), options.nodata)
        array, step, options = decoded, decoded.step, without_nodata(options)
    source = rows_of(array, attributes, options, place)
    geometry = _geometry(image, source.feature_axis)
    return aligned(replace(source, geometry=geometry, step=step), options, [attributes])


def _geometry(image: Any, feature_axis: int | None) -> Geometry:
    """Return where the voxels lie: the affine, what the axes measure, and the whole header."""
    header = image.header
    units = [_UNITS.get(word) for word in header.get_xyzt_units()]
    kinds: list[tuple[str | None, str | None]] = [("space", units[0])] * _SPACE
    kinds += [("time", units[1])] + [(None, None)] * 3
    axes = [
        Axis(name, kind, unit, float(abs(step)) or None)
        for i, (name, step, (kind, unit)) in enumerate(
            zip("xyztuvw", header.get_zooms(), kinds, strict=False)
        )
        if i != feature_axis
    ]
    affine: Affine = tuple(
        (float(a), float(b), float(c), float(d)) for a, b, c, d in image.affine.tolist()
    )
    block = base64.b64encode(header.binaryblock).decode("ascii")
    version = type(header).__name__
    return Geometry(
        axes=tuple(axes),
        affine=affine,
        header=json.dumps({"nifti": block, "class": version, "endianness": header.endianness}),
    )
