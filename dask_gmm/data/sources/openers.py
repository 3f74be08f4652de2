"""From the configuration's `source` section to sources of arrays: Zarr and npy."""

from __future__ import annotations

import base64
import binascii
import difflib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dask_gmm.data.folders import is_url, located, open_folder
from dask_gmm.data.npy_array import NpyArray
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import (
    AlignedSource,
    GridSource,
    open_mask,
    open_weights,
    possible_nodata,
)
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.data.sources.bands import BandSource
from dask_gmm.data.stored import StoredArray, resolve_feature_axis
from dask_gmm.data.zarr_array import ZarrArray
from dask_gmm.data.zarr_hierarchy import locate_array, locate_member, node_kind
from dask_gmm.errors import ConfigurationError

#: Attributes that declare the value for no data, in the order in which they are asked. The array's
#: own fill value is none of them: nearly every array has 0 there.
NODATA_ATTRIBUTES = ("_FillValue", "missing_value", "nodata")
#: How masks and weights are called that are pictures.
PLANES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


def open_zarr(options: SourceOptions) -> GridSource:
    """Open a Zarr array, or the arrays of a group that are its bands."""
    if options.missing_chunks not in ("error", "fill"):
        raise ConfigurationError(
            f"source.missing_chunks: found {options.missing_chunks!r}; allowed: error, fill"
        )
    place = place_of(options)
    folder = open_folder(place, options.storage_options)
    if options.columns is not None and options.variable is None and node_kind(folder) == "group":
        return _open_bands(options, place)
    array, attributes = ZarrArray.open(
        locate_array(folder, options.variable), options.missing_chunks
    )
    return aligned(rows_of(array, attributes, options, place), options, [attributes])


def open_npy(options: SourceOptions) -> GridSource:
    """Open a NumPy file."""
    place = place_of(options)
    if is_url(place):
        raise ConfigurationError(
            f"source.path: found {place!r}; a .npy file is mapped into memory and must be a local "
            "file: copy it here, or store the array as Zarr"
        )
    return aligned(rows_of(NpyArray.open(place), {}, options, place), options, [])


def place_of(options: SourceOptions) -> str:
    """Return the one absolute path or URL that a section names."""
    if not isinstance(options.path, str):
        raise ConfigurationError(
            f"source.path: found a list; allowed is one path, as source.kind is {options.kind}"
        )
    return located(options.path, options.directory)


def _open_bands(options: SourceOptions, place: str) -> GridSource:
    group = open_folder(place, options.storage_options)
    if options.feature_axis not in (-1, None):
        raise ConfigurationError(
            f"source.feature_axis: found {options.feature_axis!r}, but {place} is a group whose "
            "arrays are the features; remove it"
        )
    names = list[str]()
    for each in options.columns or ():
        if not isinstance(each, str):
            raise ConfigurationError(
                f"source.columns: found {each!r}, but {place} is a group; allowed are the names of "
                "its arrays"
            )
        names.append(each.strip("/"))
    _refuse_repeated(names)
    opened = [
        ZarrArray.open(locate_member(group, name, "source.columns"), options.missing_chunks)
        for name in names
    ]
    bands = [array for array, _ in opened]
    first = bands[0]
    for name, band in zip(names, bands, strict=True):
        for what in ("shape", "objects"):
            if getattr(band, what) != getattr(first, what):
                word = "shape" if what == "shape" else "chunks (or shards)"
                raise ConfigurationError(
                    f"source.columns: {first.name} has {word} {getattr(first, what)}, but {name} "
                    f"has {getattr(band, what)}; bands must be of equal shape and chunks: store "
                    "them alike"
                )
    source = BandSource(place, tuple(bands), tuple(names))
    return aligned(source, options, [attributes for _, attributes in opened])


def rows_of(
    array: StoredArray, attributes: Mapping[str, Any], options: SourceOptions, place: str
) -> ArraySource:
    """Take an array as rows: its feature axis found, the features chosen and named."""
    axis = resolve_feature_axis(options.feature_axis, array)
    n_features = 1 if axis is None else array.shape[axis]
    names = _feature_names(attributes.get("feature_names"), n_features)
    columns = None
    if options.columns is not None:
        columns = resolve_columns(options.columns, n_features, names, array.name)
        if axis is None:
            columns = None  # the only feature there is
        names = names and tuple(names[column] for column in columns or range(n_features))
    return ArraySource(options.kind, place, options.variable, array, axis, columns, names)


