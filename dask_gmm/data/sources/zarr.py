"""Rows out of a local Zarr array, format 2 or 3, sharded or not, features on any axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Block, Grid
from dask_gmm.data.manifest import ArrayManifest, fingerprint
from dask_gmm.data.objects import find_objects, storage_fault
from dask_gmm.data.zarr_hierarchy import locate_array
from dask_gmm.data.zarr_layout import (
    ZarrLayout,
    check_content,
    one_chunk_at_a_time,
    open_array,
    read_documents,
    read_layout,
    resolve_feature_axis,
)
from dask_gmm.errors import ConfigurationError, InputDataError

REMEDY = "restore it from a copy or write the array again"


@dataclass(frozen=True)
class ZarrSource:
    """A Zarr array whose cells are its chunks (its shards, where it is sharded) over all features.

    Make one with `ZarrSource.open`. It holds no file handle: it pickles to about 1 kB, and every
    process opens the array when it first reads.

    Parameters
    ----------
    path : str
        Absolute path as configured: of the array, or of the group that holds `variable`.
    variable : str or None
        Array inside the group.
    feature_axis : int or None
        Not negative; None: one feature, every axis is leading.
    fill_missing : bool
        Whether absent chunks are read as the fill value instead of refused.
    layout : ZarrLayout
        What the array's metadata say.
    feature_names : tuple of str or None
        From the array's attribute `feature_names`, if it is a list of D strings.
    """

    path: str
    variable: str | None
    feature_axis: int | None
    fill_missing: bool
    layout: ZarrLayout
    feature_names: tuple[str, ...] | None

    @classmethod
    def open(
        cls,
        path: str,
        *,
        variable: str | None = None,
        feature_axis: int | str | None = -1,
        missing_chunks: str = "error",
    ) -> ZarrSource:
        """Open an array by its metadata; parameters and errors as in `open_source`."""
        if "://" in str(path):
            raise ConfigurationError(
                f"source.path: found {path!r}; URLs are not supported in this version, "
                "allowed is the path of a local directory"
            )
        if missing_chunks not in ("error", "fill"):
            raise ConfigurationError(
                f"source.missing_chunks: found {missing_chunks!r}; allowed: error, fill"
            )
        absolute = Path(path).absolute()
        layout, attributes = read_layout(locate_array(absolute, variable))
        check_content(layout)
        axis = resolve_feature_axis(feature_axis, layout)
        n_features = 1 if axis is None else layout.shape[axis]
        return cls(
            path=str(absolute),
            variable=variable,
            feature_axis=axis,
            fill_missing=missing_chunks == "fill",
            layout=layout,
            feature_names=_feature_names(attributes.get("feature_names"), n_features),
        )

    @property
    def grid(self) -> Grid:
        """The leading axes, cut into cells."""
        shape = self._leading(self.layout.shape)
        # Chunks may be longer than the array; a cell is not.
        chunks = tuple(map(min, self._leading(self.layout.objects), shape))
        return Grid(shape, chunks, self.layout.names and self._leading(self.layout.names))

    @property
    def n_features(self) -> int:
        """D."""
        return 1 if self.feature_axis is None else self.layout.shape[self.feature_axis]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values that `read` returns: as stored, but uint8 for booleans."""
        return np.dtype(np.uint8) if self.layout.dtype.kind == "b" else self.layout.dtype

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """(D,), as stored."""
        return (self.layout.dtype,) * self.n_features

    def part(self, cells: Sequence[int]) -> ZarrSource:
        """Return what a task needs that reads only these cells: the whole value, it is small."""
        return self

    def where(self, first: int, last: int | None = None) -> str:
        """Name a run of cells: the path, and the chunks' places along the leading axes."""
        place = f"chunk {self.grid.coordinates(first)}"
        if last not in (None, first):
            place = f"chunks {self.grid.coordinates(first)} to {self.grid.coordinates(last)}"
        return f"{self.path}: {place} of the leading axes"

    def read(self, cell: int) -> Block:
        """Read one cell as rows.

        The block owns freshly allocated memory. With the features last its values are C-contiguous
        (n, D); with the features first they are the transpose of what was read, not a copy. Arrays
        stored big-endian in format 2 stay big-endian.

        Parameters
        ----------
        cell : int
            Number of the cell in `grid`.

        Returns
        -------
        Block
            Values of shape (n, D), rows in the cell's C order.

        Raises
        ------
        InputDataError
            Naming file and chunk, if something is missing, truncated or corrupt. What an inner
            chunk of a shard does not store is the fill value by the format's own rule; and changed
            bytes are noticed only where the codecs carry a checksum.
        """
        keys = self._keys(cell)
        for key in keys:
            self._check_stored(key)
        values = self._fetch(self._selection(cell), keys)
        if values.dtype.kind == "b":
            values = values.view(np.uint8)
        if self.feature_axis is None:
            return Block(values.reshape(-1, 1))
        return Block(np.moveaxis(values, self.feature_axis, -1).reshape(-1, self.n_features))

    def manifest(self) -> ArrayManifest:
        """Describe the array from its metadata and the sizes of its chunks; reads none.

        Raises
        ------
        InputDataError
            If chunks are missing (unless they may be filled) or empty: Zarr would read both as the
            fill value without a word.
        """
        layout = self.layout
        encode = open_array(layout).metadata.encode_chunk_key
        keys = [encode(c) for c in itertools.product(*map(range, layout.counts))]
        stored = find_objects(Path(layout.path), keys)
        missing = tuple(key for key in keys if key not in stored)
        self._refuse("missing", () if self.fill_missing else missing, len(keys))
        self._refuse("empty (0 bytes)", [k for k in stored if not stored[k].size], len(keys))
        return ArrayManifest(
            kind="zarr",
            path=self.path,
            variable=self.variable,
            shape=layout.shape,
            feature_axis=self.feature_axis,
            n_features=self.n_features,
            dtype=layout.dtype.str,
            chunks=layout.chunks,
            cell_shape=self.grid.chunks,
            n_cells=len(self.grid),
            zarr_format=layout.zarr_format,
            stored_bytes=sum(chunk.size for chunk in stored.values()),
            decoded_bytes=math.prod(layout.shape) * layout.dtype.itemsize,
            missing=missing,
            fingerprint=fingerprint(read_documents(Path(layout.path)), stored),
        )

    def _leading(self, per_axis: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x for axis, x in enumerate(per_axis) if axis != self.feature_axis)

    def _selection(self, cell: int) -> tuple[slice, ...]:
        region = list(self.grid.region(cell))
        if self.feature_axis is not None:
            region.insert(self.feature_axis, slice(None))
        return tuple(region)

    def _keys(self, cell: int) -> dict[str, tuple[int, ...]]:
        """Return the stored objects of a cell: coordinates by key, one per chunk of features."""
        encode = open_array(self.layout).metadata.encode_chunk_key
        coordinates: list[tuple[int, ...]] = [(i,) for i in self.grid.coordinates(cell)]
        if self.feature_axis is not None:
            n_objects = self.layout.counts[self.feature_axis]
            coordinates.insert(self.feature_axis, tuple(range(n_objects)))
        return {encode(c): c for c in itertools.product(*coordinates)}

    def _check_stored(self, key: str) -> None:
        layout = self.layout
        fault = storage_fault(
            Path(layout.path, key), blosc=layout.blosc, index_first=layout.index_first
        )
        if fault is not None and not (fault == "missing" and self.fill_missing):
            raise InputDataError(f"{layout.path}: chunk {key} is {fault}; {REMEDY}")

    def _fetch(
        self, selection: tuple[slice, ...], keys: dict[str, tuple[int, ...]]
    ) -> npt.NDArray[Any]:
        try:
            with one_chunk_at_a_time():
                return np.asarray(open_array(self.layout)[selection])
        except (MemoryError, InputDataError):
            raise
        except Exception as error:  # every codec raises its own
            raise InputDataError(
                f"{self.layout.path}: chunk {self._culprits(keys)} cannot be decoded "
                f"({type(error).__name__}: {error}); {REMEDY}"
            ) from error

    def _culprits(self, keys: dict[str, tuple[int, ...]]) -> str:
        """Name the objects among `keys` that do not decode by themselves."""
        if len(keys) == 1:
            return next(iter(keys))
        bad = []
        for key, coordinates in keys.items():
            sizes = zip(coordinates, self.layout.objects, strict=True)
            try:
                open_array(self.layout)[tuple(slice(i * n, (i + 1) * n) for i, n in sizes)]
            except Exception:
                bad.append(key)
        return ", ".join(bad or keys)

    def _refuse(self, what: str, keys: Sequence[str], total: int) -> None:
        if not keys:
            return
        first = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
        fill = (
            ", or set source.missing_chunks: fill if the writer left out chunks that hold only the "
            "fill value (Zarr does so by default)"
            if what == "missing"
            else ""
        )
        raise InputDataError(
            f"{self.layout.path}: {len(keys)} of {total} chunks are {what}: {first}; {REMEDY}{fill}"
        )


def _feature_names(attribute: Any, n_features: int) -> tuple[str, ...] | None:
    if not isinstance(attribute, list) or len(attribute) != n_features:
        return None
    return tuple(attribute) if all(isinstance(name, str) for name in attribute) else None
