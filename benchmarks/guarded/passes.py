"""What the guard watches of passes: reading, against the format's own library; and the engine."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.guarded.pair import Pair, Work
from benchmarks.known import Known
from benchmarks.sources import Free, read_only
from dask_gmm.data.sources import open_source
from dask_gmm.engine.passes import Passes

#: Of the pass whose leaves cost nothing.
LEAVES = 64


def reading_pair(place: Path, kind: str) -> Pair:
    """Return the reading of a small array or table by us, and by the format's own library."""
    known = Known(6, 4, 1 << 18, 1 << 16)
    path = place / kind
    library = _zarr(path, known) if kind == "Zarr" else _parquet(path, known)
    source = open_source(kind.lower(), str(path))

    def ours() -> None:
        for cell in range(known.n_blocks):
            np.asarray(source.read(cell).values)

    return Pair(f"reading {kind}", ours, library, time.process_time)


def _zarr(path: Path, known: Known) -> Work:
    import zarr
    from zarr.codecs import BloscCodec

    shape, chunks = (known.rows, known.D), (known.block_rows, known.D)
    array = zarr.create_array(
        str(path), shape=shape, chunks=chunks, dtype="f4", compressors=BloscCodec(cname="lz4")
    )
    for i, block in enumerate(known.blocks(known.rows)):
        array[i * known.block_rows : (i + 1) * known.block_rows] = block
    stored = zarr.open_array(str(path), mode="r")

    def library() -> None:
        for start in range(0, known.rows, known.block_rows):
            stored[start : start + known.block_rows]

    return library


def _parquet(path: Path, known: Known) -> Work:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile, write_table

    path.mkdir()
    rows = np.concatenate(list(known.blocks(known.rows)))
    columns = {f"x{i}": np.ascontiguousarray(column) for i, column in enumerate(rows.T)}
    file = path / "part.parquet"
    write_table(pa.table(columns), file, row_group_size=known.block_rows, use_dictionary=False)

    def library() -> None:
        with ParquetFile(file) as opened:
            for group in range(known.n_blocks):
                table = opened.read_row_group(group, use_threads=False)
                np.column_stack([column.to_numpy() for column in table.columns])

    return library


def engine_pair() -> Pair:
    """Return a pass over leaves whose reading is free, and as many calls put together by Dask."""
    from dask import get
    from dask.delayed import delayed

    passes = Passes.over_source(Free(_Nothing()), [range(i, i + 1) for i in range(LEAVES)], "sync")
    zeros = delayed(sum)([delayed(_one)(i) for i in range(LEAVES)])

    def ours() -> None:
        passes.run("guard", read_only)

    theirs = partial(zeros.compute, scheduler=get)
    return Pair("engine, a leaf", ours, theirs, time.process_time)


def _one(number: int) -> int:
    return number


class _Nothing:
    """Stands where a source stands whose cells are never read."""

    n_features = 1
