"""Sources: whatever can be cut into cells of rows and read cell by cell, on any worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from dask_gmm.data.grid import Block, Grid
from dask_gmm.data.manifest import InputManifest
from dask_gmm.errors import ConfigurationError


class Source(Protocol):
    """What the engine asks of an input.

    A source is a small frozen value that travels to workers inside tasks; files are opened where
    they are read and never pickled.
    """

    @property
    def grid(self) -> Grid:
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
    path: str,
    *,
    variable: str | None = None,
    feature_axis: int | str | None = -1,
    missing_chunks: str = "error",
) -> Source:
    """Open an input by the names of the configuration's `source` section.

    Parameters
    ----------
    kind : str
        Kind of source; a key of `KINDS`.
    path : str
        Where it is; relative paths are made absolute here, before anything reaches a worker.
    variable : str, optional
        Array inside a group, nested ones with '/'.
    feature_axis : int, str or None
        Axis of the features by number or name; None: one feature, every axis is leading.
    missing_chunks : {"error", "fill"}
        Whether absent chunks are refused or read as the fill value.

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
    return KINDS[kind](
        path, variable=variable, feature_axis=feature_axis, missing_chunks=missing_chunks
    )


def _open_zarr(path: str, **options: Any) -> Source:
    # Zarr takes a quarter of a second to import: nothing is imported before it is needed.
    from dask_gmm.data.sources.zarr import ZarrSource

    return ZarrSource.open(path, **options)


KINDS: dict[str, Callable[..., Source]] = {"zarr": _open_zarr}
