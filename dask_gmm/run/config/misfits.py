"""Keys that are right by themselves and do not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dask_gmm.run.config.problems import Judge, Problem
from dask_gmm.run.config.sections import Spatial, apart_from
from dask_gmm.run.config.values import MOST_AT_ONCE

if TYPE_CHECKING:
    from dask_gmm.run.config import Config

#: Per kind of source, the keys that mean nothing to it, and what they must be.
_WITHOUT_MEANING: dict[str, dict[str, str]] = {
    "zarr": {},
    "geotiff": {
        "variable": "null (a file holds one raster)",
        "feature_axis": "-1, its default (bands are the features)",
        "storage_options": "{} (it is a local file)",
    },
    "image": {
        "variable": "null (a file holds one picture)",
        "feature_axis": "-1, its default (colours or channels are the features)",
        "missing_chunks": "error, its default (a picture has none to leave out)",
        "storage_options": "{} (it is a local file)",
    },
    "npy": {
        "variable": "null (a file holds one array)",
        "missing_chunks": "error, its default (a file has no chunks to leave out)",
    },
    "nifti": {
        "variable": "null (a file holds one volume)",
        "missing_chunks": "error, its default (a file has no chunks to leave out)",
    },
    "netcdf": {
        "missing_chunks": "error, its default (what was never written reads as its fill value, and "
        "is masked)",
    },
    "ome-zarr": {},
    "parquet": {
        "variable": "null (a table has columns)",
        "feature_axis": "-1, its default (a table has columns)",
        "missing_chunks": "error, its default (a table has no chunks to leave out)",
        "mask": "null (a table has nulls and weights)",
        "nodata": "auto, its default (a table has nulls)",
    },
}
#: Per kind of source, the kinds of output that its results may have.
_OF_ARRAYS = ("zarr", "geotiff", "image", "npy")
_WRITTEN_AS = {
    **dict.fromkeys(_OF_ARRAYS, _OF_ARRAYS),
    **{kind: (kind, "zarr", "npy") for kind in ("nifti", "netcdf", "ome-zarr")},
    "parquet": ("parquet",),
}
#: How the path of a picture may end.
_PICTURES = (".tif", ".tiff")
#: What a path looks like that may stand for many inputs: a glob, or a folder.
_FOLDER = re.compile(r"[*?\[]|(^|/)[^./]+/?$")


def misfits(config: Config, judge: Judge) -> Iterator[Problem]:
    """Yield what does not go with the kind of source."""
    source, kind = config.source, config.source.kind
    for key, allowed in _WITHOUT_MEANING[kind].items():
        if getattr(source, key) != type(source).model_fields[key].default:
            yield judge.refused(("source", key), f"{allowed}, as source.kind is {kind}")
    if config.outputs.keep and (kind != "parquet" or not config.outputs.written()):
        yield judge.refused(
            ("outputs", "keep"), "[] unless source.kind is parquet and there is an output"
        )
    if config.smoothing is not None:
        yield from _smoothing(config.smoothing.spatial, kind, judge)
    yield from _starts(config, judge)
    yield from _outputs(config, judge)


def _smoothing(spatial: Spatial, kind: str, judge: Judge) -> Iterator[Problem]:
    """Yield a field over what has no neighbours, and steps along other axes than it has."""
    if kind == "parquet":
        yield judge.refused(
            ("smoothing",), "null, as source.kind is parquet (a table's rows have no neighbours)"
        )
    n = 2 if spatial.neighbourhood in (4, 8) else 3
    if spatial.spacing != "auto" and len(spatial.spacing) != n:
        words = f"auto or a list of {n} numbers above 0, as neighbourhood is"
        path = ("smoothing", "spatial", "spacing")
        yield judge.refused(path, f"{words} {spatial.neighbourhood}")


def _starts(config: Config, judge: Judge) -> Iterator[Problem]:
    """Yield a number of starts, over all candidates, that nobody could mean."""
    n_candidates = len(config.model.kinds)
    if n_candidates * config.model.n_init > MOST_AT_ONCE:
        words = (
            f"an integer <= {MOST_AT_ONCE // n_candidates}"
            if n_candidates <= MOST_AT_ONCE
            else (f"at most {MOST_AT_ONCE} starts, that is, fewer candidates")
        )
        yield judge.refused(("model", "n_init"), f"{words}, as there are {n_candidates} candidates")


def _outputs(config: Config, judge: Judge) -> Iterator[Problem]:
    """Yield outputs in a format that the results cannot have, or that would lie on each other."""
    kind, source, owners = config.source.kind, config.source.path, dict[str, str]()
    for name, output in config.written().items():
        key = "probabilities" if name == "top_labels" else name
        if output.kind not in _WRITTEN_AS[kind] and key == name:
            words = " or ".join(("same", *_WRITTEN_AS[kind]))
            yield judge.refused(("outputs", name, "kind"), f"{words}, as source.kind is {kind}")
        endings = (*_PICTURES, ".png") if name == "labels" else _PICTURES
        # Of many inputs the path is that of a folder.
        alone = isinstance(source, str) and not _FOLDER.search(source)
        if output.kind == "image" and alone and not output.path.lower().endswith(endings):
            words = f"a path that ends with {' or '.join(endings)}, as its kind is image"
            yield judge.refused(("outputs", key, "path"), words)
        owner = owners.setdefault(output.path, name)
        if owner != name and output.kind != "parquet":
            yield judge.refused(("outputs", key, "path"), apart_from(owner))
