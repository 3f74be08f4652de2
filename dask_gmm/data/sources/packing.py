"""One rule for packed numbers, whatever the format: rows are values, nodata is as stored.

A format's scale and offset say what stored numbers mean, and that is what a mixture is made of:
means and covariances come out in the unit of the thing, inputs that are packed differently go
together, and a floor knows how far two values lie apart. A value that stands for no data is no
measurement. It is told, by the format and by ``source.nodata``, as it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dask_gmm.data.decoded import DecodedArray
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import possible_nodata
from dask_gmm.data.stored import StoredArray
from dask_gmm.errors import ConfigurationError


def unpacked(
    array: StoredArray,
    scale: float | tuple[float, ...],
    offset: float | tuple[float, ...],
    declared: Sequence[float],
    nodata: Any,
) -> DecodedArray:
    """Return an array of values, NaN where there is none.

    Parameters
    ----------
    array : StoredArray
    scale, offset : float or tuple of float
    declared : sequence of float
        What the format says stands for no data.
    nodata
        Of the configuration: it replaces what is declared, unless it is "auto".
    """
    wanted = declared if nodata == "auto" else given(nodata)
    return DecodedArray(array, scale, offset, possible_nodata(wanted, array.dtype))


def given(nodata: Any) -> list[float]:
    """Return the values that a configuration gives for no data."""
    return [] if nodata in ("auto", None) else np.atleast_1d(nodata).tolist()


def require_possible(nodata: Any, arrays: Sequence[StoredArray], place: str) -> None:
    """Refuse a value for no data that no array can hold as it is stored.

    Raises
    ------
    ConfigurationError
    """
    for value in given(nodata):
        if not any(possible_nodata([value], each.dtype) for each in arrays):
            dtypes = ", ".join(sorted({str(each.dtype) for each in arrays}))
            raise ConfigurationError(
                f"source.nodata: found {value!r}, which {place} ({dtypes}) cannot hold; allowed "
                "are values of that dtype, in stored units, before scale and offset"
            )


def without_nodata(options: SourceOptions) -> SourceOptions:
    """Return options under which NaN is no data: in unpacked arrays it stands for all of it."""
    return replace(options, nodata=(float("nan"),))
