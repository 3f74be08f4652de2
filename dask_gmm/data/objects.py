"""The files behind a store's keys, looked at without decoding them: presence, size, frames."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dask_gmm.errors import InputDataError

BLOSC_HEADER = 16  # bytes; the length of the whole frame stands in the last four
INDEX_ENTRY = 16  # bytes; offset and length of one inner chunk


class StoredObject(NamedTuple):
    """Size in bytes and time of modification in nanoseconds of one stored object."""

    size: int
    mtime_ns: int


def find_objects(root: Path, keys: Iterable[str]) -> dict[str, StoredObject]:
    """Return size and time of those of the keys below `root` that are there as files.

    This is the one place that asks a store what it holds; another kind of store needs another such
    function. Here every key is looked up: a listing would look up every file as well, and with
    Zarr's default keys (c/17/4/0) open one directory per chunk besides, at twice the time.

    Parameters
    ----------
    root : Path
        Directory of the array.
    keys : iterable of str
        '/'-separated paths below it.

    Raises
    ------
    InputDataError
        If a key cannot be looked up.
    """
    found: dict[str, StoredObject] = {}
    prefix = f"{root}/"
    for key in keys:
        try:
            status = os.stat(prefix + key)  # noqa: PTH116  a Path would cost more than the look-up
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InputDataError(
                f"{root}: chunk {key} cannot be looked up ({error.strerror}); make it readable"
            ) from error
        if stat.S_ISREG(status.st_mode):
            found[key] = StoredObject(status.st_size, status.st_mtime_ns)
    return found


def storage_fault(path: Path, *, blosc: bool = False, index_first: int = 0) -> str | None:
    """Say what is wrong with one stored object, as far as it shows without decoding.

    Zarr reads an absent chunk and an empty shard as the fill value, and numcodecs' Blosc decoder
    does not know how many bytes it was given: it reads past the end of a truncated chunk and may
    return whatever lies there (numcodecs#228). So all that is looked at before decoding.

    Parameters
    ----------
    path : Path
        File of the object.
    blosc : bool
        Whether the whole object is one Blosc frame.
    index_first : int
        Number of inner chunks of a shard whose index stands in front; 0 for any other object. (An
        index at the end does not survive truncation, and carries a checksum.)

    Returns
    -------
    str or None
        ``"missing"``, ``"empty"``, another predicate, or None if nothing is wrong.
    """
    try:
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            head = file.read(max(BLOSC_HEADER * blosc, INDEX_ENTRY * index_first))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"not readable ({error.strerror})"
    if status.st_size == 0:
        return "empty"
    size = status.st_size
    if blosc:
        declared = struct.unpack_from("<I", head, 12)[0] if len(head) == BLOSC_HEADER else None
        if declared != size:
            return f"truncated or corrupt ({size} bytes, its Blosc header says {declared})"
    if index_first:
        end = _end_of_shard(head) if len(head) == INDEX_ENTRY * index_first else None
        if end is None or end > size:
            return f"truncated or corrupt ({size} bytes, its shard index reaches to {end})"
    return None


def _end_of_shard(index: bytes) -> int:
    """Return the end of the last inner chunk by an index of (offset, length) pairs."""
    offsets, lengths = np.frombuffer(index, dtype="<u8").reshape(-1, 2).T
    present = offsets != np.iinfo(np.uint64).max
    return int(np.max(offsets + lengths, where=present, initial=0))
