"""The outputs of a run: created, checked to be complete, finished, and described."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import RECORD, Sink, Unfinished
from dask_gmm.data.sinks.cells import halves
from dask_gmm.data.sinks.several import SeveralSink
from dask_gmm.data.sources import Source
from dask_gmm.data.sources.several import SeveralSource
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import ConfigurationError, RunFailedError
from dask_gmm.run.config import Config
from dask_gmm.run.config.sections import Output
from dask_gmm.run.directory import remove
from dask_gmm.run.forms import Form, forms_of, suffix_of
from dask_gmm.run.segment import Segmented

if TYPE_CHECKING:
    from dask_gmm.run.job import Job


def create_sinks(
    folder: Path, config: Config, source: Source, K: int, *, again: bool = False
) -> dict[str, Sink]:
    """Create the outputs below ``folder``, ready to be written cell by cell.

    With ``again`` they were created earlier, and what is written of them stays. Without it, what an
    interrupted run may have begun to create is removed.

    Returns
    -------
    dict of str to Sink
        By the outputs' names, in the contract's order.
    """
    written = config.written()
    together = dict[tuple[str, str], list[str]]()
    for name, output in written.items():
        together.setdefault((output.kind, output.path), []).append(name)
    sinks, form, keep = dict[str, Sink](), forms_of(config, K), config.outputs.keep
    for (kind, path), names in together.items():
        own = {name: form[name] for name in names}
        if not again:
            remove(folder / path)
        if isinstance(source, SeveralSource):
            sinks |= _several(kind, folder / path, own, source, keep, again)
        else:
            sinks |= _CREATE[kind](folder / path, own, source, keep, again)
    return {name: sinks[name] for name in written}


def _several(
    kind: str,
    path: Path,
    own: Mapping[str, Form],
    source: SeveralSource,
    keep: Sequence[str],
    again: bool,
) -> Mapping[str, Sink]:
    """Create outputs of many inputs: in the folder ``path``, those of every input by its name."""
    suffix = suffix_of(kind, next(iter(own)))
    members = [
        _CREATE[kind](path / f"{name}{suffix}", own, member, keep, again)
        for name, member in zip(source.names, source.members, strict=True)
    ]
    return {name: SeveralSink(tuple(each[name] for each in members), source.grid) for name in own}


def leave_out(sinks: Mapping[str, Sink], numbers: Collection[int]) -> Mapping[str, Sink]:
    """Return the outputs without those of some of many inputs."""
    left_out = frozenset(numbers)
    return {
        name: replace(sink, left_out=left_out) if isinstance(sink, SeveralSink) else sink
        for name, sink in sinks.items()
    }


def _zarr_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.zarr import ZarrSink

    grid = source.grid
    if not isinstance(grid, Grid):
        raise ConfigurationError(f"{path}: a table's results are no Zarr array; allowed: parquet")
    return {
        name: ZarrSink.create(
            path,
            grid,
            form.trailing,
            form.dtype,
            form.masked,
            {"dask_gmm": name, **form.attributes},
            again=again,
        )
        for name, form in own.items()
    }


def _npy_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.npy import NpySink

    grid = source.grid
    if not isinstance(grid, Grid):
        raise ConfigurationError(f"{path}: a table's results are no .npy file; allowed: parquet")
    return {
        name: NpySink.create(path, grid, form.trailing, form.dtype, again=again)
        for name, form in own.items()
    }


def _nifti_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.joined import JoinedSink
    from dask_gmm.data.sinks.nifti import NiftiWriter

    return {
        name: JoinedSink.create(
            path,
            _grid(path, source),
            form.trailing,
            form.dtype,
            NiftiWriter.of(path, source.geometry, classes=bool(form.colors)),
            again=again,
        )
        for name, form in own.items()
    }


def _netcdf_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.joined import JoinedSink
    from dask_gmm.data.sinks.netcdf import NetcdfWriter

    return {
        name: JoinedSink.create(
            path,
            _grid(path, source),
            form.trailing,
            form.dtype,
            NetcdfWriter.of(path, source.geometry, name),
            again=again,
        )
        for name, form in own.items()
    }


def _ome_zarr_sinks(
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
            again=again,
        )
        for name, form in own.items()
    }


def _parquet_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.parquet import Part, create_parquet_sinks
    from dask_gmm.data.sources.parquet import ParquetSource

    if not isinstance(source, ParquetSource):
        raise ConfigurationError(f"{path}: an array's results are no table; allowed: zarr, npy")
    parts = [Part(name, form.columns, np.dtype(form.dtype)) for name, form in own.items()]
    return create_parquet_sinks(path, parts, source, keep, again=again)


def _geotiff_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.geotiff import GeoTiffWriter
    from dask_gmm.data.sinks.joined import JoinedSink

    grid, sinks = _grid(path, source), dict[str, Sink]()
    for name, form in own.items():
        writer = GeoTiffWriter(source.geometry, form.masked, form.columns, form.colors)
        sinks[name] = JoinedSink.create(path, grid, form.trailing, form.dtype, writer, again=again)
    return sinks


def _image_sinks(
    path: Path, own: Mapping[str, Form], source: Source, keep: Sequence[str], again: bool
) -> Mapping[str, Sink]:
    from dask_gmm.data.sinks.joined import JoinedSink
    from dask_gmm.data.sinks.png import PngWriter
    from dask_gmm.data.sinks.tiff import TiffWriter

    grid, sinks = _grid(path, source), dict[str, Sink]()
    for name, form in own.items():
        kind = PngWriter if path.suffix.lower() == ".png" else TiffWriter
        sinks[name] = JoinedSink.create(
            path, grid, form.trailing, form.dtype, kind(form.colors), again=again
        )
    return sinks


def _grid(path: Path, source: Source) -> Grid:
    """Return the grid of an array; a table has none."""
    grid = source.grid
    if not isinstance(grid, Grid):
        raise ConfigurationError(f"{path}: a table's results are no array; allowed: parquet")
    return grid


#: From a kind of output to what creates sinks of it: called with the path, the forms of the outputs
#: that lie there by name, the source (of many inputs each one, in a call of its own), the columns
#: to be carried through, and whether they were created before.
_CREATE: dict[str, Callable[..., Mapping[str, Sink]]] = {
    "zarr": _zarr_sinks,
    "npy": _npy_sinks,
    "geotiff": _geotiff_sinks,
    "image": _image_sinks,
    "nifti": _nifti_sinks,
    "ome-zarr": _ome_zarr_sinks,
    "netcdf": _netcdf_sinks,
    "parquet": _parquet_sinks,
}


def require_complete(sinks: Mapping[str, Sink]) -> None:
    """Check that every cell of every output is there.

    Raises
    ------
    RunFailedError
    """
    for name, sink in sinks.items():
        missing = sink.missing_cells()
        if missing:
            raise RunFailedError(
                f"outputs.{name}: {len(missing):,} chunks were written and are not there, the "
                f"first is number {missing[0]}; something else works on these files: start again"
            )


def sweep_outputs(folder: Path, job: Job, failures: Collection[int]) -> None:
    """Remove what is no result; no worker is alive.

    A chunk is written beside its place and renamed, so that no reader takes a half for a whole; but
    the half of a killed process stays. Of many inputs that failed there may be parts.
    """
    for name, output in job.config.written().items():
        path, source = folder / output.path, job.source
        if isinstance(source, SeveralSource):
            for number in failures:
                result = f"{source.names[number]}{suffix_of(output.kind, name)}"
                for each in (path / result, *path.glob(f"{escape(result)}.*")):
                    remove(each)
            for record in path.glob(f"*{RECORD}"):
                record.unlink()
        # What becomes one file is on its way beside it.
        array = output.kind in ("zarr", "ome-zarr")
        for half in path.rglob("*.partial") if array else [*halves(path.parent)]:
            half.unlink()


def finish_outputs(sinks: Mapping[str, Sink], passes: Passes) -> None:
    """Do what is still to be done when every cell is there, where passes run.

    Raises
    ------
    RunFailedError, InputDataError
    """
    unfinished = list(dict.fromkeys(each for sink in sinks.values() for each in sink.to_finish()))
    pieces = [piece for each in unfinished for piece in each.batches()]
    if pieces:
        passes.map("join", _join, pieces)
    for each in unfinished:
        each.discard_parts()


def _join(piece: Unfinished) -> None:
    piece.join()


def journal_of(segmented: Segmented) -> Iterator[dict[str, Any]]:
    """Yield a line per cell, in their order: the checksums of what was written of it."""
    for cell, checksums in sorted(segmented.checksums, key=lambda each: each[0]):
        yield {"cell": cell, **checksums}


def describe_outputs(
    config: Config, source: Source, K: int, segmented: Segmented
) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of every output, checksum included.

    The checksum is the SHA-256 of the cells' checksums in the cells' order. Of many inputs every
    one has its file, with the number of its first cell among all.
    """
    by_cell = dict(sorted(segmented.checksums, key=lambda each: each[0]))
    found = dict[str, dict[str, Any]]()
    for name, output in config.written().items():
        form = forms_of(config, K)[name]
        found[name] = {"path": output.path, "dtype": np.dtype(form.dtype).name}
        if form.scale is not None:
            found[name] |= {"scale": form.scale, "masked": form.masked}
        own = [sums[name] for sums in by_cell.values()]
        if isinstance(source, SeveralSource):
            found[name]["files"] = list(_files(name, output, form, source, by_cell))
        else:
            found[name]["shape"] = [*source.grid.shape, *form.trailing]
        found[name] |= {"cells": len(own), "checksum": _together(own)}
    return found


def _files(
    name: str,
    output: Output,
    form: Form,
    source: SeveralSource,
    by_cell: Mapping[int, Mapping[str, str]],
) -> Iterator[dict[str, Any]]:
    """Yield what the manifest says of the files that an output of many inputs consists of."""
    for number, (input_name, member) in enumerate(zip(source.names, source.members, strict=True)):
        cells = source.grid.cells_of(number)
        if cells[0] not in by_cell:
            continue
        own = [by_cell[cell][name] for cell in cells]
        yield {
            "input": input_name,
            "path": f"{output.path}/{input_name}{suffix_of(output.kind, name)}",
            "shape": [*member.grid.shape, *form.trailing],
            "first_cell": cells[0],
            "cells": len(own),
            "checksum": _together(own),
        }


def _together(checksums: Iterable[str]) -> str:
    return hashlib.sha256("".join(checksums).encode()).hexdigest()
