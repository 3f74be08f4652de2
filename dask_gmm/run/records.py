"""One value in one file: safetensors with a checksum, whole or absent, never unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.model_file import write_durably
from dask_gmm.run.encoding import decode, encode

_KEY = "dask-gmm"
_CHECKSUM = "sha256"
#: safetensors' names of NumPy's types.
_DTYPES = {"BOOL": "|b1", "F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind.upper()}{bits}": f"<{kind}{bits // 8}" for kind in "iu" for bits in (8, 16, 32, 64)
}


class DamagedRecordError(ValueError):
    """A file is not what was written."""


def write_record(path: Path, value: Any) -> Any:
    """Write a value, flushed to the disk and renamed into place; return what a reader will get.

    Going on with what a reader will get, and not with what was computed, an undisturbed program and
    one that was started again cannot differ.
    """
    from safetensors.numpy import save

    arrays, document = encode(value)
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    write_durably(path, save(arrays, {_KEY: text, _CHECKSUM: _checksum(arrays, text)}))
    return decode(arrays, document)


def read_record(path: Path) -> Any:
    """Read a value.

    Raises
    ------
    DamagedRecordError
        If the file cannot be read, or is torn or changed.
    """
    from safetensors import SafetensorError, deserialize

    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        head = json.loads(content[8 : 8 + size])["__metadata__"]
        arrays = {name: _array(entry) for name, entry in deserialize(content)}
        if head[_CHECKSUM] != _checksum(arrays, head[_KEY]):
            raise DamagedRecordError(f"{path}: the checksum is not that of the content")
        return decode(arrays, json.loads(head[_KEY]))
    except DamagedRecordError:
        raise
    except (
        OSError,
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise DamagedRecordError(f"{path}: {type(error).__name__}: {error}") from error


def _array(entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    return np.frombuffer(entry["data"], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _checksum(arrays: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(f"{len(text)}\n{text}".encode())
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(f"{name}\0{value.dtype.str}\0{value.shape}\0".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
