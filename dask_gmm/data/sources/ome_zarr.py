"""OME-Zarr 0.4 and 0.5: an image of several resolutions, whose channels are the features."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dask_gmm.data.folders import Folder, open_folder
from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import GridSource
from dask_gmm.data.sources.openers import aligned, place_of, rows_of
from dask_gmm.data.stored import resolve_feature_axis
from dask_gmm.data.zarr_array import ZarrArray
from dask_gmm.data.zarr_hierarchy import locate_member, node_kind
from dask_gmm.errors import ConfigurationError, InputDataError


@dataclass(frozen=True)
class _Image:
    """What the metadata of a group say of its image.

    Parameters
    ----------
    version : str
    axes : tuple of mapping
        Name, type and unit of every axis.
    levels : tuple of str
        Paths of the arrays, the finest first.
    transforms : tuple of list
        Of every level, those of the whole image behind it.
    channels : tuple of str
        Their labels, where there are any.
    """

    version: str
    axes: tuple[Mapping[str, Any], ...]
    levels: tuple[str, ...]
    transforms: tuple[list[Mapping[str, Any]], ...]
    channels: tuple[str, ...]

    @classmethod
    def of(cls, said: Mapping[str, Any], version: str) -> _Image:
        first = said["multiscales"][0]
        whole = first.get("coordinateTransformations") or []
        axes = [{"name": each} if isinstance(each, str) else each for each in first["axes"]]
        if not all(isinstance(each["name"], str) for each in axes):
            raise TypeError("an axis without a name")
        datasets = first["datasets"]
        channels = said.get("omero", {}).get("channels", [])
        return cls(
            version,
            tuple(axes),
            tuple(str(each["path"]) for each in datasets),
            tuple([*(each.get("coordinateTransformations") or []), *whole] for each in datasets),
            _different(str(each.get("label", "")) for each in channels),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis["name"] for axis in self.axes)

    @property
    def channel_axis(self) -> int | None:
        found = (i for i, a in enumerate(self.axes) if a.get("type") == "channel")
        return next(found, self.names.index("c") if "c" in self.names else None)

    def place(self, level: int) -> tuple[list[float], list[float]]:
        """Return scale and translation of every axis of a level."""
        scale, start = [1.0] * len(self.axes), [0.0] * len(self.axes)
        for each in self.transforms[level]:
            if each.get("type") == "scale":
                scale = [a * float(b) for a, b in zip(scale, each["scale"], strict=True)]
                start = [a * float(b) for a, b in zip(start, each["scale"], strict=True)]
            elif each.get("type") == "translation":
                start = [a + float(b) for a, b in zip(start, each["translation"], strict=True)]
        return scale, start


def _different(names: Iterable[str]) -> tuple[str, ...]:
    """Return names that tell things apart; none where they do not."""
    found = tuple(names)
    return found if all(found) and len(set(found)) == len(found) else ()


def open_ome_zarr(options: SourceOptions) -> GridSource:
    """Open a level of an image; by default the finest.

    `variable` names another level, by its path or number. Features are the channels where
    `feature_axis` is left at its default, named by their labels; an image without channels has one
    feature.
    """
    place = place_of(options)
    folder = open_folder(place, options.storage_options)
    image = _image(folder)
    level = _level(options.variable, image, folder)
    member = locate_member(folder, image.levels[level], "source.variable")
    array, attributes = ZarrArray.open(member, options.missing_chunks)
    if len(array.shape) != len(image.axes):
        raise InputDataError(
            f"{array.name}: has shape {array.shape}, but the image's metadata name the axes "
            f"{', '.join(image.names)}; mend them"
        )
    array = replace(array, layout=replace(array.layout, names=image.names))
    if options.feature_axis == -1:
        options = replace(options, feature_axis=image.channel_axis)
    told = {**attributes, "feature_names": list(image.channels)}
    if resolve_feature_axis(options.feature_axis, array) != image.channel_axis:
        told.pop("feature_names")
    source = rows_of(array, told, replace(options, variable=image.levels[level]), place)
    geometry = _geometry(image, level, source.feature_axis)
    return aligned(replace(source, geometry=geometry), options, [attributes])


def _image(folder: Folder) -> _Image:
    """Read what a group says of its image.

    Raises
    ------
    InputDataError
        If it is no image of OME-Zarr.
    """
    said = dict[str, Any]()
    if node_kind(folder) == "group":
        said = _attributes(folder)
    newer = said.get("ome")
    if isinstance(newer, dict):
        said = newer
    if "multiscales" not in said:
        inside = [name for name in folder.children() if "multiscales" in _peek(folder.child(name))]
        raise InputDataError(
            f"{folder.name}: is no image of OME-Zarr (no multiscales)"
            + (f"; the images in it are {', '.join(inside)}: name one in source.path" if inside
               else "; open a plain array by kind: zarr")
        )  # fmt: skip
    try:
        version = said.get("version") or said["multiscales"][0].get("version") or "0.4"
        return _Image.of(said, str(version))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputDataError(
            f"{folder.name}: the image's metadata are damaged ({type(error).__name__}: {error}); "
            "mend them: multiscales need axes and datasets"
        ) from error


def _attributes(folder: Folder) -> dict[str, Any]:
    """Return the attributes of a group, format 2 or 3."""
    newer = folder.read("zarr.json")
    document = folder.read(".zattrs") if newer is None else newer
    try:
        found = json.loads(document or b"{}")
        found = found if newer is None else found.get("attributes", {})
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputDataError(
            f"{folder.name}: its attributes are not readable JSON ({error}); restore the file"
        ) from error
    return found if isinstance(found, dict) else {}


def _peek(folder: Folder) -> Mapping[str, Any]:
    try:
        said = _attributes(folder)
    except InputDataError:
        return {}
    newer = said.get("ome", said)
    return newer if isinstance(newer, dict) else {}


def _level(wanted: str | None, image: _Image, folder: Folder) -> int:
    if wanted is None:
        return 0
    if wanted in image.levels:
        return image.levels.index(wanted)
    if wanted.isdigit() and int(wanted) < len(image.levels):
        return int(wanted)
    raise ConfigurationError(
        f"source.variable: found {wanted!r}, but {folder.name} has the levels "
        f"{', '.join(image.levels)}, the finest first; name one, or leave it null for the finest"
    )


def _geometry(image: _Image, level: int, feature_axis: int | None) -> Geometry:
    try:
        scale, start = image.place(level)
    except (KeyError, TypeError, ValueError) as error:
        raise InputDataError(
            f"OME-Zarr level {image.levels[level]}: its coordinateTransformations are damaged "
            f"({type(error).__name__}: {error}); mend them"
        ) from error
    axes = _axes(image.axes, scale, start)
    leading = tuple(axis for i, axis in enumerate(axes) if i != feature_axis)
    return Geometry(axes=leading, header=json.dumps({"ome-zarr": image.version}))


def _axes(
    told: Sequence[Mapping[str, Any]], scale: Sequence[float], start: Sequence[float]
) -> list[Axis]:
    kinds = ("space", "time")
    return [
        Axis(
            axis["name"],
            axis["type"] if axis.get("type") in kinds else None,
            axis.get("unit"),
            step if math.isfinite(step) else None,
            first,
        )
        for axis, step, first in zip(told, scale, start, strict=True)
    ]
