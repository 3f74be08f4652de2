"""Sources: whatever can be cut into cells of rows and read cell by cell, on any worker."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Block, Cells
from dask_gmm.data.manifest import InputManifest
from dask_gmm.errors import ConfigurationError

if TYPE_CHECKING:
    from dask_gmm.data.sources.opening import Likeness


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

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """(D,), from one value of a feature to the next as `read` returns it; 0: there is none."""

    @property
    def geometry(self) -> Geometry | None:
        """Where the pixels lie, for sinks, manifest and report; None where the format has none."""

    def part(self, cells: Sequence[int]) -> Source:
        """Return what a task needs that reads only these consecutive cells.

        Cells keep their numbers, rows theirs. It is a smaller value where a source is large: every
        task of every pass carries one.
        """

    def where(self, first: int, last: int | None = None) -> str:
        """Name a cell, or a run of them, as errors do: the file, and the block in it."""

    @property
    def beside_bytes(self) -> int:
        """What reading a cell takes beyond a few times its rows, in bytes."""

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


@dataclass(frozen=True)
class MaskOptions:
    """What the configuration says of a mask: where it lies, and which of its values keep a row."""

    path: str
    keep: str = "nonzero"


@dataclass(frozen=True)
class SourceOptions:
    """The configuration's `source` section: what an opener is given.

    Parameters
    ----------
    kind : str
        Kind of source; a key of `KINDS`.
    path : str or tuple of str
        Where it is: a path or a URL. Many inputs are a list of these, a glob, or a folder; those of
        a table are one table.
    variable : str, optional
        Array inside a group, nested ones with '/'.
    feature_axis : int, str or None
        Axis of the features by number or name; None: one feature, every axis is leading.
    columns : tuple of (int or str), optional
        Features to read, by number or name; of a group, the arrays that are its bands. Of a table,
        the columns; by default all of numbers.
    weights : str, optional
        An array of the leading shape; a column of a table.
    keep : tuple of str
        Columns of a table that will be carried into the outputs.
    mask : MaskOptions, optional
    nodata : "auto", None, number or tuple of numbers
        Values that stand for no data; "auto": what the input declares.
    missing_chunks : {"error", "fill"}
        Whether absent chunks are refused or read as the fill value.
    storage_options : mapping
        For fsspec, of every URL of the section. Never shown.
    directory : path, optional
        What relative paths are relative to; by default the working directory.
    """

    kind: str
    path: str | Sequence[str]
    variable: str | None = None
    feature_axis: int | str | None = -1
    columns: tuple[int | str, ...] | None = None
    weights: str | None = None
    keep: tuple[str, ...] = ()
    mask: MaskOptions | None = None
    nodata: str | float | tuple[float, ...] | None = "auto"
    missing_chunks: str = "error"
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    directory: str | os.PathLike[str] | None = None

    def changed(self) -> list[str]:
        """Return the names of the options that are not left at their default."""
        plain = SourceOptions(self.kind, self.path)
        names = (each.name for each in fields(self) if each.name not in ("kind", "path"))
        return [name for name in names if getattr(self, name) != getattr(plain, name)]


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Parameters
    ----------
    module, opener : str
        Where its opener is, a function of `SourceOptions`: nothing is imported before it is needed.
    takes : frozenset of str
        The options that mean something to it; the others are refused, never ignored.
    suffixes : tuple of str
        How names of inputs end, in small letters; none: its opener takes many inputs as one itself.
    is_folder : bool
        Whether an input is itself a folder, of Zarr's.
    """

    module: str
    opener: str
    takes: frozenset[str]
    suffixes: tuple[str, ...] = ()
    is_folder: bool = False

    def open(self, options: SourceOptions) -> Source:
        """Open a source of this kind."""
        for name in options.changed():
            if name not in self.takes | {"directory"}:
                raise ConfigurationError(
                    f"source.{name}: does not apply to kind {options.kind}, which takes "
                    f"{', '.join(sorted(self.takes))}; remove it"
                )
        opener: Callable[[SourceOptions], Source] = getattr(
            importlib.import_module(f"dask_gmm.data.sources.{self.module}"), self.opener
        )
        return opener(options)


_ROWS = {"weights", "mask", "nodata"}
KINDS: dict[str, Kind] = {
    "zarr": Kind(
        "openers",
        "open_zarr",
        frozenset(
            _ROWS | {"variable", "feature_axis", "columns", "missing_chunks", "storage_options"}
        ),
        (".zarr",),
        is_folder=True,
    ),
    "npy": Kind(
        "openers",
        "open_npy",
        # A mask or weights may be Zarr behind a URL.
        frozenset(_ROWS | {"feature_axis", "columns", "storage_options"}),
        (".npy",),
    ),
    "geotiff": Kind(
        "geotiff",
        "open_geotiff",
        frozenset(_ROWS | {"columns", "missing_chunks"}),
        (".tif", ".tiff"),
    ),
    "image": Kind(
        "image",
        "open_image",
        frozenset(_ROWS | {"columns"}),
        (".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    ),
    "nifti": Kind(
        "nifti",
        "open_nifti",
        frozenset(_ROWS | {"feature_axis", "columns"}),
        (".nii", ".nii.gz"),
    ),
    "netcdf": Kind(
        "netcdf",
        "open_netcdf",
        frozenset(_ROWS | {"variable", "feature_axis", "columns"}),
        (".nc", ".nc4", ".cdf"),
    ),
    "ome-zarr": Kind(
        "ome_zarr",
        "open_ome_zarr",
        frozenset(
            _ROWS | {"variable", "feature_axis", "columns", "missing_chunks", "storage_options"}
        ),
        (".zarr", ".ome.zarr"),
        is_folder=True,
    ),
    "parquet": Kind(
        "parquet", "open_parquet", frozenset({"columns", "weights", "keep", "storage_options"})
    ),
}


def begin_reading(source: Source) -> Callable[[int], Block]:
    """Return what reads cells of a source one after the other.

    A source that looks around cells keeps what the next one needs as well.
    """
    begin = getattr(source, "reading", None)
    return source.read if begin is None else begin()


def open_source(
    kind: str, path: str | Sequence[str], *, like: Likeness | None = None, **options: Any
) -> Source:
    """Open an input, or many as one, by the names of the configuration's `source` section.

    Parameters
    ----------
    kind, path, **options
        The fields of `SourceOptions`.
    like : Likeness, optional
        Of many inputs, those are left out and named that are not like this, or cannot be opened.

    Returns
    -------
    Source

    Raises
    ------
    ConfigurationError
        If a value is not allowed, does not apply to the kind, or does not fit the input.
    InputDataError
        If the input is missing, unreadable, empty or of a dtype that is no real number.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"source.kind: {kind!r} is not supported in this version; allowed: {', '.join(KINDS)}"
        )
    chosen, asked = KINDS[kind], SourceOptions(kind, path, **options)
    if not chosen.suffixes:
        return chosen.open(asked)
    from dask_gmm.data.sources.opening import find_inputs, open_inputs

    places = find_inputs(chosen, asked)
    return chosen.open(asked) if places is None else open_inputs(chosen, asked, places, like)