def resolve_columns(
    columns: Sequence[int | str], n_features: int, names: tuple[str, ...] | None, where: str
) -> tuple[int, ...]:
    """Return features given by number (negative ones from the end) or by name as numbers.

    Raises
    ------
    ConfigurationError
        If there is no such feature, or one is named twice.
    """
    numbers = []
    for each in columns:
        if isinstance(each, str):
            if names is None or each not in names:
                close = difflib.get_close_matches(each, names or (), n=1)
                raise ConfigurationError(
                    f"source.columns: found {each!r}, but {where} "
                    + (
                        f"names its features {', '.join(names)}"
                        if names
                        else "does not name its features (attribute feature_names)"
                    )
                    + (
                        f"; did you mean {close[0]!r}?"
                        if close
                        else f"; allowed are also the numbers 0 to {n_features - 1}"
                    )
                )
            numbers.append(names.index(each))
        elif -n_features <= each < n_features:
            numbers.append(each % n_features)
        else:
            raise ConfigurationError(
                f"source.columns: found {each}, but {where} has {n_features} features; allowed: "
                f"{-n_features} to {n_features - 1}"
            )
    _refuse_repeated(numbers)
    return tuple(numbers)


def _refuse_repeated(columns: Sequence[int | str]) -> None:
    if not columns:
        raise ConfigurationError("source.columns: is empty; name a feature, or set it to null")
    twice = [each for each in columns if columns.count(each) > 1]
    if twice:
        raise ConfigurationError(
            f"source.columns: {twice[0]!r} is there twice, and equal features make covariances "
            "singular; name each once"
        )


def aligned(
    source: GridSource, options: SourceOptions, attributes: Sequence[Mapping[str, Any]]
) -> GridSource:
    """Lay mask, weights and nodata over a source, where there are any.

    Parameters
    ----------
    source : GridSource
    options : SourceOptions
    attributes : sequence of mapping
        Per array that is read, what declares its value for no data: see `NODATA_ATTRIBUTES`.
    """
    nodata = _nodata(options.nodata, source, attributes)
    mask = weights = None
    if options.mask is not None:
        mask = open_mask(open_beside(options.mask.path, options), options.mask.keep, source)
    if options.weights is not None:
        weights = open_weights(open_beside(options.weights, options), source)
    if mask is None and weights is None and not nodata:
        return source
    return AlignedSource(source, () if mask is None else (mask,), weights, nodata)


def open_beside(path: str, options: SourceOptions) -> StoredArray:
    """Open what lies beside an input: a mask, weights, a map."""
    place = located(path, options.directory)
    if Path(place).suffix.lower() in PLANES and not is_url(place):
        from dask_gmm.data.sources.image import open_plane

        return open_plane(place, options.kind)
    if place.lower().endswith((".nii", ".nii.gz")) and not is_url(place):
        from dask_gmm.data.nifti_array import open_nifti_array

        return open_nifti_array(place)[0]
    if place.endswith(".npy") and not is_url(place):
        return NpyArray.open(place)
    folder = locate_array(open_folder(place, options.storage_options), None)
    return ZarrArray.open(folder, options.missing_chunks)[0]


def _nodata(
    wanted: Any, source: GridSource, attributes: Sequence[Mapping[str, Any]]
) -> tuple[float, ...]:
    """Return the values for no data, in stored units."""
    if wanted is None:
        return ()
    if wanted == "auto":
        declared = [_declared(each, source) for each in attributes]
        all_values = {value for each in declared for value in each}
        if len({frozenset(map(repr, each)) for each in declared}) > 1:
            raise ConfigurationError(
                f"source.nodata: auto, but the bands of {source.path} declare different values "
                f"({sorted(all_values)}); give a number or list that holds for all, or null"
            )
        return possible_nodata(sorted(all_values), source.dtype)
    values = wanted if isinstance(wanted, list | tuple) else (wanted,)
    possible = possible_nodata(values, source.dtype)
    if len(possible) < len(values):
        raise ConfigurationError(
            f"source.nodata: found {wanted!r}, which {source.path} (dtype {source.dtype}) cannot "
            "hold; allowed are values of that dtype, in stored units"
        )
    return possible


def _declared(attributes: Mapping[str, Any], source: GridSource) -> tuple[float, ...]:
    """Return what an array's attributes declare; xarray writes floats as base64 into format 3."""
    for name in NODATA_ATTRIBUTES:
        value = attributes.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            value = _decoded(value)
        values = value if isinstance(value, list) else [value]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            return tuple(values)
        raise ConfigurationError(
            f"source.nodata: auto, but {source.path} has the attribute {name} = "
            f"{attributes[name]!r}, which is no number; set source.nodata to null or to numbers"
        )
    return ()


def _decoded(text: str) -> float | None:
    special = {"nan": float("nan"), "infinity": float("inf"), "-infinity": float("-inf")}
    if text.lower() in special:
        return special[text.lower()]
    try:
        return float(struct.unpack("<d", base64.standard_b64decode(text.encode()))[0])
    except (binascii.Error, struct.error, UnicodeEncodeError):
        return None


def _feature_names(attribute: Any, n_features: int) -> tuple[str, ...] | None:
    if not isinstance(attribute, list) or len(attribute) != n_features:
        return None
    return tuple(attribute) if all(isinstance(name, str) for name in attribute) else None
