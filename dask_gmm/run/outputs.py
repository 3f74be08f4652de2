"""The outputs of a run: created, checked to be complete, finished, and described."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dask_gmm.data.features import bands_below
from dask_gmm.data.sinks import RECORD, Sink, Unfinished
from dask_gmm.data.sinks.cells import halves
from dask_gmm.data.sinks.several import SeveralSink
from dask_gmm.data.sources import Source
from dask_gmm.data.sources.several import SeveralSource
from dask_gmm.engine.passes import Passes
from dask_gmm.errors import RunFailedError
from dask_gmm.run.config import Config
from dask_gmm.run.config.sections import Output
from dask_gmm.run.directory import remove
from dask_gmm.run.forms import Form, forms_of, suffix_of
from dask_gmm.run.segmented import Segmented
from dask_gmm.run.sinks import CREATE

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
    source = bands_below(source)
    sinks, form, keep = dict[str, Sink](), forms_of(config, K), config.outputs.keep
    for (kind, path), names in together.items():
        own = {name: form[name] for name in names}
        if not again:
            remove(folder / path)
        if isinstance(source, SeveralSource):
            sinks |= _several(kind, folder / path, own, source, keep, again)
        else:
            sinks |= CREATE[kind](folder / path, own, source, keep, again)
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
        CREATE[kind](path / f"{name}{suffix}", own, member, keep, again)
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
        passes.map("join", _join, pieces, writes=True)
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
