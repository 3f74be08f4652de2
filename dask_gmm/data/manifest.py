"""What an input was when the run looked at it: shapes, sizes and a fingerprint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dask_gmm.data.objects import StoredObject


@dataclass(frozen=True, kw_only=True)
class InputManifest:
    """One input, described from metadata and from size and time of what is stored; none is decoded.

    Every kind of input has these; `ArrayManifest` and `TableManifest` say what else theirs has.

    Parameters
    ----------
    kind : str
        Kind of source, as in the configuration.
    path : str
        Absolute path of the input.
    shape : tuple of int
        Shape of the whole input, features included.
    n_features : int
        D.
    dtype : str
        NumPy's name of the dtype in which it is read, byte order included.
    n_cells : int
        Number of cells.
    stored_bytes, decoded_bytes : int
        Bytes of what is read as stored, and once decoded.
    fingerprint : str
        See `fingerprint`.
    checksums : bool
        Whether what is stored carries checksums, so that reading notices bits that have changed.
    """

    kind: str
    path: str
    shape: tuple[int, ...]
    n_features: int
    dtype: str
    n_cells: int
    stored_bytes: int
    decoded_bytes: int
    fingerprint: str
    checksums: bool = False

    @property
    def copied(self) -> bool:
        """Whether the rows of a cell do not lie in memory as they are decoded."""
        raise NotImplementedError

    @property
    def joined_bytes(self) -> int | None:
        """Most bytes carried through of a cell where results are joined to files; None: nowhere."""
        return None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row once decoded, with its weight."""
        return self.decoded_bytes // (math.prod(self.shape) // self.n_features)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON values (tuples as lists)."""
        plain = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}


@dataclass(frozen=True, kw_only=True)
class ArrayManifest(InputManifest):
    """An array: Zarr, or a NumPy file.

    Parameters
    ----------
    variable : str or None
        Array inside a group.
    feature_axis : int or None
        Axis of the features, not negative; None: one feature, every axis is leading.
    chunks : tuple of int
        Chunk shape of the whole array (inside a shard: the inner chunk).
    cell_shape : tuple of int
        Leading shape of a full cell (the shard's, where the array is sharded).
    zarr_format : int or None
        2 or 3; None where it is no Zarr.
    missing : tuple of str
        Keys of absent chunks, which read as the fill value (only with `missing_chunks: fill`).
    mask, weights : str or None
        Where they lie; the fingerprint is of them too.
    nodata : tuple of str
        The values that stand for no data.
    """

    variable: str | None
    feature_axis: int | None
    chunks: tuple[int, ...]
    cell_shape: tuple[int, ...]
    zarr_format: int | None
    missing: tuple[str, ...]
    mask: str | None = None
    weights: str | None = None
    nodata: tuple[str, ...] = ()

    @property
    def copied(self) -> bool:
        """Whether the features lie between leading axes."""
        return self.feature_axis is not None and 0 < self.feature_axis < len(self.shape) - 1


@dataclass(frozen=True)
class TableFile:
    """One file of a table: its name below the table's root, and what its footer says."""

    name: str
    row_groups: int
    rows: int
    stored_bytes: int


@dataclass(frozen=True)
class TableColumn:
    """One column that is read: its type as stored, and how many features it gives."""

    name: str
    type: str
    features: int


@dataclass(frozen=True, kw_only=True)
class TableManifest(InputManifest):
    """A table: files of row groups, taken as one.

    Parameters
    ----------
    columns : tuple of TableColumn
        Those that make the features, in their order.
    weights : str or None
        The column of weights.
    largest_row_group : int
        Rows.
    kept_bytes : int
        The most that a row group's columns hold, decoded, that are carried into the outputs.
    files : tuple of TableFile
        In order, those without rows too.
    """

    columns: tuple[TableColumn, ...]
    weights: str | None
    largest_row_group: int
    kept_bytes: int
    files: tuple[TableFile, ...]

    @property
    def copied(self) -> bool:
        """Columns are always turned into rows."""
        return True

    @property
    def joined_bytes(self) -> int:
        """Results are joined, and the columns to be kept with them."""
        return self.kept_bytes


@dataclass(frozen=True, kw_only=True)
class SeveralManifest(InputManifest):
    """Many inputs that are read as one.

    Parameters
    ----------
    members : tuple of InputManifest
        Of each of them, in order.
    """

    members: tuple[InputManifest, ...]

    @property
    def copied(self) -> bool:
        """Whether that is so for any of them."""
        return any(member.copied for member in self.members)


def fingerprint(documents: Mapping[str, bytes], objects: Mapping[str, StoredObject]) -> str:
    """Return the SHA-256 of an input's metadata documents and of (key, size, mtime) of its chunks.

    Equal fingerprints mean that nothing was written in between. The path is not part of it; a copy
    that does not keep modification times counts as changed.

    Parameters
    ----------
    documents : mapping of str to bytes
        Metadata documents by name.
    objects : mapping of str to StoredObject
        Stored chunks by key.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(documents):
        # Lengths in front: no two different inputs may run together into the same bytes.
        digest.update(f"{name}\0{len(documents[name])}\0".encode() + documents[name])
    for key in sorted(objects):
        found = objects[key]
        digest.update(f"{key}\0{found.size}\0{found.version}\n".encode())
    return digest.hexdigest()


def together(fingerprints: Iterable[str]) -> str:
    """Return one fingerprint for several arrays that make one input; of one, its own."""
    each = list(fingerprints)
    return each[0] if len(each) == 1 else hashlib.sha256("\n".join(each).encode()).hexdigest()
