"""Results of a table as Parquet: one file per input file, the same rows in the same order.

A Parquet file ends with its footer and is written by one hand from beginning to end, but its row
groups are worked on by different tasks, in any order, and a huge file should not be one task's. So
a task leaves what it found of a row group as a *part*, a plain `.npy` file that appears under its
name when it is whole; when all parts are there, a second step on the workers joins those of each
file, some rows at a time, under another name, and renames the result. Leaves stay what they are,
cut by bytes; a run that is started again sees which parts there are; and no half-written file ever
bears a result's name. The price is that results are written twice.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dask_gmm.data.grid import RowGroups
from dask_gmm.data.parquet_files import Folder
from dask_gmm.data.sinks import JOINED_ROWS
from dask_gmm.data.sinks.cells import appearing, refusals_named
from dask_gmm.data.sources.parquet import ParquetSource
from dask_gmm.errors import RunFailedError

#: Where parts lie, inside the results: a name that readers of tables pass over.
PARTS = ".parts"
#: Into how many tasks joining is cut, where there are as many files.
TASKS = 256


@dataclass(frozen=True)
class Part:
    """One output: its name, the columns it becomes, and their dtype."""

    name: str
    columns: tuple[str, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class ResultFiles:
    """The files that one or several outputs of a table become.

    Parameters
    ----------
    path : str
        Absolute path of the directory that holds them, named as the input's files are.
    parts : tuple of Part
        In the order of the columns.
    keep : tuple of str
        Columns carried through from the input, behind the others.
    folder : Folder
        What the input's files lie below.
    files : tuple of (str, tuple of (int, int))
        Per file its name, and the number of each of its cells with the row group in the input.
    """

    path: str
    parts: tuple[Part, ...]
    keep: tuple[str, ...]
    folder: Folder
    files: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = field(repr=False)

    def part_path(self, name: str, cell: int) -> Path:
        """Return where the part of an output lies that a cell gave."""
        return Path(self.path, PARTS, name, f"{cell}.npy")

    def batches(self) -> tuple[ResultFiles, ...]:
        """Cut the files into runs, each the work of one task."""
        step = -(-len(self.files) // TASKS)
        return tuple(
            replace(self, files=self.files[i : i + step]) for i in range(0, len(self.files), step)
        )

    def join(self) -> None:
        """Write every file that is not there yet from its parts.

        Raises
        ------
        InputDataError
            If a column to be kept cannot be read any more.
        RunFailedError
            If a file cannot be written.
        """
        for name, cells in self.files:
            target = Path(self.path, name)
            with appearing(target) as way:
                if way is not None:
                    self._write(way, name, cells)

    def discard_parts(self) -> None:
        """Remove the parts: every file is there."""
        shutil.rmtree(Path(self.path, PARTS), ignore_errors=True)

    def _write(self, path: Path, name: str, cells: Sequence[tuple[int, int]]) -> None:
        with ExitStack() as stack:
            schema = pa.schema(
                [(c, pa.from_numpy_dtype(part.dtype)) for part in self.parts for c in part.columns]
            )
            kept = None
            if self.keep:
                kept = stack.enter_context(self.folder.open(name))
                for column in self.keep:
                    schema = schema.append(kept.schema_arrow.field(column))
            writer = stack.enter_context(
                pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
            )
            for cell, group in cells:
                given = [np.load(self.part_path(p.name, cell), mmap_mode="r") for p in self.parts]
                start = 0
                for n, carried in self._carried(name, kept, group, len(given[0])):
                    found = [c for values in given for c in _columns(values[start : start + n])]
                    writer.write_table(pa.table([*found, *carried], schema=schema))
                    start += n

    def _carried(
        self, name: str, kept: pq.ParquetFile | None, group: int, n: int
    ) -> Iterator[tuple[int, Sequence[pa.Array]]]:
        """Yield the columns to be kept of a row group of n rows, some rows at a time."""
        if kept is None:
            yield from ((min(JOINED_ROWS, n - start), ()) for start in range(0, n, JOINED_ROWS))
            return
        with self.folder.faults(self.folder.shown(name), f"row group {group}"):
            if kept.metadata.row_group(group).num_rows != n:
                raise ValueError(f"it had {n:,} rows when the run looked at it")
            for batch in kept.iter_batches(
                JOINED_ROWS, [group], list(self.keep), use_threads=False
            ):
                yield len(batch), [batch.column(column) for column in self.keep]


def _columns(values: npt.NDArray[Any]) -> Iterator[pa.Array]:
    """Yield rows (n,) or (n, columns) as Arrow columns."""
    for column in values.reshape(len(values), -1).T:
        yield pa.array(np.ascontiguousarray(column))


@dataclass(frozen=True)
class ParquetSink:
    """One output of a table, written cell by cell as parts.

    Parameters
    ----------
    files : ResultFiles
        What the parts are joined to; outputs with one path have one.
    part : Part
    rows : RowGroups
        The table's rows, cut into cells.
    """

    files: ResultFiles
    part: Part
    rows: RowGroups = field(repr=False)

    def write(self, cell: int, values: npt.NDArray[Any]) -> str:
        """Write one cell.

        Parameters
        ----------
        cell : int
        values : ndarray, shape (n,) or (n, columns)

        Returns
        -------
        str
            BLAKE2b-128 of the values' little-endian C-order bytes, 32 hexadecimal digits.

        Raises
        ------
        RunFailedError
            If the values do not fill the cell, or the file system refuses.
        """
        part, n = self.part, self.rows.n_rows(cell)
        wanted = (
            [(n, len(part.columns)), (n,)] if len(part.columns) == 1 else [(n, len(part.columns))]
        )
        if values.shape not in wanted or not np.can_cast(values.dtype, part.dtype, "same_kind"):
            raise RunFailedError(
                f"{self.files.path}: {part.name} of cell {cell} takes {part.dtype} of shape "
                f"{wanted[0]}, found {values.dtype} of shape {values.shape}"
            )
        block = np.ascontiguousarray(values, dtype=part.dtype.newbyteorder("<"))
        with appearing(self.files.part_path(part.name, cell), replaces=True) as way:
            if way is not None:
                with way.open("wb") as file:
                    np.save(file, block)
        return hashlib.blake2b(block.data, digest_size=16).hexdigest()

    def missing_cells(self) -> list[int]:
        """Return the cells whose part is not there, nor the file that it became, in order."""
        folder = self.files.part_path(self.part.name, 0).parent
        there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
        joined = {
            cell
            for name, cells in self.files.files
            if Path(self.files.path, name).exists()
            for cell, _ in cells
        }
        return [c for c in range(len(self.rows)) if c not in joined and f"{c}.npy" not in there]

    def to_finish(self) -> tuple[ResultFiles, ...]:
        """Return what is joined when every cell is there."""
        return (self.files,)


def create_parquet_sinks(
    path: Path,
    parts: Sequence[Part],
    source: ParquetSource,
    keep: Sequence[str],
    *,
    again: bool = False,
) -> Mapping[str, ParquetSink]:
    """Make ready for outputs that become one set of files.

    Parameters
    ----------
    path : Path
        Directory of the files; parents are made.
    parts : sequence of Part
        The outputs.
    source : ParquetSource
        The table that is read.
    keep : sequence of str
        Columns of it to be carried through.
    again : bool
        Whether they were made ready before, and are gone on with.

    Returns
    -------
    mapping of str to ParquetSink
        By the outputs' names.

    Raises
    ------
    RunFailedError
        If `path` exists or cannot be written.
    """
    cells: dict[str, list[tuple[int, int]]] = {f.name: [] for f in source.manifest().files}
    for cell, (name, group) in enumerate(source.groups):
        cells[name].append((cell, group))
    files = ResultFiles(
        str(path.absolute()),
        tuple(parts),
        tuple(keep),
        source.folder,
        tuple((name, tuple(own)) for name, own in cells.items()),
    )
    if path.exists() and not again:
        raise RunFailedError(f"{path}: exists already; remove it or choose another path")
    for part in parts:
        with refusals_named(path):
            files.part_path(part.name, 0).parent.mkdir(parents=True, exist_ok=again)
    return {part.name: ParquetSink(files, part, source.grid) for part in parts}
