"""The sinks of every kind of output: from the forms of some outputs and their source, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import Sink
from dask_gmm.data.sources import Source
from dask_gmm.errors import ConfigurationError
from dask_gmm.run.forms import Form

if TYPE_CHECKING:
    from dask_gmm.data.sinks.joined import Writer


def _zarr(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.zarr import ZarrSink

    return {
        name: ZarrSink.create(
            path,
            _grid(path, source),
            form.trailing,
            form.dtype,
            form.masked,
            {"dask_gmm": name, **form.attributes},
            again=again,
        )
        for name, form in own.items()
    }


def _npy(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.npy import NpySink

    return {
        name: NpySink.create(path, _grid(path, source), form.trailing, form.dtype, again=again)
        for name, form in own.items()
    }


def _ome_zarr(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.ome_zarr import OmeZarrSink

    return {
        name: OmeZarrSink.create(
            path,
            _grid(path, source),
            form.trailing,
            form.dtype,
            form.masked,
            source.geometry,
            colors=form.colors,
            attributes=form.attributes,
            again=again,
        )
        for name, form in own.items()
    }


def _parquet(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.parquet import Part, create_parquet_sinks
    from dask_gmm.data.sources.parquet import ParquetSource

    if not isinstance(source, ParquetSource):
        raise ConfigurationError(f"{path}: an array's results are no table; allowed: zarr, npy")
    parts = [Part(name, form.columns, np.dtype(form.dtype)) for name, form in own.items()]
    return create_parquet_sinks(path, parts, source, keep, again=again)


def _joined(
    writer: Callable[[Path, str, Form, Source], Writer],
) -> Callable[..., Mapping[str, Sink]]:
    """Return what creates outputs that become one file each, written by ``writer``."""

    def create(
        path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
    ) -> Mapping[str, Sink]:
        from dask_gmm.data.sinks.joined import JoinedSink

        return {
            name: JoinedSink.create(
                path,
                _grid(path, source),
                form.trailing,
                form.dtype,
                writer(path, name, form, source),
                again=again,
            )
            for name, form in own.items()
        }

    return create


def _geotiff(path: Path, name: str, form: Form, source: Source) -> Writer:
    from dask_gmm.data.sinks.geotiff import GeoTiffWriter

    return GeoTiffWriter(source.geometry, form.masked, form.columns, form.colors, form.scale)


def _image(path: Path, name: str, form: Form, source: Source) -> Writer:
    from dask_gmm.data.sinks.png import PngWriter
    from dask_gmm.data.sinks.tiff import TiffWriter

    kind = PngWriter if path.suffix.lower() == ".png" else TiffWriter
    return kind(form.colors)


def _nifti(path: Path, name: str, form: Form, source: Source) -> Writer:
    from dask_gmm.data.sinks.nifti import NiftiWriter

    return NiftiWriter.of(path, source.geometry, classes=bool(form.colors), scale=form.scale)


def _netcdf(path: Path, name: str, form: Form, source: Source) -> Writer:
    from dask_gmm.data.sinks.netcdf import NetcdfWriter

    return NetcdfWriter.of(path, source.geometry, name, form.scale, form.masked)


def _grid(path: Path, source: Source) -> Grid:
    """Return the grid of an array; a table has none."""
    grid = source.grid
    if not isinstance(grid, Grid):
        raise ConfigurationError(f"{path}: a table's results are no array; allowed: parquet")
    return grid


#: From a kind of output to what creates sinks of it: called with the path, the forms of the outputs
#: that lie there by name, the source (of many inputs each one, in a call of its own), the columns
#: to be carried through, and whether they were created before.
CREATE: dict[str, Callable[..., Mapping[str, Sink]]] = {
    "zarr": _zarr,
    "npy": _npy,
    "geotiff": _joined(_geotiff),
    "image": _joined(_image),
    "nifti": _joined(_nifti),
    "ome-zarr": _ome_zarr,
    "netcdf": _joined(_netcdf),
    "parquet": _parquet,
}
