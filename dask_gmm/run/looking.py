"""A look at data before there is a configuration: what they are, and what is worth proposing.

Metadata are read, and a few chunks: nothing here takes long, and nothing is decided that the file
which comes of it does not say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.folders import is_url, located
from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sources import KINDS, MaskOptions, Source, open_source
from dask_gmm.engine.reading import read_cells
from dask_gmm.engine.threads import one_blas_thread
from dask_gmm.errors import ConfigurationError, DaskGmmError, InputDataError
from dask_gmm.fit.candidates import best_by_bic, fit_starts
from dask_gmm.fit.readings import MemoryReadings
from dask_gmm.fit.sample import StartPlan
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Sample, Survey, SurveyPlan, survey

#: Chunks that are read, and bytes of them at most, but one in any case.
MOST_CELLS, MOST_BYTES = 5, 256 << 20
#: Rows on which numbers of classes are tried, and which.
TRIED_ROWS, TRIED = 2_000, (1, 2, 3, 4, 5, 6, 8, 10)
#: A table or picture of more features than these is not tried out.
MOST_FEATURES = 32
#: An axis this short is taken for that of the features.
FEW = 32
#: Share of rows that are all one value, from which that value may mean no data.
SUSPICIOUS = 0.02
#: Suffixes of files, and of what they are.
SUFFIXES = {
    ".zarr": "zarr", ".npy": "npy", ".nii": "nifti", ".nii.gz": "nifti", ".nc": "netcdf",
    ".nc4": "netcdf", ".cdf": "netcdf", ".parquet": "parquet", ".pq": "parquet",
    ".png": "image", ".jpg": "image", ".jpeg": "image", ".tif": "geotiff", ".tiff": "geotiff",
}  # fmt: skip
_MASKS = (".zarr", ".npy", ".tif", ".tiff", ".png", ".nii", ".nii.gz")


@dataclass(frozen=True)
class Look:
    """What has been seen of data.

    Attributes
    ----------
    kind, path : str
        Of the input.
    options : mapping
        Further keys of the section ``source`` that are needed.
    manifest : InputManifest
    shape : tuple of int
        Of the leading axes; of a table, its rows.
    n_features : int
    names : tuple of str or None
    largest : int
        Rows of the largest chunk.
    seen : Survey or None
        Of the chunks that were read; None where they cannot be.
    suspicious : tuple of float
        A value that every feature of many rows has, and their share; empty: none.
    masks : tuple of str
        What lies beside the data, is called a mask, and has their shape.
    sizes : tuple of int
        Numbers of classes to compare.
    best : int or None
        Which of them was the best on a few thousand rows.
    """

    kind: str
    path: str
    options: Mapping[str, Any]
    manifest: InputManifest
    shape: tuple[int, ...]
    n_features: int
    names: tuple[str, ...] | None
    largest: int
    seen: Survey | None
    suspicious: tuple[float, ...]
    masks: tuple[str, ...]
    sizes: tuple[int, ...]
    best: int | None

    @property
    def cell_bytes(self) -> int:
        """Bytes of the largest chunk, decoded."""
        return self.largest * self.manifest.row_bytes


def look_at(
    path: str, directory: Path | None, kind: str | None = None, variable: str | None = None
) -> Look:
    """Look at data.

    Parameters
    ----------
    path : str
        A path, glob or URL.
    directory : Path, optional
        What it is relative to.
    kind : str, optional
        The format; by default told by name and content.
    variable : str, optional
        The array in a group, or the variable of a NetCDF file.

    Raises
    ------
    ConfigurationError
        If nothing tells the format, or it is none that can be read.
    InputDataError
        If the data are missing or cannot be read.
    """
    place = located(path, directory)
    found = kind or kind_of(place, path)
    if found not in KINDS:
        raise ConfigurationError(f"--kind: found {found!r}; allowed: {', '.join(KINDS)}")
    options: dict[str, Any] = {} if variable is None else {"variable": variable}
    source = _opened(found, path, directory, options)
    manifest = source.manifest()
    with one_blas_thread():
        seen = _survey(source)
        best = None if seen is None else _best_size(seen.sample)
        suspicious = () if seen is None else _suspicious(source, seen)
    sizes = (2, 3, 4, 5, 6, 8) if best is None else _around(best)
    return Look(
        kind=found,
        path=path,
        options=options,
        manifest=manifest,
        shape=source.grid.shape,
        n_features=source.n_features,
        names=source.feature_names,
        largest=source.grid.largest,
        seen=seen,
        suspicious=suspicious,
        masks=tuple(_masks(found, path, directory, options)),
        sizes=sizes,
        best=best,
    )


def kind_of(place: str, path: str) -> str:
    """Return the format of what lies at an absolute path or URL, by its name and content."""
    here = Path(place)
    if not is_url(place) and here.is_dir():
        inside = _kind_of_folder(here)
        if inside is not None:
            return inside
    elif not is_url(place) and not here.exists() and not re.search(r"[*?\[]", place):
        raise InputDataError(f"{place}: does not exist; correct the path")
    name = PurePosixPath(place.split("?")[0] if is_url(place) else place).name.lower()
    kind = next((SUFFIXES[each] for each in sorted(SUFFIXES, key=len) if name.endswith(each)), None)
    if kind is None:
        raise ConfigurationError(
            f"{path}: neither name nor content tells the format; say it by --kind: "
            f"{', '.join(KINDS)}"
        )
    return "image" if kind == "geotiff" and not _is_georeferenced(here) else kind


def _kind_of_folder(folder: Path) -> str | None:
    """Return the kind of a Zarr group or array, or of what most files in a folder are."""
    for name in ("zarr.json", ".zattrs", ".zarray", ".zgroup"):
        if (folder / name).is_file():
            return "ome-zarr" if _is_ome(folder) else "zarr"
    if next(folder.rglob("*.parquet"), None) is not None:
        return "parquet"
    for each in sorted(folder.iterdir()):
        if not each.name.startswith("."):
            with suppress(ConfigurationError):
                return kind_of(str(each), each.name)
    return None


def _is_ome(folder: Path) -> bool:
    for name in ("zarr.json", ".zattrs"):
        with suppress(OSError, ValueError, AttributeError):
            document = json.loads((folder / name).read_text(encoding="utf-8"))
            attributes = document.get("attributes", document)
            if {"ome", "multiscales"} & attributes.keys():
                return True
    return False


def _is_georeferenced(path: Path) -> bool:
    """Tell whether a TIFF says where it lies, or is one of many, which a glob names."""
    from dask_gmm.data.raster import raster

    if not path.is_file():
        return True
    try:
        with raster(str(path)) as dataset:
            return dataset.crs is not None or not dataset.transform.is_identity
    except DaskGmmError:  # the package is not there, or it is none of its files
        return False


def _opened(kind: str, path: str, directory: Path | None, options: dict[str, Any]) -> Source:
    """Open the data with the features where they seem to be; note what is needed for that."""
    known: dict[str, Any] = {**options, "directory": directory}
    if kind in ("zarr", "npy"):
        plain = open_source(kind, path, feature_axis=None, nodata=None, **known)
        axis = _feature_axis(plain.grid.shape)
        if axis != -1:
            options["feature_axis"] = axis
    return open_source(kind, path, **options, directory=directory)


def _feature_axis(shape: tuple[int, ...]) -> int | None:
    """Guess which axis holds the features; None: there is one feature."""
    if len(shape) == 1:
        return None
    if len(shape) == 2:
        return -1 if shape[1] <= 2 * FEW and shape[0] > 4 * shape[1] else None
    if shape[-1] <= FEW:
        return -1
    return 0 if shape[0] <= FEW else None


def _survey(source: Source) -> Survey | None:
    """Survey a few chunks from all over the data."""
    n, row_bytes = len(source.grid), max(source.dtype.itemsize * source.n_features, 1)
    most = max(1, min(MOST_CELLS, MOST_BYTES // max(source.grid.largest * row_bytes, 1)))
    cells = sorted({round(i) for i in np.linspace(0, n - 1, most)} if most > 1 else {n // 2})
    plan = SurveyPlan(source.n_features, TRIED_ROWS, seed=0)
    with closing(read_cells(source, cells)) as blocks:
        seen = survey(blocks, plan)
    return seen if seen.n_used else None


def _suspicious(source: Source, seen: Survey) -> tuple[float, ...]:
    """Return a value that all features of many rows have, and the share of these rows."""
    rows: npt.NDArray[Any] = seen.sample.rows
    if source.n_features < 2 or not len(rows):
        return ()
    same = rows[(rows == rows[:, :1]).all(axis=1), 0]
    if not len(same):
        return ()
    values, counts = np.unique(same, return_counts=True)
    at, share = int(counts.argmax()), float(counts.max() / len(rows))
    # Zeros are no data again and again; another value is, where it lies at the end of the range.
    value, low, high = float(values[at]), float(rows.min()), float(rows.max())
    odd = value == 0 or (value in (low, high) and abs(value) >= 1000)
    return (value, share) if share >= SUSPICIOUS and odd else ()


def _best_size(sample: Sample) -> int | None:
    """Return the number of classes that BIC prefers on some rows; None where nothing tells."""
    n, D = sample.rows.shape
    if D > MOST_FEATURES or n < 20 * (D + 1):
        return None
    deviations = sample.rows.std(axis=0)
    unit = np.where(deviations > 0, deviations, 1.0)
    frame = Frame.of_sample(sample.rows, unit=unit, isotropic=False)
    floor = frame.floor(np.full(D, 1e-4))
    sizes = [K for K in TRIED if n >= K * (D + 1) * 4]
    plans = [StartPlan("full", K, "kmeans", frame, floor, 100) for K in sizes]
    readings = MemoryReadings(Rows(sample.rows, sample.weights))
    with suppress(ValueError, np.linalg.LinAlgError):
        return best_by_bic(fit_starts(readings, plans, [0], sample), sample).plan.n_components
    return None


def _around(best: int) -> tuple[int, ...]:
    """Return what to compare: some fewer classes than were best on few rows, and some more."""
    first = max(2, best - 2)
    return tuple(range(first, first + 5)) if best <= 8 else (best - 4, best - 2, best, best + 4)


def _masks(
    kind: str, path: str, directory: Path | None, options: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what lies beside the data, is called a mask, and fits them."""
    if kind == "parquet" or is_url(path) or re.search(r"[*?\[]", path):
        return
    own = Path(path)
    folder = Path(located(path, directory)).parent
    for each in sorted(folder.iterdir()):
        called = "mask" in each.name.lower() and each.name.lower().endswith(_MASKS)
        if called and each.name != own.name:
            beside = str(own.parent / each.name)
            with suppress(DaskGmmError):
                mask = MaskOptions(beside)
                open_source(kind, path, **options, mask=mask, directory=directory)
                yield beside
