"""Batches of images in every format: what fails is named, by its place in it, the others finish."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import nibabel
import numpy as np
import pytest
import zarr
from PIL import Image

from dask_gmm import GaussianMixture
from dask_gmm.run import predicting
from tests.data.test_geotiff import rasterio, write
from tests.volumes import write_nifti, write_ome_zarr

from .conftest import blobs

TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
SHAPES = {"a": (40, 60), "m": (33, 47), "z": (1, 300)}


class Format(NamedTuple):
    """How people keep images: each is written with features last and read back as labels."""

    suffix: str
    source: dict[str, Any]
    write: Callable[[Path, np.ndarray], object]
    labels: Callable[[Path], np.ndarray]
    damage: Callable[[Path], object]
    where: str


def _write_geotiff(path, values):
    write(path, np.moveaxis(values, -1, 0), **TILES)


def _damage_tile(path):
    """Overwrite a tile in the middle of the file, wherever it lies."""
    with rasterio.open(path) as dataset:
        ns = "TIFF"
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", ns, bidx=1))
        size = int(dataset.get_tag_item("BLOCK_SIZE_1_1", ns, bidx=1))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def _read_geotiff(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def _write_volume(path, values):
    """Rows and columns, and one plane: the fourth axis holds the features."""
    write_nifti(path, values[:, :, None, :])


def _shorten(path):
    path.write_bytes(path.read_bytes()[:-40])


def _read_volume(path):
    return np.asarray(nibabel.load(path).dataobj)[..., 0]


def _write_netcdf(path, values):
    with netCDF4.Dataset(path, "w") as dataset:
        for dim, n in zip(("y", "x", "band"), values.shape, strict=True):
            dataset.createDimension(dim, n)
        variable = dataset.createVariable(
            "light", values.dtype, ("y", "x", "band"), fletcher32=True, zlib=True
        )
        variable[...] = values


def _damage_middle(path):
    """Change bytes that hold compressed numbers: their checksum tells."""
    content = bytearray(path.read_bytes())
    middle = len(content) * 2 // 3
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


def _read_netcdf(path):
    with netCDF4.Dataset(path) as dataset:
        return np.ma.filled(dataset.variables["labels"][...], 0)


def _write_ome(path, values):
    write_ome_zarr(path, np.moveaxis(values, -1, 0), "cyx", chunks=(1, 16, 16))


def _damage_chunk(path):
    chunk = next(each for each in sorted((path / "s0").rglob("c/1/*/*")) if each.is_file())
    chunk.write_bytes(chunk.read_bytes()[:5])


def _read_ome(path):
    return zarr.open_group(path, mode="r")["0"][...]


def _write_picture(path, values):
    Image.fromarray(values).save(path)


def _read_picture(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


FORMATS = {
    "geotiff": Format(".tif", {}, _write_geotiff, _read_geotiff, _damage_tile, "tile (1, 1)"),
    "nifti": Format(".nii", {}, _write_volume, _read_volume, _shorten, ""),
    "netcdf": Format(
        ".nc", {"variable": "light"}, _write_netcdf, _read_netcdf, _damage_middle, "light"
    ),
    "ome-zarr": Format(".zarr", {}, _write_ome, _read_ome, _damage_chunk, "c/"),
    "image": Format(".png", {}, _write_picture, _read_picture, _shorten, ""),
}


@pytest.fixture(params=FORMATS)
def batch(request, project, dask_gmm):
    """A folder of three images, one of them a strip, and the finished run over them."""
    kind, of = request.param, FORMATS[request.param]
    folder = project.path / "data"
    folder.mkdir()
    project.format, project.kind = of, kind
    for seed, (name, shape) in enumerate(SHAPES.items()):
        of.write(folder / f"{name}{of.suffix}", blobs(shape, seed=seed))
    outputs = dict.fromkeys(("probabilities", "uncertainty", "log_density"))
    project.pattern = f"data/*{of.suffix}"
    project.written = project.config(
        source={"kind": kind, "path": project.pattern, **of.source},
        outputs={"labels": {"path": "labels"}, **outputs},
        model={"n_init": 1},
    )
    return project


def expected(project, seed):
    model = GaussianMixture.load(project.run_dir)
    values = blobs(list(SHAPES.values())[seed], seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the model has names of features, these rows have none
        return (model.predict(values.reshape(-1, 3).astype(float)) + 1).reshape(values.shape[:-1])


def labels(project, run_dir, name):
    (found,) = (project.path / run_dir / "labels").glob(f"{name}.*")
    read = project.format.labels(found)
    return read[..., 0] if read.ndim == 3 else read


def test_a_batch_is_fitted_and_the_model_applied_where_some_of_it_fail(
    batch, dask_gmm, monkeypatch
):
    of, folder = batch.format, batch.path / "data"
    code, _, err = dask_gmm("run", batch.written)
    assert code == 0, err
    for seed, name in enumerate(SHAPES):
        np.testing.assert_array_equal(labels(batch, "runs/toy", name), expected(batch, seed))

    # Three more: one that cannot be read in its middle, one of other bands, one that goes away.
    of.write(folder / f"damaged{of.suffix}", blobs((40, 60), seed=7))
    of.damage(folder / f"damaged{of.suffix}")
    other = (
        blobs((20, 30), n_features=2, seed=8) if batch.kind != "image" else blobs((20, 30))[..., 0]
    )
    of.write(folder / f"other{of.suffix}", other)
    gone = folder / f"gone{of.suffix}"
    of.write(gone, blobs((20, 30), seed=9))
    segment = predicting.segment_and_write

    def vanishing(*arguments, **options):
        gone.rename(folder / "kept")
        return segment(*arguments, **options)

    monkeypatch.setattr(predicting, "segment_and_write", vanishing)
    code, out, err = dask_gmm(
        "predict", "runs/toy", batch.pattern, "--run-dir", "runs/new", "--json"
    )
    assert code == 3
    assert "error: 3 of 6 inputs have no result; all others are in" in err
    manifest = json.loads(out)
    assert manifest["status"] == "incomplete"
    failures = {each["path"].rpartition("/")[2]: each["failure"] for each in manifest["inputs"]}
    failed = {f"{name}{of.suffix}" for name in ("damaged", "other", "gone")}
    assert {name for name, why in failures.items() if why} == failed
    for name in failed:
        assert failures[name].startswith((f"{folder}/{name}: ", f"{folder}/{name}/s0: "))
        assert f"error: {failures[name]}" in err
    assert of.where in failures[f"damaged{of.suffix}"]
    assert "Traceback" not in err
    for seed, name in enumerate(SHAPES):
        np.testing.assert_array_equal(labels(batch, "runs/new", name), expected(batch, seed))
    assert sorted(
        each.stem.split(".")[0] for each in (batch.path / "runs/new/labels").iterdir()
    ) == (sorted(SHAPES))
    (folder / "kept").rename(gone)  # else the inputs are not those that were read
    code, out, err = dask_gmm("verify", "runs/new")
    assert code == 0, out + err


def test_a_batch_that_is_to_be_fitted_must_be_whole(batch, dask_gmm):
    """Half of the rows would make another model, so a bad input ends the run, by name."""
    of, middle = batch.format, batch.path / f"data/m{batch.format.suffix}"
    kept = blobs((40, 60), n_features=2) if batch.kind != "image" else blobs((40, 60))[..., 0]
    if middle.is_dir():
        middle.rename(batch.path / "kept")
    of.write(middle, kept)
    code, _, err = dask_gmm("run", batch.written)
    assert code == 3
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {middle}: has ")
    assert "features, but" in last
    assert not batch.run_dir.exists()


def scenes(project, **given):
    """Write GeoTIFFs of three named bands into data/, and a configuration over all of them."""
    (project.path / "data").mkdir(exist_ok=True)
    for name, (values, options) in given.items():
        bands = {"descriptions": ("red", "green", "nir"), **TILES, **options}
        write(project.path / f"data/{name}.tif", np.moveaxis(values, -1, 0), **bands)
    outputs = {"labels": {"path": "labels"}, "uncertainty": {"path": "uncertainty"}}
    return project.config(
        source={"kind": "geotiff", "path": "data/*.tif"},
        outputs={**outputs, "probabilities": None, "log_density": None},
        model={"n_init": 1},
    )


def test_scenes_of_other_places_a_masked_one_and_a_strip_are_one_batch(project, dask_gmm):
    lifted = blobs((40, 60)).clip(1)
    config = scenes(
        project,
        a=(lifted, {"nodata": 0}),
        elsewhere=(lifted[::-1], {"nodata": 0, "crs": "EPSG:32633"}),
        masked=(np.zeros((20, 30, 3), "u1"), {"nodata": 0}),
        strip=(lifted.reshape(1, -1, 3)[:, :500], {"nodata": 0}),
    )
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    manifest = project.manifest()
    said = " ".join(manifest["warnings"])
    assert "The inputs lie in 2 coordinate reference systems." in said
    assert "Input masked: no row of it takes part" in said
    rows = {each["name"]: each["rows"] for each in manifest["inputs"]}
    assert rows["masked"] == {"total": 600, "masked": 600, "nodata": 600, "invalid": 0, "used": 0}
    assert rows["strip"]["used"] == 500
    for name in ("a", "elsewhere", "masked", "strip"):
        given, found = (
            rasterio.open(folder / f"{name}.tif")
            for folder in (project.path / "data", project.run_dir / "labels")
        )
        with given, found:
            assert (found.crs, found.transform) == (given.crs, given.transform)
            labels = found.read(1)
            assert labels.shape == given.shape
            assert (labels == 0).all() if name == "masked" else labels.all()
    with rasterio.open(project.run_dir / "uncertainty/masked.tif") as found:
        assert np.isnan(found.read(1)).all()


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (
            blobs((20, 30))[..., ::-1],
            {"descriptions": ("nir", "green", "red")},
            "the same in another order: set source.columns: [red, green, nir]",
        ),
        (blobs((20, 30)).astype("u2"), {}, "holds uint16, but"),
        (blobs((20, 30), n_features=2), {"descriptions": ("red", "nir")}, "has 2 features, but"),
    ],
    ids=["bands out of order", "16 bits", "two bands"],
)
def test_a_scene_that_does_not_go_with_the_others_is_refused_by_name(
    project, dask_gmm, values, options, said
):
    config = scenes(project, a=(blobs((40, 60)), {}), odd=(values, options))
    code, _, err = dask_gmm("run", config)
    assert code == 3
    assert err.splitlines()[-1].startswith(f"error: {project.path}/data/odd.tif: ")
    assert said in err
    assert not project.run_dir.exists()


def test_scenes_that_are_packed_otherwise_are_one_batch_of_values(project, dask_gmm):
    values = blobs((40, 60)).astype("u2")
    config = scenes(
        project,
        a=(values * 2, {"scales": (0.05,) * 3, "offsets": (-1.0,) * 3}),
        b=(values * 4, {"scales": (0.025,) * 3, "offsets": (-1.0,) * 3}),
    )
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    found = [_read_geotiff(project.run_dir / f"labels/{name}.tif") for name in ("a", "b")]
    np.testing.assert_array_equal(*found)
    model = GaussianMixture.load(project.run_dir)
    mean = model.weights_ @ model.means_
    np.testing.assert_allclose(mean, values.reshape(-1, 3).mean(axis=0) * 0.1 - 1.0, rtol=1e-6)
