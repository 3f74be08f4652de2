"""Footers of a table's files: lengths of row groups, types and sizes of columns, no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_gmm.data.parquet_columns import Column, leaf_positions, number_type
from dask_gmm.data.parquet_files import Folder, FoundFile
from dask_gmm.errors import InputDataError

#: Bytes in which a page's header has said whether there is a checksum, and how it begins each of
#: its numbers: "the field after the last one, of 32 bits".
_PAGE_HEADER, _NUMBER = 32, 0x15


@dataclass(frozen=True)
class Footer:
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


def read_footer(
    folder: Folder,
    columns: Sequence[Column],
    weights: str | None,
    keep: Sequence[str],
    found: FoundFile,
) -> Footer:
    """Read one footer and check it against the columns that the first file has.

    Parameters
    ----------
    folder : Folder
    columns : sequence of Column
        The features, chosen by the first file.
    weights : str or None
    keep : sequence of str
        Columns that must be there, of any type.
    found : FoundFile

    Raises
    ------
    InputDataError
        If the file is damaged, lacks a column, or has one of another kind of type.
    """
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
    return Footer(found.name, lengths, tuple(types), sum(stored), max(kept, default=0), document)


def have_checksums(folder: Folder, name: str, group: int, column: str) -> bool:
    """Tell whether the pages of a file carry checksums, by the first page of a column.

    No footer says so. A page's header is a Thrift structure in the compact protocol: type, two
    sizes, and then the checksum if there is one, all of them numbers of 32 bits.
    """
    page = f"the first page of column {column!r}"
    with folder.open(name) as opened, folder.faults(folder.shown(name), page):
        (leaf, *_) = leaf_positions(opened.schema_arrow, column)
        chunk = opened.metadata.row_group(group).column(leaf)
        start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
        head = folder.head(name, start, _PAGE_HEADER)
        at = 0
        for _ in range(3):
            if head[at] != _NUMBER:
                return False
            at += 1
            while head[at] & 0x80:
                at += 1
            at += 1
        return head[at] == _NUMBER


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


def common_type(
    column: Sequence[tuple[np.dtype[Any] | None, bool]],
) -> tuple[np.dtype[Any] | None, bool]:
    """Return one column's dtype over all files, and whether any of them may hold nulls."""
    known = [dtype for dtype, _ in column if dtype is not None]
    nulls = any(nulls or dtype is None for dtype, nulls in column)
    return (np.result_type(*known) if known else None), nulls
