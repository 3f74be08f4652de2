"""Sources: whatever can be cut into cells of rows and read cell by cell, on any worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dask_gmm.data.grid import Block, Cells
from dask_gmm.data.manifest import InputManifest
from dask_gmm.errors import ConfigurationError


class Source(Protocol):
    """What the engine asks of an input.

    A source is a small frozen value that travels to workers inside tasks; files are opened where
    they are read and never pickled.
    """

    @property
    def grid(self) -> Cells:
        """The leading axes, cut into cells."""

    @property
    def n_features(self) -> int:
        """D."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values that `read` returns, byte order included."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """D names, where the input has them."""

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """(D,), as stored: a feature of integers has a step, whatever `read` turns it into."""

    def part(self, cells: Sequence[int]) -> Source:
        """Return what a task needs that reads only these consecutive cells.

        Cells keep their numbers, rows theirs. It is a smaller value where a source is large: every
        task of every pass carries one.
        """

    def where(self, first: int, last: int | None = None) -> str:
        """Name a cell, or a run of them, as errors do: the file, and the block in it."""

    def read(self, cell: int) -> Block:
        """Read one cell as rows.

        Raises
        ------
        InputDataError
            Naming file and chunk, if the cell cannot be read or decoded.
        """

    def manifest(self) -> InputManifest:
        """Describe the input from its metadata alone; called once, by the client.

        Raises
        ------
        InputDataError
            If chunks are missing or empty, unless the configuration lets them be filled.
        """


def open_source(
    kind: str,
    path: str | Sequence[str],
    *,
    variable: str | None = None,
    feature_axis: int | str | None = -1,
    missing_chunks: str = "error",
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    keep: Sequence[str] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Source:
    """Open an input by the names of the configuration's `source` section.

    What a kind has no use for is ignored; the configuration refuses it before.

    Parameters
    ----------
    kind : str
        Kind of source; a key of `KINDS`.
    path : str or sequence of str
        Where it is; relative paths are made absolute here, before anything reaches a worker.
        A table may be a list of files, directories and globs.
    variable : str, optional
        Array inside a group, nested ones with '/'.
    feature_axis : int, str or None
        Axis of the features by number or name; None: one feature, every axis is leading.
    missing_chunks : {"error", "fill"}
        Whether absent chunks are refused or read as the fill value.
    columns : sequence of str, optional
        Columns of a table that are features; by default all of numbers.
    weights : str, optional
        Column of a table that holds weights.
    keep : sequence of str
        Columns of a table that will be carried into the outputs.
    storage_options : mapping, optional
        fsspec's options for URLs; credentials among them are never shown.

    Returns
    -------
    Source

    Raises
    ------
    ConfigurationError
        If a value is not allowed or does not fit the input.
    InputDataError
        If the input is missing, unreadable, empty or of a dtype that is no real number.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"source.kind: {kind!r} is not supported in this version; allowed: {', '.join(KINDS)}"
        )
    array = {"variable": variable, "feature_axis": feature_axis, "missing_chunks": missing_chunks}
    table = {"columns": columns, "weights": weights, "keep": keep}
    return KINDS[kind](path, array, table, storage_options)


def _open_zarr(path: str, array: Mapping[str, Any], table: Any, options: Any) -> Source:
    # Zarr takes a quarter of a second to import: nothing is imported before it is needed.
    from dask_gmm.data.sources.zarr import ZarrSource

    return ZarrSource.open(path, **array)


def _open_parquet(
    path: str | Sequence[str], array: Any, table: Mapping[str, Any], options: Any
) -> Source:
    from dask_gmm.data.sources.parquet import ParquetSource

    return ParquetSource.open(path, **table, storage_options=options)


KINDS: dict[str, Callable[..., Source]] = {"zarr": _open_zarr, "parquet": _open_parquet}
