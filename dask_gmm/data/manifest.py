"""What an input was when the run looked at it: shapes, sizes and a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dask_gmm.data.objects import StoredObject


@dataclass(frozen=True)
class InputManifest:
    """One input, described from metadata and from size and time of its chunks; none is decoded.

    Parameters
    ----------
    kind : str
        Kind of source, as in the configuration.
    path : str
        Absolute path of the input.
    variable : str or None
        Array inside a group.
    shape : tuple of int
        Shape of the whole array, features included.
    feature_axis : int or None
        Axis of the features, not negative; None: one feature, every axis is leading.
    n_features : int
        D.
    dtype : str
        NumPy's name of the stored dtype, byte order included.
    chunks : tuple of int
        Chunk shape of the whole array (inside a shard: the inner chunk).
    cell_shape : tuple of int
        Leading shape of a full cell (the shard's, where the array is sharded).
    n_cells : int
        Number of cells.
    zarr_format : int
        2 or 3.
    stored_bytes, decoded_bytes : int
        Bytes of all chunks as stored, and of the array once decoded.
    missing : tuple of str
        Keys of absent chunks, which read as the fill value (only with `missing_chunks: fill`).
    fingerprint : str
        See `fingerprint`.
    """

    kind: str
    path: str
    variable: str | None
    shape: tuple[int, ...]
    feature_axis: int | None
    n_features: int
    dtype: str
    chunks: tuple[int, ...]
    cell_shape: tuple[int, ...]
    n_cells: int
    zarr_format: int
    stored_bytes: int
    decoded_bytes: int
    missing: tuple[str, ...]
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON values (tuples as lists)."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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
        digest.update(f"{key}\0{found.size}\0{found.mtime_ns}\n".encode())
    return digest.hexdigest()
