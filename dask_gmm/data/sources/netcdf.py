"""NetCDF: one variable with named dimensions, or several as features, as the numbers they mean."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_gmm.data.decoded import DecodedArray
from dask_gmm.data.folders import is_url
from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.data.netcdf_array import NetcdfArray, netcdf_file
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import GridSource, possible_nodata
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.data.sources.bands import BandSource
from dask_gmm.data.sources.openers import aligned, place_of, resolve_columns
from dask_gmm.data.sources.packing import require_possible, unpacked, without_nodata
from dask_gmm.data.stored import StoredArray, resolve_feature_axis, step_of
from dask_gmm.errors import ConfigurationError

#: What CF calls space and time: `axis`, or the unit of a coordinate.
_KINDS = {"X": "space", "Y": "space", "Z": "space", "T": "time"}
_DEGREES = ("degrees_east", "degrees_north", "degree_east", "degree_north")


@dataclass(frozen=True)
class _Variable:
    """A variable, and what it says about its numbers."""

    array: NetcdfArray
    scale: float
    offset: float
    empty: tuple[float, ...]

    @classmethod
    def of(cls, path: str, variable: Any, beside: int) -> _Variable:
        import netCDF4

        array = NetcdfArray.of_variable(path, variable, beside)
        said = {name: variable.getncattr(name) for name in variable.ncattrs()}
        names = [name for name in ("_FillValue", "missing_value") if name in said]
        empty = [v for name in names for v in np.atleast_1d(said[name]).tolist()]
        if not names and array.dtype.itemsize > 1:
            # What was never written reads as this; of bytes every value may be meant.
            empty = [netCDF4.default_fillvals[variable.dtype.str[1:]]]
        unsigned = [v % 256**array.dtype.itemsize if array.dtype.kind == "u" else v for v in empty]
        return cls(
            array,
            float(said.get("scale_factor", 1.0)),
            float(said.get("add_offset", 0.0)),
            tuple(dict.fromkeys(possible_nodata(unsigned, array.dtype))),
        )

    @property
    def packed(self) -> bool:
        """Whether what is stored is not what is meant."""
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def step(self) -> float:
        """From one number that is meant to the next; 0 where floating point is stored."""
        return abs(self.scale) * step_of(self.array.dtype)

    def decoded(self, nodata: Any) -> DecodedArray:
        """Return the numbers that are meant; NaN where there is none."""
        return unpacked(self.array, self.scale, self.offset, self.empty, nodata)


def open_netcdf(options: SourceOptions) -> GridSource:
    """Open a variable of a NetCDF file, or those named by `columns`, each a feature.

    Numbers are read as CF packs them: times `scale_factor` plus `add_offset`. Values for no data
    (`_FillValue`, `missing_value`, else what the format fills with) are of each variable by itself.
    """
    place = place_of(options)
    if is_url(place):
        raise ConfigurationError(
            f"source.path: found {place!r}; a NetCDF file must be a local file: copy it here, or "
            "store it as Zarr"
        )
    features: tuple[str, ...] | None
    with netcdf_file(place) as dataset:
        known = _variables(dataset)
        names = _chosen(options, known, place)
        found = [_Variable.of(place, known[name], len(names)) for name in names]
        apart = len({each.empty for each in found}) > 1
        packed = apart or any(each.packed for each in found)
        arrays: list[StoredArray] = [each.array for each in found]
        if packed:
            require_possible(options.nodata, [each.array for each in found], place)
            arrays = [each.decoded(options.nodata) for each in found]
        steps = tuple(each.step for each in found) if packed else None
        if options.variable is None and options.columns is not None:
            _require_alike(found, place)
            axis, features = None, tuple(names)
        else:
            _require_no_place(options, dataset, found[0].array)
            axis = resolve_feature_axis(options.feature_axis, found[0].array)
            features = _names_along(dataset, found[0].array, axis)
        geometry = _geometry(dataset, found[0], names, axis)
    source: GridSource
    if options.variable is None and options.columns is not None:
        source = BandSource(place, tuple(arrays), features or (), geometry, "netcdf", steps)
    else:
        source = _rows(options, place, names[0], arrays[0], axis, features, geometry, steps)
    if not packed:
        return aligned(source, options, [{"_FillValue": list(found[0].empty)}])
    # What stands for no data is NaN by now, whatever it was.
    return aligned(source, without_nodata(options), [])


def _variables(dataset: Any) -> dict[str, Any]:
    """Return all variables by name, those of groups with '/'."""
    found = dict(dataset.variables)
    for name, group in dataset.groups.items():
        found |= {f"{name}/{inner}": each for inner, each in _variables(group).items()}
    return found


def _chosen(options: SourceOptions, known: dict[str, Any], place: str) -> list[str]:
    """Return the names of the variables that are read."""
    dims = {dim for each in known.values() for dim in each.dimensions}
    data = [name for name, each in known.items() if each.ndim and name.split("/")[-1] not in dims]
    if options.variable is not None:
        return [_known(options.variable, known, data, place, "source.variable")]
    if options.columns is None:
        if len(data) != 1:
            raise ConfigurationError(
                f"source.variable: found null, but {place} holds the variables "
                f"{', '.join(data) or 'none'}; name one of them, or several as features by "
                "source.columns"
            )
        return data
    if options.feature_axis not in (-1, None):
        raise ConfigurationError(
            f"source.feature_axis: found {options.feature_axis!r}, but source.columns names "
            "variables, each a feature; remove it, or name one variable by source.variable"
        )
    chosen = [_known(each, known, data, place, "source.columns") for each in options.columns]
    if len(set(chosen)) < len(chosen):
        raise ConfigurationError(
            "source.columns: names a variable twice, and equal features make covariances singular; "
            "name each once"
        )
    return chosen


def _known(name: Any, known: dict[str, Any], data: Sequence[str], place: str, key: str) -> str:
    if isinstance(name, str) and name.strip("/") in known:
        return name.strip("/")
    close = difflib.get_close_matches(str(name), data, n=1)
    raise ConfigurationError(
        f"{key}: found {name!r}, but {place} holds the variables {', '.join(data) or 'none'}"
        + (f"; did you mean {close[0]!r}?" if close else "; name one of them")
    )


def _require_alike(found: Sequence[_Variable], place: str) -> None:
    first = found[0].array
    for array in (each.array for each in found):
        if (array.dims, array.shape) != (first.dims, first.shape):
            raise ConfigurationError(
                f"source.columns: in {place}, {first.variable} lies along {first.dims} "
                f"{first.shape}, but {array.variable} along {array.dims} {array.shape}; features "
                "must share their dimensions, in the same order"
            )


def _require_no_place(options: SourceOptions, dataset: Any, array: NetcdfArray) -> None:
    """Refuse a last axis as features by default that is one of space or time, seldom meant so."""
    last = array.dims[-1]
    if options.feature_axis == -1 and _axis(dataset, last).kind is not None:
        raise ConfigurationError(
            f"source.feature_axis: found -1, its default, but {array.name}'s last dimension of "
            f"{', '.join(array.dims)} is one of space or time; set null for one feature, or name "
            "the dimension of the features"
        )


def _names_along(dataset: Any, array: NetcdfArray, axis: int | None) -> tuple[str, ...] | None:
    """Return the names of features from the coordinate of their axis: text, or the numbers."""
    if axis is None:
        return (array.variable,)
    found = dataset.variables.get(array.dims[axis])
    if found is None or found.dimensions != (array.dims[axis],):
        return None
    return tuple(f"{array.dims[axis]}={value}" if found.dtype is not str else str(value)
                 for value in found[:])  # fmt: skip


def _rows(
    options: SourceOptions,
    place: str,
    name: str,
    array: StoredArray,
    axis: int | None,
    features: tuple[str, ...] | None,
    geometry: Geometry,
    steps: tuple[float, ...] | None,
) -> ArraySource:
    columns = None
    if options.columns is not None and axis is not None:
        columns = resolve_columns(options.columns, array.shape[axis], features, array.name)
        features = features and tuple(features[column] for column in columns)
    step = None if steps is None else steps[0]
    return ArraySource("netcdf", place, name, array, axis, columns, features, geometry, step)


def _geometry(
    dataset: Any, first: _Variable, names: Sequence[str], feature_axis: int | None
) -> Geometry:
    """Return what the axes measure; results take coordinates from the file itself, by its path."""
    dims = [dim for i, dim in enumerate(first.array.dims) if i != feature_axis]
    like = {"netcdf": first.array.path, "variable": names[0]}
    nodata = first.empty[0] if first.empty else None
    return Geometry(
        axes=tuple(_axis(dataset, dim) for dim in dims), nodata=nodata, header=json.dumps(like)
    )


def _axis(dataset: Any, dim: str) -> Axis:
    """Return what the coordinate of a dimension says, where it has one."""
    found = dataset.variables.get(dim)
    if found is None or found.dimensions != (dim,) or found.dtype.kind not in "iuf":
        return Axis(dim)
    unit = getattr(found, "units", None)
    kind = _KINDS.get(getattr(found, "axis", ""))
    if unit in _DEGREES:
        kind, unit = "space", "degree"
    elif isinstance(unit, str) and " since " in unit:
        kind, unit = "time", unit.split(" since ")[0]
    values = np.asarray(found[:], dtype=np.float64)
    steps = np.diff(values)
    regular = len(steps) > 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0)
    step = float(steps.mean()) if regular else None
    return Axis(dim, kind, unit, step, float(values[0]))
