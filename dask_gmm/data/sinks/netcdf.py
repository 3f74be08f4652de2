"""Results of NetCDF as NetCDF: the input's dimensions and coordinates, none of its packing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.netcdf_array import netcdf_file
from dask_gmm.data.sinks.joined import Parts
from dask_gmm.errors import ConfigurationError, RunFailedError

#: What belongs to a result as it did to the input; scale, offset, units and ranges do not.
_CARRIED = ("grid_mapping", "coordinates")
#: Where a coordinate names the variable of its cells' borders.
_BORDERS = ("bounds", "edges", "climatology")
#: Of a coordinate that are copied together: one over latitude and longitude may be large.
COPIED_BYTES = 16 << 20


@dataclass(frozen=True)
class NetcdfWriter:
    """How a file with one result is written.

    Parameters
    ----------
    name : str
        Of the result, and of its variable.
    dims : tuple of str
        Of the leading axes.
    input_path, variable : str
        What the results are of: coordinates are copied from there, as they are stored.
    scale : float or None
        What a stored number is multiplied by; None: it is the value itself.
    masked : float
        The number that stands for no data, where there is a scale.
    """

    name: str
    dims: tuple[str, ...]
    input_path: str
    variable: str
    scale: float | None = None
    masked: float = 0.0

    @classmethod
    def of(
        cls,
        path: Path,
        geometry: Geometry | None,
        name: str,
        scale: float | None = None,
        masked: float = 0.0,
    ) -> NetcdfWriter:
        """Return the writer for a result at `path` of an input that lies at `geometry`.

        Raises
        ------
        ConfigurationError
            If the input is no NetCDF.
        """
        said = {} if geometry is None else json.loads(geometry.header)
        if geometry is None or "netcdf" not in said:
            raise ConfigurationError(
                f"{path}: only results of a NetCDF file can be one; set kind: same"
            )
        dims = tuple(axis.name or f"axis_{i}" for i, axis in enumerate(geometry.axes))
        return cls(name, dims, said["netcdf"], said["variable"], scale, masked)

    def write(self, path: Path, parts: Parts) -> None:
        """Write the file, every chunk whole and once.

        Raises
        ------
        RunFailedError
            If the library refuses: of a full disk it says no more than "HDF error".
        """
        try:
            self._write(path, parts)
        except RuntimeError as error:
            raise RunFailedError(
                f"{path.parent}: a NetCDF file cannot be written there ({error}); make room or "
                "make it writable, then start again"
            ) from error

    def _write(self, path: Path, parts: Parts) -> None:
        with (
            netcdf_file(self.input_path) as source,
            netcdf_file(str(path), "w", format="NETCDF4") as target,
        ):
            target.setncatts({"Conventions": "CF-1.11", "source": "dask-gmm"})
            for dim, length in zip(self.dims, parts.grid.shape, strict=True):
                target.createDimension(dim, length)
            said = _copy_coordinates(source[self.variable], target, set(self.dims))
            regions = parts.runs()
            chunks = [span.stop - span.start for span in regions[0]]
            variable = target.createVariable(
                self.name,
                parts.dtype.newbyteorder("="),
                (*self.dims, *self._trailing(target, parts)),
                zlib=True,
                complevel=1,
                fletcher32=True,
                chunksizes=(*chunks, *(1 for _ in parts.trailing)),
                fill_value=self._fill_value(parts),
            )
            variable.setncatts(said | self._attributes(parts))
            variable.set_auto_maskandscale(False)
            for region in regions:
                variable[region] = parts.read(region)

    def _trailing(self, target: Any, parts: Parts) -> list[str]:
        """Make the dimension of the components, where there is one."""
        names = ["component", "mixture_component"][: len(parts.trailing)]
        if names and names[0] in target.dimensions:
            names = ["mixture_component"]
        for name, length in zip(names, parts.trailing, strict=True):
            target.createDimension(name, length)
            numbers = target.createVariable(name, np.int32, (name,))
            numbers.long_name = "label of the class"
            numbers[:] = np.arange(1, length + 1)
        return names

    def _fill_value(self, parts: Parts) -> float | bool:
        if self.scale is not None:
            return self.masked
        return np.nan if parts.dtype.kind == "f" else False

    def _attributes(self, parts: Parts) -> dict[str, Any]:
        if self.name != "labels":
            packed = {} if self.scale is None else {"scale_factor": self.scale, "add_offset": 0.0}
            return {"long_name": self.name.replace("_", " "), "units": "1", **packed}
        return {"long_name": "class, 0 where masked", "units": "1"}


def _copy_coordinates(variable: Any, target: Any, dims: set[str]) -> dict[str, str]:
    """Copy what tells where the pixels lie; return the attributes that a result needs for it."""
    said = {name: variable.getncattr(name) for name in _CARRIED if name in variable.ncattrs()}
    named = [*said.get("coordinates", "").split(), *_grid_mappings(said.get("grid_mapping", ""))]
    for name in [*sorted(dims), *named]:
        _copy(_found(variable.group(), name), target, dims)
    present = [name for name in named if name in target.variables]
    coordinates = " ".join(n for n in said.get("coordinates", "").split() if n in present)
    return {
        **({"grid_mapping": said["grid_mapping"]} if "grid_mapping" in said else {}),
        **({"coordinates": coordinates} if coordinates else {}),
    }


def _grid_mappings(text: str) -> list[str]:
    """Return the variables that an attribute names: `crs`, or `crs: x y other: lat lon`."""
    words = text.split()
    keyed = [word.rstrip(":") for word in words if word.endswith(":")]
    return keyed or words


def _copy(variable: Any, target: Any, dims: set[str]) -> None:
    """Copy a variable as it is stored, and the borders of its cells; not one over lost axes."""
    if variable is None or variable.name in target.variables:
        return
    letters = {variable.dimensions[-1]} if variable.dtype == "S1" and variable.ndim else set()
    if not set(variable.dimensions) <= dims | letters:
        return
    for dim in variable.get_dims():
        if dim.name not in target.dimensions:
            target.createDimension(dim.name, len(dim))
    attributes = {name: variable.getncattr(name) for name in variable.ncattrs()}
    fill = attributes.pop("_FillValue", None)
    kind = str if variable.dtype is str else variable.dtype.newbyteorder("=")
    copied = target.createVariable(variable.name, kind, variable.dimensions, fill_value=fill)
    copied.set_auto_maskandscale(False)
    copied.setncatts(attributes)
    for part in _parts(variable):
        copied[part] = variable[part]
    for each in _borders(variable):
        own = set(each.dimensions) - dims
        if len(own) <= 1:
            _copy(each, target, dims | own)


def _parts(variable: Any) -> Iterator[Any]:
    """Cut a variable along its first axis, so that little of it is in memory at a time."""
    if not variable.ndim:
        yield ...
        return
    itemsize = 64 if variable.dtype is str else variable.dtype.itemsize
    n = variable.shape[0]
    together = max(1, COPIED_BYTES * n // max(1, variable.size * itemsize))
    for start in range(0, n, together):
        yield slice(start, min(start + together, n))


def _borders(variable: Any) -> Iterator[Any]:
    for name in _BORDERS:
        if name in variable.ncattrs():
            found = _found(variable.group(), str(variable.getncattr(name)))
            if found is not None:
                yield found


def _found(group: Any, name: str) -> Any:
    """Return a variable that is visible from a group; None where there is none."""
    while group is not None:
        if name in group.variables:
            return group.variables[name]
        group = group.parent
    return None
