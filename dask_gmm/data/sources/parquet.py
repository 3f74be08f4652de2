"""Rows out of Parquet: a file, directory, glob or list of files is one table of row groups."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_gmm.data.grid import Block, RowGroups
from dask_gmm.data.manifest import TableColumn, TableFile, TableManifest, fingerprint
from dask_gmm.data.parquet_columns import (
    Column,
    buffer_dtype,
    choose_columns,
    fill_rows,
    leaf_positions,
    number_type,
    weights_of,
)
from dask_gmm.data.parquet_files import Folder, FoundFile, find_files
from dask_gmm.errors import InputDataError

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
        look = partial(_look_at, folder, chosen, weights, tuple(keep))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            footers = list(pool.map(look, found))
        groups = [(f.name, i, n) for f in footers for i, n in enumerate(f.lengths) if n]
        only = Folder.of(listed[0], storage_options or {})
        path = only.shown() if len(listed) == 1 else folder.shown()
        if not groups:
            raise InputDataError(
                f"{path}: its files ({len(footers):,}) hold no row; there is nothing to read"
            )
        types = [_common(column) for column in zip(*(f.types for f in footers), strict=True)]
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
        return replace(source, _manifest=_described(source, path, footers, stored))

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
            Values (n, D), C-contiguous; NaN where a column is null.

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


@dataclass(frozen=True)
class _Footer:
    """What one file's footer says of the columns that are read.

    Attributes
    ----------
    name : str
    lengths : tuple of int
        Rows of every row group.
    types : tuple of (numpy.dtype or None, bool)
        Per column, its dtype (None: only nulls) and whether there may be nulls.
    stored_bytes, kept_bytes : int
        Of the columns read, as stored; of those carried through, the most in one row group.
    document : bytes
        What of it enters the fingerprint.
    """

    name: str
    lengths: tuple[int, ...]
    types: tuple[tuple[np.dtype[Any] | None, bool], ...]
    stored_bytes: int
    kept_bytes: int
    document: bytes


def _described(
    source: ParquetSource,
    path: str,
    footers: Sequence[_Footer],
    stored: Sequence[np.dtype[Any]],
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


def _look_at(
    folder: Folder,
    columns: Sequence[Column],
    weights: str | None,
    keep: Sequence[str],
    found: FoundFile,
) -> _Footer:
    """Read one footer and check it against the columns that the first file has."""
    file = folder.shown(found.name)
    with folder.open(found.name) as opened:
        schema, footer = opened.schema_arrow, opened.metadata
    types = []
    for column in columns:
        dtype, width = number_type(schema, column.name, file, "source.columns")
        if dtype is not None and width != column.width:
            raise InputDataError(
                f"{file}: column {column.name!r} is {schema.field(column.name).type}, and gives "
                f"{column.n_features} features in the first file; write both alike"
            )
        types.append((dtype, _may_be_null(schema, footer, column.name)))
    read = [column.name for column in columns]
    if weights is not None:
        if number_type(schema, weights, file, "source.weights")[1] is not None:
            raise InputDataError(
                f"{file}: column {weights!r} (source.weights) holds lists; a weight is one number"
            )
        read.append(weights)
    for name in keep:
        if schema.names.count(name) != 1:
            raise InputDataError(
                f"{file}: column {name!r} (outputs.keep) is missing or there twice; its columns "
                f"are {', '.join(schema.names)}"
            )
    lengths = tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
    stored = _bytes(schema, footer, read, "total_compressed_size")
    kept = _bytes(schema, footer, keep, "total_uncompressed_size")
    document = f"{schema.to_string()}\0{lengths}\0{found.tag}".encode()
    return _Footer(found.name, lengths, tuple(types), sum(stored), max(kept, default=0), document)


def _may_be_null(schema: pa.Schema, footer: pq.FileMetaData, name: str) -> bool:
    """Tell whether a column may hold nulls: it may where its footer does not deny it."""
    position = schema.get_field_index(name)
    found = schema.field(position)
    if not found.nullable and not pa.types.is_fixed_size_list(found.type):
        return False
    (leaf,) = leaf_positions(schema, name)
    for i in range(footer.num_row_groups):
        known = footer.row_group(i).column(leaf).statistics
        if known is None or not known.has_null_count or known.null_count:
            return True
    return False


def _bytes(
    schema: pa.Schema, footer: pq.FileMetaData, names: Sequence[str], attribute: str
) -> list[int]:
    """Return the bytes of some columns in every row group."""
    leaves = [leaf for name in names for leaf in leaf_positions(schema, name)]
    return [
        sum(getattr(footer.row_group(i).column(leaf), attribute) for leaf in leaves)
        for i in range(footer.num_row_groups)
    ]


def _common(
    column: Sequence[tuple[np.dtype[Any] | None, bool]],
) -> tuple[np.dtype[Any] | None, bool]:
    """Return one column's dtype over all files, and whether any of them may hold nulls."""
    known = [dtype for dtype, _ in column if dtype is not None]
    nulls = any(nulls or dtype is None for dtype, nulls in column)
    return (np.result_type(*known) if known else None), nulls
