"""Values as arrays and JSON, and back, to the bit: what can be kept without pickling.

Numbers, texts, tuples, lists, mappings, arrays, data types, covariance families, and frozen
dataclasses of these that are defined in this package: nothing else is encoded, and decoding makes
nothing else. Classes are looked up among the modules that are loaded; nothing is imported for a
name that stands in a file, and a class checks its own values as ever.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.families import Family, family

#: Where the classes are defined whose values may be kept; none of these holds a path or a secret.
ROOMS = ("dask_gmm.mixture.", "dask_gmm.fit.", "dask_gmm.run.segment", "dask_gmm.run.quicklook")

Arrays = dict[str, npt.NDArray[Any]]


def encode(value: Any) -> tuple[Arrays, Any]:
    """Return the arrays in a value, C-contiguous and little-endian, and the rest as JSON values.

    Raises
    ------
    TypeError
        If there is something in it that cannot be kept.
    """
    arrays: Arrays = {}
    return arrays, _encoded(value, arrays)


def decode(arrays: Mapping[str, npt.NDArray[Any]], document: Any) -> Any:
    """Return the value that was encoded.

    Raises
    ------
    ValueError
        If this is no encoded value.
    """
    try:
        return _decoded(document, arrays)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an encoded value ({type(error).__name__}: {error})") from error


def _encoded(value: Any, arrays: Arrays) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.ndarray | np.generic):
        return _encoded_array(np.asarray(value), arrays, scalar=isinstance(value, np.generic))
    if type(value) is list:
        return [_encoded(each, arrays) for each in value]
    if type(value) is tuple:
        return {"tuple": [_encoded(each, arrays) for each in value]}
    if type(value) is dict:
        return {"dict": [[_encoded(k, arrays), _encoded(v, arrays)] for k, v in value.items()]}
    if isinstance(value, Family):
        return {"family": value.name}
    if isinstance(value, np.dtype):
        return {"dtype": _plain(value).str}
    if _may_be_kept(type(value)):
        fields = {
            each.name: _encoded(getattr(value, each.name), arrays)
            for each in dataclasses.fields(value)
            if each.init
        }
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "fields": fields}
    raise TypeError(f"a value of {type(value)} cannot be kept in a checkpoint")


def _encoded_array(value: npt.NDArray[Any], arrays: Arrays, *, scalar: bool) -> dict[str, Any]:
    name = str(len(arrays))
    little = _plain(value.dtype).newbyteorder("<")
    arrays[name] = np.array(value, dtype=little, order="C")
    return {"array": name, "dtype": value.dtype.str, "scalar": scalar}


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type of numbers that a file can hold."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(f"an array of {dtype} cannot be kept in a checkpoint")
    return dtype


def _may_be_kept(kind: type) -> bool:
    return (
        dataclasses.is_dataclass(kind)
        and kind.__module__.startswith(ROOMS)
        and bool(getattr(kind, "__dataclass_params__").frozen)  # noqa: B009  not in the stubs
    )


def _decoded(document: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    if isinstance(document, list):
        return [_decoded(each, arrays) for each in document]
    if not isinstance(document, dict):
        return document
    if "array" in document:
        value = arrays[document["array"]].astype(_plain(np.dtype(document["dtype"])), order="C")
        return value[()] if document["scalar"] else value
    if "class" in document:
        fields = {k: _decoded(v, arrays) for k, v in document["fields"].items()}
        return _class_named(document["class"])(**fields)
    ((kind, inner),) = document.items()
    if kind == "tuple":
        return tuple(_decoded(each, arrays) for each in inner)
    if kind == "dict":
        return {_decoded(k, arrays): _decoded(v, arrays) for k, v in inner}
    if kind == "float":
        return float(inner)
    if kind == "family":
        return family(inner)
    if kind == "dtype":
        return _plain(np.dtype(inner))
    raise ValueError(f"not an encoded value: {kind!r}")


def _class_named(name: str) -> type:
    module, _, inner = name.partition(":")
    found = getattr(sys.modules.get(module), inner, None) if module.startswith(ROOMS) else None
    if not isinstance(found, type) or not _may_be_kept(found):
        raise ValueError(f"{name} is no class whose values are kept")
    return found
