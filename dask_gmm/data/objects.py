"""What a store's keys hold, judged without decoding: presence, size, frames."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

BLOSC_HEADER = 16  # bytes; the length of the whole frame stands in the last four
INDEX_ENTRY = 16  # bytes; offset and length of one inner chunk


class StoredObject(NamedTuple):
    """Size in bytes of one stored object, and what tells its versions apart.

    The version is the time of modification in nanoseconds on a file system, and the entity tag (or
    time) that an object store lists.
    """

    size: int
    version: int | str


def content_fault(
    size: int, head: bytes, *, blosc: bool = False, index_first: int = 0
) -> str | None:
    """Say what is wrong with one stored object, as far as it shows without decoding.

    Zarr reads an empty shard as the fill value, and numcodecs' Blosc decoder does not know how many
    bytes it was given: it reads past the end of a truncated chunk and may return whatever lies
    there (numcodecs#228). So all that is looked at before decoding.

    Parameters
    ----------
    size : int
        Bytes of the object.
    head : bytes
        Its beginning, at least `head_bytes` of it where there are so many.
    blosc : bool
        Whether the whole object is one Blosc frame.
    index_first : int
        Number of inner chunks of a shard whose index stands in front; 0 for any other object. (An
        index at the end does not survive truncation, and carries a checksum.)

    Returns
    -------
    str or None
        A predicate ("empty", ...), or None if nothing is wrong.
    """
    if size == 0:
        return "empty"
    if blosc:
        declared = struct.unpack_from("<I", head, 12)[0] if len(head) >= BLOSC_HEADER else None
        if declared != size:
            return f"truncated or corrupt ({size} bytes, its Blosc header says {declared})"
    if index_first:
        whole = INDEX_ENTRY * index_first
        end = _end_of_shard(head[:whole]) if len(head) >= whole else None
        if end is None or end > size:
            return f"truncated or corrupt ({size} bytes, its shard index reaches to {end})"
    return None


def head_bytes(*, blosc: bool, index_first: int) -> int:
    """Return how much of an object's beginning `content_fault` wants to see."""
    return max(BLOSC_HEADER * blosc, INDEX_ENTRY * index_first)


def _end_of_shard(index: bytes) -> int:
    """Return the end of the last inner chunk by an index of (offset, length) pairs."""
    offsets, lengths = np.frombuffer(index, dtype="<u8").reshape(-1, 2).T
    present = offsets != np.iinfo(np.uint64).max
    return int(np.max(offsets + lengths, where=present, initial=0))
