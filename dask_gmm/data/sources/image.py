"""From the configuration's `source` section to a source of pictures: PNG, JPEG, TIFF and stacks."""

from __future__ import annotations

from dask_gmm.data.folders import is_url
from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.data.pictures import PictureArray
from dask_gmm.data.sources import SourceOptions
from dask_gmm.data.sources.aligned import GridSource
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.data.sources.openers import aligned, place_of, resolve_columns
from dask_gmm.data.stored import StoredArray
from dask_gmm.data.tiff_array import open_tiff
from dask_gmm.errors import ConfigurationError

TIFF = (".tif", ".tiff")
_KINDS_OF_AXES = {"X": "space", "Y": "space", "Z": "space", "T": "time"}
_COLORS = ("red", "green", "blue")


def open_image(options: SourceOptions) -> GridSource:
    """Open a picture or a stack of them.

    Samples of a pixel are the features, else a TIFF's channels, else there is one; alpha is left
    out, as it says how a picture is shown. All other axes (rows, columns, depth, time) are leading.
    """
    path = place_of(options)
    if is_url(path):
        raise ConfigurationError(
            f"source.path: found {path!r}; a picture must be a file that every worker sees: copy "
            "it here, or bring it into Zarr with dask-gmm ingest"
        )
    if path.lower().endswith(TIFF):
        array, axes, colored, alpha = open_tiff(path)
    else:
        array, named = PictureArray.open(path)
        axes, colored, alpha = "YXS", len(named) == 3, 0
    feature_axis = next((axes.index(letter) for letter in "SC" if letter in axes), None)
    n = 1 if feature_axis is None else array.shape[feature_axis]
    names = _names(n, colored)
    chosen = tuple(range(n - alpha))
    if options.columns is not None:
        chosen = resolve_columns(options.columns, n, names, path)
    geometry = Geometry(
        tuple(
            Axis(letter.lower(), _KINDS_OF_AXES.get(letter))
            for i, letter in enumerate(axes)
            if i != feature_axis
        )
    )
    columns = None if chosen == tuple(range(n)) or feature_axis is None else chosen
    source = ArraySource(
        options.kind,
        path,
        None,
        array,
        feature_axis,
        columns,
        tuple(names[i] for i in chosen),
        geometry,
    )
    return aligned(source, options, [])


def open_plane(path: str, kind: str) -> StoredArray:
    """Open a picture without features as an array of rows and columns: a mask, or weights.

    Parameters
    ----------
    path : str
    kind : str
        Of the source that it is laid over: a GeoTIFF's mask is read as the GeoTIFF is.

    Raises
    ------
    ConfigurationError
        If it has several bands or samples.
    """
    if kind == "geotiff" and path.lower().endswith(TIFF):
        from dask_gmm.data.sources.geotiff import open_plane as open_band

        return open_band(path)
    if path.lower().endswith(TIFF):
        array, axes, _, _ = open_tiff(path)
        if "S" not in axes:
            return array
        names: tuple[str, ...] = _names(array.shape[axes.index("S")], colored=True)
    else:
        picture, names = PictureArray.open(path)
        if len(names) == 1:
            return picture.plane()
    raise ConfigurationError(
        f"{path}: has {len(names)} values a pixel ({', '.join(names)}); a mask or weights are a "
        "picture in grey"
    )


def _names(n: int, colored: bool) -> tuple[str, ...]:
    if n == 1:
        return ("grey",)
    if colored and n >= len(_COLORS):
        return _COLORS + tuple(f"extra_{i}" for i in range(1, n - 2))
    return tuple(f"C{i}" for i in range(1, n + 1))
