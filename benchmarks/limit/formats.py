"""Formats that rows are stored in, and what reads each of them in the most direct way.

A direct reader knows layout and codec already: it fetches bytes, lets the format's own library
decode them, into memory that it has where the library takes that, and looks at nothing else.
Worker processes import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.known import Known, write_parquet, write_zarr

#: Chunks of a shard; columns of a raster, and the sides of its tiles.
IN_SHARD = 8
WIDTH, TILE = 1024, 256
#: A direct reader of some cells of what is stored at a path: it returns the rows it has read.
Direct = Callable[[Sequence[int], str, Known], int]


@dataclass(frozen=True)
class Format:
    """A way of storing rows.

    Attributes
    ----------
    kind : str
        Of our source.
    write : callable
        Stores the rows of a known mixture, a block a cell, at a path.
    direct : callable
        The peer.
    by : str
        The peer, in words.
    """

    kind: str
    write: Callable[[Path, Known], None]
    direct: Direct
    by: str


def read_zarr(cells: Sequence[int], path: str, known: Known, codec: Any = None) -> int:
    """Fetch chunks of a Zarr array by their keys, and decode them by their codec alone."""
    out, n = np.empty((known.block_rows, known.D), np.float32), 0
    decode = _decoder(codec)
    for cell in cells:
        with Path(path, "c", str(cell), "0").open("rb", buffering=0) as file:
            if decode is None:
                file.readinto(memoryview(out).cast("B"))
            else:
                decode(file.read(), out)
        n += known.length(cell)
    return n


def read_shards(cells: Sequence[int], path: str, known: Known, codec: Any = None) -> int:
    """Fetch shards of a Zarr array whole, and decode their chunks one after the other."""
    out, n = np.empty((IN_SHARD, known.block_rows // IN_SHARD, known.D), np.float32), 0
    decode = _decoder(codec)
    for cell in cells:
        stored = Path(path, "c", str(cell), "0").read_bytes()
        # Format 3: (offset, length) of every chunk at the end, and four bytes of checksum.
        index = np.frombuffer(stored[-(16 * IN_SHARD + 4) : -4], "<u8").reshape(-1, 2)
        for chunk, (start, length) in zip(out, index.tolist(), strict=True):
            if length != 2**64 - 1:
                decode(memoryview(stored)[start : start + length], chunk)
        n += known.length(cell)
    return n


def _decoder(codec: str | None) -> Any:
    """Return a codec's decode(bytes, out), in the calling thread alone."""
    import numcodecs
    from numcodecs import blosc

    blosc.use_threads = False
    if codec is None:
        return None
    return (numcodecs.Zstd() if codec == "zstd" else numcodecs.Blosc()).decode


def write_npy(path: Path, known: Known) -> None:
    """Write all rows as one NumPy file."""
    file = np.lib.format.open_memmap(path, "w+", np.float32, (known.rows, known.D))
    for number in range(known.n_blocks):
        start = number * known.block_rows
        file[start : start + known.length(number)] = known.block(number)
    file.flush()


def read_npy(cells: Sequence[int], path: str, known: Known) -> int:
    """Read the file's bytes, a cell at a time."""
    out = np.empty((known.block_rows, known.D), np.float32)
    n, view = 0, memoryview(out).cast("B")
    header = Path(path).stat().st_size - 4 * known.rows * known.D
    with Path(path).open("rb", buffering=0) as file:
        for cell in cells:
            file.seek(header + cell * out.nbytes)
            n += file.readinto(view) // (4 * known.D)
    return n


def read_parquet(cells: Sequence[int], path: str, known: Known) -> int:
    """Read row groups with pyarrow on one thread: a table of columns, which are not yet rows."""
    from pyarrow.parquet import ParquetFile

    files = sorted(Path(path).glob("*.parquet"))
    begins = [i * known.n_blocks // len(files) for i in range(len(files) + 1)]
    opened: dict[int, Any] = {}
    n = 0
    for cell in cells:
        i = int(np.searchsorted(begins, cell, side="right")) - 1
        if i not in opened:
            opened = {i: ParquetFile(files[i], memory_map=True, pre_buffer=False)}
        n += len(opened[i].read_row_group(cell - begins[i], use_threads=False))
    return n


def write_geotiff(path: Path, known: Known) -> None:
    """Write all rows as the pixels of a tiled raster of 16-bit integers, as scenes come."""
    import rasterio

    high = known.block_rows // WIDTH
    profile = {
        "driver": "GTiff",
        "width": WIDTH,
        "height": high * known.n_blocks,
        "count": known.D,
        "dtype": "uint16",
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "deflate",
        "interleave": "pixel",
        "nodata": 0,
        "num_threads": 2,
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(30, 0, 0, 0, -30, 0),
    }
    with rasterio.open(path, "w", **profile) as dataset:
        for number in range(known.n_blocks):
            pixels = np.clip(1000 + 40 * known.block(number), 1, 65_535).astype(np.uint16)
            window = rasterio.windows.Window(0, number * high, WIDTH, high)
            dataset.write(pixels.T.reshape(known.D, high, WIDTH), window=window)


def read_geotiff(cells: Sequence[int], path: str, known: Known) -> int:
    """Read windows of whole rows of tiles with rasterio, the file opened once."""
    import rasterio

    high = known.block_rows // WIDTH
    out, n = np.empty((known.D, high, WIDTH), np.uint16), 0
    with rasterio.open(path) as dataset:
        for cell in cells:
            window = rasterio.windows.Window(0, cell * high, WIDTH, high)
            dataset.read(window=window, out=out)
            n += known.length(cell)
    return n


def _zarr(codec: str) -> Format:
    by = "its bytes" if codec == "none" else "numcodecs"
    decoder = None if codec == "none" else codec
    write = partial(write_zarr, codec=codec)
    return Format("zarr", write, partial(read_zarr, codec=decoder), by)


def _parquet(compression: str) -> Format:
    return Format(
        "parquet", partial(write_parquet, compression=compression), read_parquet, "pyarrow"
    )


FORMATS = {
    "Zarr": _zarr("none"),
    "Zarr, blosc-lz4": _zarr("blosc-lz4"),
    "Zarr, blosc-zstd": _zarr("blosc-zstd"),
    "Zarr, zstd": _zarr("zstd"),
    "Zarr, shards of blosc-lz4": Format(
        "zarr",
        partial(write_zarr, codec="blosc-lz4", in_shard=IN_SHARD),
        partial(read_shards, codec="blosc-lz4"),
        "numcodecs",
    ),
    "npy": Format("npy", write_npy, read_npy, "its bytes"),
    "Parquet": _parquet("none"),
    "Parquet, snappy": _parquet("snappy"),
    "Parquet, zstd": _parquet("zstd"),
    "GeoTIFF, deflate": Format("geotiff", write_geotiff, read_geotiff, "rasterio"),
}
