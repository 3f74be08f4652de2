"""What the outputs of a run look like: shapes, types and fill values, told in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sources import Source
from dask_gmm.errors import ConfigurationError
from dask_gmm.palette import class_colors
from dask_gmm.run.config import Config
from dask_gmm.run.config.sections import Outputs


@dataclass(frozen=True)
class Form:
    """What one output looks like, over the source's leading axes.

    Attributes
    ----------
    trailing : tuple of int
        Lengths of the axes behind the leading ones.
    dtype : dtype
    masked : float
        What stands where a row does not take part.
    columns : tuple of str
        What its columns are called in a table, its bands in a picture.
    colors : tuple of (int, int, int)
        Of labels 1, 2, ...; none where the numbers are no labels.
    """

    trailing: tuple[int, ...]
    dtype: npt.DTypeLike
    masked: float
    columns: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()


def forms(K: int) -> dict[str, Form]:
    """Return the form of every output of a mixture of K components, by name."""
    probabilities = tuple(f"p_{k}" for k in range(1, K + 1))
    return {
        "labels": Form((), np.min_scalar_type(K), 0, ("label",), _colors(K)),
        "probabilities": Form((K,), np.float32, np.nan, probabilities),
        "uncertainty": Form((), np.float32, np.nan, ("uncertainty",)),
        "log_density": Form((), np.float64, np.nan, ("log_density",)),
    }


def check_shapes(config: Config, source: Source) -> None:
    """Refuse pictures of what has no rows and columns, or more axes than these.

    Raises
    ------
    ConfigurationError
    """
    shape = source.grid.shape
    for name, output in config.outputs.written().items():
        kind = config.output_kind(name)
        if kind == "geotiff" or (kind == "image" and output.path.lower().endswith(".png")):
            what = "GeoTIFF" if kind == "geotiff" else "PNG"
            if len(shape) != 2:
                raise ConfigurationError(
                    f"outputs.{name}: a {what} has rows and columns, but the leading shape of the "
                    f"input (all axes but the features') is {shape}; allowed: zarr, npy, or image "
                    "with a path that ends with .tif, a page per plane"
                )


@cache
def _colors(K: int) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(r), int(g), int(b)) for r, g, b in class_colors(K))


def check_columns(outputs: Outputs, K: int) -> None:
    """Refuse columns to be kept that would stand in a table of results twice.

    Raises
    ------
    ConfigurationError
    """
    taken = {column for name in outputs.written() for column in forms(K)[name].columns}
    clash = [name for name in outputs.keep if name in taken or outputs.keep.count(name) > 1]
    if clash:
        raise ConfigurationError(
            f"outputs.keep: the column {clash[0]!r} would stand in the results twice; leave it "
            "out, or rename it in the input"
        )
