"""Columns of a table as numbers: which may be features, in what dtype, and how they become rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dask_gmm.errors import ConfigurationError, InputDataError

ALLOWED = "integers, floating point numbers, booleans, and fixed-size lists of these"
#: What pandas calls the column in which it stores an index.
INDEX = "__index_level_"


@dataclass(frozen=True)
class Column:
    """A column that gives features.

    Parameters
    ----------
    name : str
    width : int or None
        Length of the lists of a fixed-size-list column; None for a column of numbers.
    """

    name: str
    width: int | None = None

    @property
    def n_features(self) -> int:
        """Number of features it gives."""
        return 1 if self.width is None else self.width

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of its features."""
        if self.width is None:
            return (self.name,)
        return tuple(f"{self.name}[{i}]" for i in range(self.width))


def choose_columns(
    schema: pa.Schema, file: str, wanted: Sequence[str] | None, weights: str | None
) -> tuple[Column, ...]:
    """Choose the feature columns of a table by its first file.

    Parameters
    ----------
    schema : pyarrow.Schema
    file : str
        Names the file in errors.
    wanted : sequence of str or None
        By name; None takes every column of numbers but the weights (and pandas' stored index).
    weights : str or None
        The column of weights.

    Raises
    ------
    ConfigurationError
        If a column is named twice, or there is none to take.
    InputDataError
        If a named column is not there, or holds no numbers.
    """
    if wanted is None:
        names = [
            field.name
            for field in schema
            if _is_number(_element(field.type)) and field.name != weights
            if not field.name.startswith(INDEX)
        ]
        if not names:
            raise ConfigurationError(
                f"source.columns: {file} has no column of numbers besides source.weights; its "
                f"columns are {_listed(schema)}; allowed are {ALLOWED}"
            )
    else:
        names = list(wanted)
        twice = {name for name in names if names.count(name) > 1}
        if twice or weights in names:
            both = ", ".join(sorted(twice)) or f"{weights}, the column of source.weights,"
            raise ConfigurationError(
                f"source.columns: {both} may stand there once, as a feature; name it once"
            )
    return tuple(
        Column(name, number_type(schema, name, file, "source.columns")[1]) for name in names
    )


def number_type(
    schema: pa.Schema, name: str, file: str, key: str
) -> tuple[np.dtype[Any] | None, int | None]:
    """Return a column's dtype (None: nothing but nulls) and the length of its lists (or None).

    Raises
    ------
    InputDataError
        If it is not there, is there twice, or holds no numbers.
    """
    positions = schema.get_all_field_indices(name)
    if len(positions) != 1:
        partition = f"/{name}=" in file
        what = "is a partition of the directories, not in the files" if partition else "is missing"
        raise InputDataError(
            f"{file}: column {name!r} ({key}) {'is there twice' if positions else what}; "
            f"its columns are {_listed(schema)}"
        )
    found = schema.field(positions[0]).type
    element = _element(found)
    if not (_is_number(element) or pa.types.is_boolean(element) or pa.types.is_null(found)):
        hint = "; cast it to float64 when the file is written"
        raise InputDataError(
            f"{file}: column {name!r} ({key}) has the type {found}; allowed are {ALLOWED}"
            f"{hint if pa.types.is_decimal(element) else '; leave it out of source.columns'}"
        )
    width = found.list_size if pa.types.is_fixed_size_list(found) else None
    if width == 0:
        raise InputDataError(
            f"{file}: column {name!r} ({key}) holds lists of no elements, so that there is no "
            "feature; leave it out of source.columns"
        )
    if pa.types.is_null(found):
        return None, width
    return np.dtype(bool if pa.types.is_boolean(element) else element.to_pandas_dtype()), width


def buffer_dtype(
    columns: Sequence[tuple[np.dtype[Any] | None, bool]],
) -> np.dtype[Any]:
    """Return the dtype that holds columns, given as (dtype, whether there may be nulls), exactly.

    Equal dtypes stay; different ones are promoted as NumPy does, and to floating point where a null
    must become NaN. (Only 64-bit integers can lose digits, above 2**53, as they would in EM.)
    """
    dtypes = [
        np.result_type(np.float32 if dtype is None else dtype, np.float32)
        if nulls or dtype is None or dtype.kind == "f"
        else np.promote_types(dtype, np.uint8)
        for dtype, nulls in columns
    ]
    return np.result_type(*dtypes)


def fill_rows(table: pa.Table, columns: Sequence[Column], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the columns of a row group as rows, (n, D): one buffer, filled in turn.

    A feature's values lie side by side, as in the file and as the kernel takes them: what is copied
    on the way is copied as it lies.

    Raises
    ------
    ValueError
        If there are nulls although the dtype, chosen by the footers, has no NaN.
    """
    rows = np.empty((sum(column.n_features for column in columns), len(table)), dtype).T
    at = 0
    for column in columns:
        to = at + column.n_features
        for start, values in _pieces(table.column(column.name), column.width):
            if values.dtype.kind == "f" and dtype.kind != "f":
                raise ValueError(f"column {column.name!r} holds nulls, its footer says none")
            rows[start : start + len(values), at:to] = values
        at = to
    return rows


def weights_of(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return the column of weights (n,).

    Raises
    ------
    ValueError
        If a weight is null, NaN, infinite or negative.
    """
    weights = np.empty(len(table))
    for start, values in _pieces(table.column(name), None):
        weights[start : start + len(values)] = values[:, 0]
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"{len(bad):,} weights in column {name!r} are null, NaN, infinite or negative, the "
            f"first in its row {bad[0]}"
        )
    return weights


def _pieces(column: pa.ChunkedArray, width: int | None) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield the runs of a column as (first row, values (n, width)); null is NaN."""
    start = 0
    for chunk in column.chunks:
        values = _numbers(chunk) if width is None else _lists(chunk, width)
        yield start, values.reshape(len(chunk), width or 1)
        start += len(chunk)


def _numbers(chunk: pa.Array) -> npt.NDArray[Any]:
    if pa.types.is_null(chunk.type):
        return np.full(len(chunk), np.nan, np.float32)
    if pa.types.is_boolean(chunk.type):
        chunk = pc.cast(chunk, pa.uint8())
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


def _lists(chunk: pa.Array, width: int) -> npt.NDArray[Any]:
    # `flatten` would drop the lists that are null; the child array has room for them.
    child = chunk.values.slice(chunk.offset * width, len(chunk) * width)
    values = _numbers(child).reshape(len(chunk), width)
    if chunk.null_count:
        values = values.astype(np.result_type(values.dtype, np.float32))
        values[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def _element(found: pa.DataType) -> pa.DataType:
    return found.value_type if pa.types.is_fixed_size_list(found) else found


def _is_number(found: pa.DataType) -> bool:
    return pa.types.is_integer(found) or pa.types.is_floating(found)


def _listed(schema: pa.Schema) -> str:
    names = list(dict.fromkeys(schema.names))
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def leaf_positions(schema: pa.Schema, name: str) -> range:
    """Return the numbers of a column's physical columns among those of the file."""
    position = schema.names.index(name)
    before = sum(_leaves(field.type) for field in list(schema)[:position])
    return range(before, before + _leaves(schema.field(position).type))


def _leaves(found: pa.DataType) -> int:
    """Return how many physical columns Parquet stores for a type."""
    if isinstance(found, pa.BaseExtensionType):
        return _leaves(found.storage_type)
    return sum(_leaves(found.field(i).type) for i in range(found.num_fields)) or 1
