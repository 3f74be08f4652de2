"""Rows out of Parquet: a file, directory, glob or list of files is one table of row groups."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dask_gmm.data.folders import located
from dask_gmm.data.grid import Block, RowGroups
from dask_gmm.data.manifest import TableColumn, TableFile, TableManifest, fingerprint
from dask_gmm.data.parquet_columns import (
    Column,
    buffer_dtype,
    choose_columns,
    fill_rows,
    weights_of,
)
from dask_gmm.data.parquet_files import Folder, find_files
from dask_gmm.data.parquet_footers import Footer, common_type, have_checksums, read_footer
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.stored import step_of
from dask_gmm.errors import ConfigurationError, InputDataError

#: Footers that are read at a time: a remote store answers each after a round trip.
AT_A_TIME = 16
WEIGHT_BYTES = 8
_last = threading.local()


@dataclass(frozen=True)
class ParquetSource:
    """A table whose cells are the row groups of its files, in the order of the files' names.

    Make one with `ParquetSource.open`, which reads the footers and no row. Row groups without rows
    are no cells. It holds no file handle.

    Parameters
    ----------
    folder : Folder
        What the files lie below.
    columns : tuple of Column
        Those that give the features, in order.
    weights : str or None
        The column of weights.
    dtype : numpy.dtype
        Of the rows that `read` returns: the least that holds every column.
    feature_dtypes : tuple of numpy.dtype
        (D,), as stored.
    groups : tuple of (str, int)
        Per cell, the file's name below the folder and the row group in it.
    grid : RowGroups
        The rows, cut into cells.
    fingerprint : str
        Of the table: an open file of another state of it is not read from.
    """

    folder: Folder
    columns: tuple[Column, ...]
    weights: str | None
    dtype: np.dtype[Any]
    feature_dtypes: tuple[np.dtype[Any], ...]
    groups: tuple[tuple[str, int], ...] = field(repr=False)
    grid: RowGroups = field(repr=False)
    fingerprint: str
    _manifest: TableManifest | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        paths: str | Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        weights: str | None = None,
        keep: Sequence[str] = (),
        storage_options: Mapping[str, Any] | None = None,
    ) -> ParquetSource:
        """Open a table by the footers of its files.

        Parameters
        ----------
        paths : str or sequence of str
            Files, directories, globs; local or URLs.
        columns : sequence of str, optional
            Columns that are features; by default all of numbers, except the weights.
        weights : str, optional
            Column of weights.
        keep : sequence of str
            Columns that will be carried into the outputs: they must be there.
        storage_options : mapping, optional
            fsspec's.

        Raises
        ------
        ConfigurationError, InputDataError
            As in `find_files` and `choose_columns`; and InputDataError, naming file and column, if
            a file lacks a column or has it in another kind of type, or if there is no row.
        """
        listed = [paths] if isinstance(paths, str) else list(paths)
        folder, found = find_files(listed, storage_options or {})
        with folder.open(found[0].name) as first:
            file = folder.shown(found[0].name)
            chosen = choose_columns(first.schema_arrow, file, columns, weights)
        look = partial(read_footer, folder, chosen, weights, tuple(keep))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            footers = list(pool.map(look, found))
        groups = [(f.name, i, n) for f in footers for i, n in enumerate(f.lengths) if n]
        only = Folder.of(listed[0], storage_options or {})
        path = only.shown() if len(listed) == 1 else folder.shown()
        if not groups:
            raise InputDataError(
                f"{path}: its files ({len(footers):,}) hold no row; there is nothing to read"
            )
        types = [common_type(column) for column in zip(*(f.types for f in footers), strict=True)]
        stored = [np.dtype(np.float32) if known is None else known for known, _ in types]
        documents = {f.name: f.document for f in footers}
        source = cls(
            folder=folder,
            columns=chosen,
            weights=weights,
            dtype=buffer_dtype(types),
            feature_dtypes=tuple(
                dtype for c, dtype in zip(chosen, stored, strict=True) for _ in range(c.n_features)
            ),
            groups=tuple((name, i) for name, i, _ in groups),
            grid=RowGroups.of_lengths(n for _, _, n in groups),
            fingerprint=fingerprint(documents, {each.name: each.stored for each in found}),
        )
        checked = have_checksums(folder, *source.groups[0], chosen[0].name)
        return replace(source, _manifest=_described(source, path, footers, stored, checked))

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """(D,), from one value to the next."""
        return tuple(map(step_of, self.feature_dtypes))

    @property
    def geometry(self) -> None:
        """A table's rows lie nowhere."""

    @property
    def beside_bytes(self) -> int:
        """Nothing: rows and weights are all that is read."""
        return 0

    @property
    def n_features(self) -> int:
        """D."""
        return sum(column.n_features for column in self.columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Column names; of a fixed-size list `name[0]`, `name[1]`, ..."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def manifest(self) -> TableManifest:
        """Describe the table as its footers did when it was opened."""
        if self._manifest is None:
            raise ValueError("a part of a table has no manifest: ask the table itself")
        return self._manifest

    def part(self, cells: Sequence[int]) -> ParquetSource:
        """Return what a task needs that reads only these cells: the names of their files."""
        start = cells[0] - self.grid.first
        groups = self.groups[start : start + cells[-1] - cells[0] + 1]
        return replace(self, groups=groups, grid=self.grid.part(cells), _manifest=None)

    def where(self, first: int, last: int | None = None) -> str:
        """Name a run of cells: file and row group of the first, and of the last."""
        begin = self._place(first)
        return begin if last in (None, first) else f"{begin} to {self._place(last)}"

    def read(self, cell: int) -> Block:
        """Read one row group.

        Returns
        -------
        Block
            Values (n, D), a feature's side by side; NaN where a column is null.

        Raises
        ------
        InputDataError
            Naming file and row group, if it is truncated, corrupt, not what the footer said when
            the table was opened, or holds a weight that is none. Changed bytes are noticed where
            the file was written with page checksums, or no longer decode.
        """
        name, group = self._group(cell)
        names = [column.name for column in self.columns]
        if self.weights is not None:
            names.append(self.weights)
        file = self.folder.shown(name)
        with self.folder.faults(file, f"row group {group}"):
            table = self._opened(name).read_row_group(group, columns=names, use_threads=False)
        if len(table) != self.grid.n_rows(cell):
            raise InputDataError(
                f"{file}: row group {group} has {len(table):,} rows, and had "
                f"{self.grid.n_rows(cell):,} when the run looked at it; start the run again"
            )
        try:
            weights = None if self.weights is None else weights_of(table, self.weights)
            return Block(fill_rows(table, self.columns, self.dtype), weights)
        except (KeyError, ValueError) as error:
            raise InputDataError(
                f"{file}: row group {group}: {error}; mend the file, or name other columns"
            ) from error

    def _opened(self, name: str) -> pq.ParquetFile:
        """Open a file, or return it where this thread has read from it last."""
        key = (self.fingerprint, self.folder, name)
        if getattr(_last, "key", None) != key:
            _last.key = None
            _last.file = self.folder.open(name)
            _last.key = key
        return _last.file

    def _group(self, cell: int) -> tuple[str, int]:
        self.grid.n_rows(cell)  # refuses a cell that is not here
        return self.groups[cell - self.grid.first]

    def _place(self, cell: int) -> str:
        name, group = self._group(cell)
        return f"{self.folder.shown(name)}: row group {group}"


def _described(
    source: ParquetSource,
    path: str,
    footers: Sequence[Footer],
    stored: Sequence[np.dtype[Any]],
    checksums: bool,
) -> TableManifest:
    """Return the manifest of a table whose columns are stored as these dtypes."""
    n, D, dtype = source.grid.n_rows_total, source.n_features, source.dtype
    return TableManifest(
        kind="parquet",
        path=path,
        shape=(n, D),
        n_features=D,
        dtype=dtype.str,
        n_cells=len(source.grid),
        stored_bytes=sum(f.stored_bytes for f in footers),
        decoded_bytes=n * (D * dtype.itemsize + WEIGHT_BYTES * (source.weights is not None)),
        fingerprint=source.fingerprint,
        checksums=checksums,
        columns=tuple(
            TableColumn(column.name, each.name, column.n_features)
            for column, each in zip(source.columns, stored, strict=True)
        ),
        weights=source.weights,
        largest_row_group=source.grid.largest,
        kept_bytes=max(f.kept_bytes for f in footers),
        files=tuple(
            TableFile(f.name, len(f.lengths), sum(f.lengths), f.stored_bytes) for f in footers
        ),
    )


def open_parquet(options: SourceOptions) -> ParquetSource:
    """Open a table as the configuration's `source` section says."""
    listed = [options.path] if isinstance(options.path, str) else options.path
    columns = list[str]()
    for each in options.columns or ():
        if not isinstance(each, str):
            raise ConfigurationError(
                f"source.columns: found {each!r}; allowed are the names of a table's columns"
            )
        columns.append(each)
    return ParquetSource.open(
        [located(path, options.directory) for path in listed],
        columns=None if options.columns is None else columns,
        weights=options.weights,
        keep=options.keep,
        storage_options=options.storage_options,
    )
