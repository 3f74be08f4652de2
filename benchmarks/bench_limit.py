"""To the limit: how much of reading's bandwidth is left, and where a pass's time goes. 9 minutes.

Two questions. First, what our source makes of a format's bandwidth: all cells of what is stored,
read in one process and by two workers, against the same bytes fetched and decoded by nothing but
the format's own library in the most direct way (layout and codec known, into memory that it has
where the library takes that, no check, no rows made of columns), turn by turn, from files that the
system holds in memory. Second, where the time of whole EM iterations over stored data goes, on both
cores: the threads of workers and client are looked at a hundred times a second, and what each has
computed, by its own clock, is put down to what its stack showed when it did not wait; what nobody
computes is waiting. Of the kernel's share its limit is set apart: the flop of its products at the
rate of a large matrix product, and NumPy's exponentials, both measured in the two workers at once.
``python -m benchmarks.bench_limit`` writes table, JSON and picture.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.known import Known
from benchmarks.limit.formats import FORMATS, TILE, WIDTH, Format
from benchmarks.limit.pages import beyond, picture, table
from benchmarks.limit.profiles import profiled
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, deliver, exit_code, required
from benchmarks.sources import read_only
from dask_gmm.data.sources import Source, begin_reading, open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes

#: Rows of six features for the formats, in blocks of 6 MiB: whole rows of a raster's tiles.
FORMAT_ROWS, BLOCK_ROWS, FEATURES = 16 << 20, TILE * WIDTH, 6
QUICK_FORMAT_ROWS = 2 * BLOCK_ROWS
#: (D, K): rows of iterations that take a second or so.
SIZES = {(3, 8): 60_000_000, (6, 16): 24_000_000, (16, 16): 7_000_000, (32, 32): 2_000_000}
QUICK_SIZES = {(6, 16): 80_000}
STORES = ("Zarr, blosc-lz4", "Parquet, snappy")
CHUNK_BYTES = 6 << 20
ITERATIONS = 5


def stored(path: Path, known: Known, form: Format) -> Source:
    """Store the rows, and open them."""
    form.write(path, known)
    return open_source(form.kind, str(path))


def bandwidth(form: Format, path: Path, known: Known, turns: int, client: Any) -> dict[str, Any]:
    """Return gigabytes per second of our source and of the direct reader, and our part of it."""
    source = stored(path, known, form)
    grid, itemsize = source.grid, source.dtype.itemsize
    cells = [grid.n_rows(cell) for cell in range(len(grid))]
    ours = cut_leaves(np.asarray(cells) * known.D * itemsize)
    blocks = [known.length(number) for number in range(known.n_blocks)]
    direct = cut_leaves(np.asarray(blocks) * known.D * itemsize)
    passes = Passes.over_source(source, ours, client)
    ways: dict[str, dict[str, Callable[[], Any]]] = {
        "one": {
            "direct": partial(form.direct, range(known.n_blocks), str(path), known),
            "ours": partial(_read_all, source),
        },
        "two": {
            "direct": lambda: sum(passes.map("direct", form.direct, direct, str(path), known)),
            "ours": partial(passes.run, "ours", read_only),
        },
    }
    n_bytes = known.rows * known.D * itemsize
    on_disk = sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())
    found = {name: _in_turns(way, known.rows, n_bytes, turns) for name, way in ways.items()}
    _delete(path)
    return {"bytes": n_bytes, "stored": on_disk / n_bytes, "by": form.by, **found}


def _in_turns(
    ways: dict[str, Callable[[], Any]], rows: int, n_bytes: int, turns: int
) -> dict[str, Any]:
    """Return each way's gigabytes per second, and the fraction of them that ours reaches."""
    for name, warm_up in ways.items():
        if (read := warm_up()) != rows:
            raise SystemExit(f"{name} has read {read:,} rows of {rows:,}")
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            taken[name].append(seconds(ways[name]))
    fractions = [a / b for a, b in zip(taken["direct"], taken["ours"], strict=True)]
    return {
        **{name: n_bytes / median(each) / 1e9 for name, each in taken.items()},
        "fraction": [median(fractions), min(fractions), max(fractions)],
    }


def _read_all(source: Source) -> int:
    read = begin_reading(source)
    return sum(len(read(cell).values) for cell in range(len(source.grid)))


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def profiles(quick: bool, place: Path, turns: int, client: Any) -> list[dict[str, Any]]:
    """Return where the time of iterations goes, for every size and store."""
    found = []
    for (D, K), rows in (QUICK_SIZES if quick else SIZES).items():
        known = Known(D, K, rows, rows // 8 if quick else CHUNK_BYTES // (4 * D))
        for store in STORES:
            path = place / "profiled"
            seen = profiled(stored(path, known, FORMATS[store]), known, client, ITERATIONS, turns)
            _delete(path)
            found.append({"store": store, "D": D, "K": K, "rows": rows, **seen})
            click.echo(str(found[-1]), err=True)
    return found


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--require-fraction", default=0.0, help="Least of a format's bandwidth, one process.")
@click.option("--require-other", default=np.inf, help="Most of a pass that is not told apart.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    turns: int,
    require_fraction: float,
    require_other: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Compare reading with the formats' libraries, and tell where a pass's time goes."""
    formats = {}
    known = Known(FEATURES, 8, QUICK_FORMAT_ROWS if quick else FORMAT_ROWS, BLOCK_ROWS)
    with (
        tempfile.TemporaryDirectory(dir=directory) as folder,
        local_workers(2, 1, None) as workers,
    ):
        for name, form in FORMATS.items():
            path = Path(folder) / "stored"
            formats[name] = bandwidth(form, path, known, turns, workers.scheduler)
            click.echo(f"{name}: {formats[name]}", err=True)
        cases = profiles(quick, Path(folder), max(1, turns // 2), workers.scheduler)
    result = {
        "machine": described(),
        "quick": quick,
        "turns": turns,
        "rows": known.rows,
        "formats": formats,
        "cases": cases,
    }
    deliver("limit", result, table(result, __doc__ or ""), picture(result), output)
    for name, each in formats.items():
        required(f"{name}, of its bandwidth", each["one"]["fraction"][0], least=require_fraction)
    for each in cases:
        for part, share in beyond(each, 0.0):
            required(f"{each['store']} {each['D']},{each['K']}: {part}", share, most=require_other)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_limit", arguments)


if __name__ == "__main__":
    sys.exit(main())
