"""What the outputs of a run look like: shapes, types and fill values, told in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sources import Source
from dask_gmm.data.sources.several import SeveralSource, members_of
from dask_gmm.errors import ConfigurationError
from dask_gmm.palette import class_colors
from dask_gmm.run.config import Config

#: A probability p as a byte is p times this, rounded: the byte above stands for "masked".
QUANTA = 254


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
    scale : float or None
        Times this, what stands there is the value; None: it is the value itself.
    """

    trailing: tuple[int, ...]
    dtype: npt.DTypeLike
    masked: float
    columns: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    scale: float | None = None

    @property
    def attributes(self) -> dict[str, float]:
        """What a reader that knows the CF conventions needs to see values, masked ones as NaN."""
        if self.scale is None:
            return {}
        return {"scale_factor": self.scale, "add_offset": 0.0, "_FillValue": self.masked}


def forms(K: int, *, top: int | None = None, quantised: bool = False) -> dict[str, Form]:
    """Return the form of every output of a mixture of K components, by name.

    Parameters
    ----------
    K : int
    top : int, optional
        How many probabilities of a row are written, the highest first; None: all, in the order of
        the labels. Whose they are is then an output of its own, ``top_labels``.
    quantised : bool
        Whether probabilities are bytes: 0 to 254 for 0 to 1, 255 where masked.
    """
    m = K if top is None else top
    numbers = range(1, m + 1)
    label = np.min_scalar_type(K)
    p = tuple(f"p_{k}" for k in numbers)
    probabilities = Form((m,), np.float32, np.nan, p)
    if quantised:
        probabilities = Form((m,), np.uint8, QUANTA + 1, p, scale=1 / QUANTA)
    return {
        "labels": Form((), label, 0, ("label",), _colors(K)),
        "probabilities": probabilities,
        "top_labels": Form((m,), label, 0, tuple(f"label_{k}" for k in numbers)),
        "uncertainty": Form((), np.float32, np.nan, ("uncertainty",)),
        "log_density": Form((), np.float64, np.nan, ("log_density",)),
    }


def check_shapes(config: Config, source: Source) -> None:
    """Refuse pictures of what has no rows and columns, and names that do not say a format.

    Raises
    ------
    ConfigurationError
    """
    several = isinstance(source, SeveralSource)
    for name, output in config.written().items():
        kind = output.kind
        ending = suffix_of(kind, name) if several else output.path.lower()
        if kind == "nifti" and not ending.endswith((".nii", ".nii.gz")):
            raise ConfigurationError(
                f"outputs.{name}: found path {output.path!r}; the name of a NIfTI volume ends in "
                ".nii or .nii.gz; correct it, or set kind: zarr"
            )
        if kind == "geotiff" or (kind == "image" and ending.endswith(".png")):
            what = "GeoTIFF" if kind == "geotiff" else "PNG"
            shapes = (member.grid.shape for member in members_of(source))
            shape = next((each for each in shapes if len(each) != 2), None)
            if shape is not None:
                raise ConfigurationError(
                    f"outputs.{name}: a {what} has rows and columns, but the leading shape of the "
                    f"input (all axes but the features') is {shape}; allowed: zarr, npy, or image "
                    "with a path that ends with .tif, a page per plane"
                )


@cache
def _colors(K: int) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(r), int(g), int(b)) for r, g, b in class_colors(K))


#: How the names of results end, where each of many inputs has its own: by kind, or kind/output.
SUFFIX = {
    "zarr": ".zarr",
    "npy": ".npy",
    "geotiff": ".tif",
    "image": ".tif",
    "image/labels": ".png",
    "nifti": ".nii.gz",
    "netcdf": ".nc",
    "ome-zarr": ".zarr",
}


def suffix_of(kind: str, name: str) -> str:
    """Return how the names of an output's files end."""
    return SUFFIX.get(f"{kind}/{name}", SUFFIX[kind])


def forms_of(config: Config, K: int) -> dict[str, Form]:
    """Return the form of every output as a configuration wants it, by name."""
    return forms(K, top=config.outputs.top, quantised=config.outputs.quantised)


def check_outputs(config: Config) -> None:
    """Refuse more probabilities than classes, and columns that would stand in a table twice.

    Raises
    ------
    ConfigurationError
    """
    outputs, sizes = config.outputs, [K for _, K in config.model.kinds]
    if outputs.top is not None and outputs.top > min(sizes):
        raise ConfigurationError(
            f"outputs.probabilities.top: found {outputs.top}, but there are {min(sizes)} classes; "
            f"allowed 1 to {min(sizes)}, or null for all"
        )
    form = forms_of(config, max(sizes))
    taken = {column for name in config.written() for column in form[name].columns}
    clash = [name for name in outputs.keep if name in taken or outputs.keep.count(name) > 1]
    if clash:
        raise ConfigurationError(
            f"outputs.keep: the column {clash[0]!r} would stand in the results twice; leave it "
            "out, or rename it in the input"
        )
