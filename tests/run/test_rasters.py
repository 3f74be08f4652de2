"""Runs over GeoTIFF and pictures, through the command: geometry kept, damage named."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from PIL import Image

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.geotiff import GeoTiffWriter
from dask_gmm.data.sinks.joined import JoinedSink
from dask_gmm.errors import RunFailedError
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured
from tests.data.test_geotiff import PLACED, UTM, rasterio, write

from .conftest import blobs
from .test_faults import has_no_result, when_workers_start  # noqa: F401  a fixture
from .test_memory import peaks  # noqa: F401  a fixture

tifffile = pytest.importorskip("tifffile", reason="needs the extra image")

ALL = {
    "labels": {"path": "labels.tif"},
    "probabilities": {"path": "probabilities.tif"},
    "uncertainty": {"path": "uncertainty.tif"},
    "log_density": {"path": "log_density.tif"},
}
TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}


@pytest.fixture
def scene(project, monkeypatch):
    """A project with a GeoTIFF of three bands and groups, some pixels of which hold nothing."""
    monkeypatch.setattr("dask_gmm.data.raster.CELL_BYTES", 3000)
    project.values = blobs((70, 90))
    project.values[project.values == 0] = 1
    project.values[:15, 60:] = 0
    bands = np.moveaxis(project.values, -1, 0)
    (project.path / "data").mkdir(exist_ok=True)
    write(project.path / "data/toy.tif", bands, nodata=0, interleave="pixel", **TILES)
    project.source = {"kind": "geotiff", "path": "data/toy.tif"}
    return project


def read(path):
    """Return what rasterio reads of a result, features last where there are several."""
    with rasterio.open(path) as dataset:
        values = dataset.read()
        return (values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)), dataset.profile


def test_results_lie_where_the_input_lies_and_are_those_of_the_same_array(scene, dask_gmm):
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 0, err
    found = {}
    for name in ALL:
        found[name], profile = read(scene.run_dir / f"{name}.tif")
        assert profile["crs"] == rasterio.crs.CRS.from_string(UTM)
        assert profile["transform"] == PLACED
    assert profile["nodata"] != 0
    empty = (scene.values == 0).any(axis=-1)
    np.testing.assert_array_equal(found["labels"] == 0, empty)
    np.testing.assert_array_equal(np.isnan(found["uncertainty"]), empty)
    rows = scene.manifest()["rows"]
    assert (rows["nodata"], rows["used"]) == (empty.sum(), (~empty).sum())
    geometry = scene.manifest()["inputs"][0]["geometry"]
    assert geometry["pixel"] == {"size": pytest.approx(28.5**2), "unit": "metre^2"}
    # The same pixels as Zarr, in the same cells.
    scene.array(scene.values, (16, 64, 3))
    zarr = {"kind": "zarr", "path": "data/toy.zarr", "nodata": 0}
    config = scene.config(name="zarr.yaml", source=zarr, run_dir="runs/zarr")
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    for name, values in found.items():
        expected = scene.output(name, scene.path / "runs/zarr")
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


def test_bytes_tell_their_scale_and_labels_are_not_averaged(scene, dask_gmm):
    """Probabilities of two classes as bytes, and whose they are, also in the overviews."""
    wanted = {"kind": "geotiff", "path": "p.tif", "dtype": "uint8", "top": 2}
    outputs = {"labels": ALL["labels"], "probabilities": wanted}
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=outputs))
    assert code == 0, err
    with rasterio.open(scene.run_dir / "p.tif") as found:
        assert found.scales == pytest.approx((1 / 254,) * 2)
        assert found.nodata == 255
    writer = GeoTiffWriter(None, 0, ("label_1",))
    grid = Grid((1024, 1024), (1024, 1024))
    sink = JoinedSink.create(scene.path / "l.tif", grid, (), "u1", writer)
    sink.write(0, np.tile(np.array([1, 3], "u1"), (1024, 512)))
    for each in sink.to_finish():
        each.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(scene.path / "l.tif", overview_level=0) as coarse:
            assert set(np.unique(coarse.read(1))) <= {1, 3}


def test_the_report_and_the_quicklook_tell_areas(scene, dask_gmm):
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 0, err
    page = (scene.run_dir / "report.html").read_text()
    rows = scene.manifest()["classes"][0]["rows"]
    assert f"{rows * 28.5**2 / 1e6:.3f}"[:4] in page
    assert "km²" in page
    with Image.open(scene.run_dir / "figures/quicklook.png") as picture:
        shown = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colors = {tuple(color) for color in shown.tolist()}
    assert {(0, 114, 178), (230, 159, 0), (0, 158, 115), (0, 0, 0)} <= colors
    assert (scene.run_dir / "figures/convergence.png").exists()


def test_plan_validate_and_verify(scene, dask_gmm):
    config = scene.config(source=scene.source, outputs=ALL)
    assert dask_gmm("validate", config)[0] == 0
    code, out, _ = dask_gmm("plan", config, "--json")
    assert code == 0
    assert '"rows": 6300' in out
    assert dask_gmm("run", config)[0] == 0
    assert dask_gmm("verify", scene.run_dir)[0] == 0
    path = scene.run_dir / "labels.tif"
    changed = bytearray(path.read_bytes())
    changed[-3] ^= 1
    path.write_bytes(changed)
    code, _, err = dask_gmm("verify", scene.run_dir)
    assert code == 1
    assert "labels.tif: has changed since it was written" in err


def test_a_run_that_ended_while_it_joined_goes_on(scene, dask_gmm, monkeypatch):
    config = scene.config(source=scene.source, outputs=ALL)
    calls, whole = [], GeoTiffWriter.write

    def failing(writer, path, parts):
        calls.append(path.name)
        if len(calls) == 2:
            raise RunFailedError("the disk is full")
        whole(writer, path, parts)

    with monkeypatch.context() as patch:
        patch.setattr(GeoTiffWriter, "write", failing)
        assert dask_gmm("run", config)[0] == 1
    assert has_no_result(scene)
    left = {each.name for each in (scene.run_dir / ".partial").iterdir()}
    assert {f"{name}.tif.parts" for name in ALL} <= left
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    assert not list(scene.run_dir.rglob("*.parts"))
    other = scene.config(name="b.yaml", source=scene.source, outputs=ALL, run_dir="runs/b")
    assert dask_gmm("run", other)[0] == 0
    for name in ALL:
        there = scene.run_dir / f"{name}.tif"
        assert there.read_bytes() == (scene.path / f"runs/b/{name}.tif").read_bytes()


def test_an_unreadable_tile_in_the_middle_ends_with_3(scene, dask_gmm):
    path = scene.path / "data/toy.tif"
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1))
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 30] = bytes(30)
    path.write_bytes(damaged)
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 3
    assert re.search(r"toy\.tif: tile \(2, 2\), which begins at row 32, column 32, cannot", err)
    assert has_no_result(scene)


def test_a_scene_that_vanishes_during_the_run_ends_with_3(scene, dask_gmm, when_workers_start):  # noqa: F811
    when_workers_start((scene.path / "data/toy.tif").unlink)
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 3
    assert "toy.tif: does not exist; every worker must see the file" in err
    assert has_no_result(scene)


def test_an_all_masked_scene_is_refused_with_3(scene, dask_gmm):
    write(scene.path / "data/toy.tif", np.zeros((3, 70, 90), "u1"), nodata=0)
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 3
    assert "toy.tif" in err
    assert has_no_result(scene)


@pytest.mark.parametrize("shape", [(1, 900), (900, 1)])
def test_a_strip_of_one_pixel_width(scene, dask_gmm, shape):
    bands = np.moveaxis(blobs(shape), -1, 0)
    write(scene.path / "data/toy.tif", bands)
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 0, err
    labels, profile = read(scene.run_dir / "labels.tif")
    assert labels.shape == shape
    assert labels.min() >= 1
    assert profile["transform"] == PLACED


def test_16_bits_stay_16_bits(scene, dask_gmm):
    bands = np.moveaxis(scene.values.astype("u2") * 250, -1, 0)
    write(scene.path / "data/toy.tif", bands, nodata=0)
    code, _, err = dask_gmm("run", scene.config(source=scene.source, outputs=ALL))
    assert code == 0, err
    assert scene.manifest()["inputs"][0]["dtype"] == "<u2"
    means = np.array([each["mean"] for each in scene.manifest()["classes"]])
    assert 30_000 < means.max() < 65_535


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["geotiff", "image"])
def test_a_worker_holds_no_more_than_was_said(project, dask_gmm, peaks, kind):  # noqa: F811
    """6 million pixels: blocks of a GeoTIFF, or a PNG that every worker decodes whole."""
    pixels = np.random.default_rng(0).integers(0, 255, (2000, 3000, 3), dtype="u1")
    if kind == "image":
        Image.fromarray(pixels).save(project.path / "a.png", compress_level=1)
    else:
        write(project.path / "a.tif", np.moveaxis(pixels, -1, 0), tiled=True, interleave="pixel")
    del pixels
    config = project.config(
        source={"kind": kind, "path": "a.png" if kind == "image" else "a.tif"},
        model={"n_init": 1, "max_iter": 1, "init": "random_from_data"},
        outputs=ALL | {"probabilities": None, "log_density": None},
        cluster={"kind": "local", "n_workers": 1},
    )
    said = plan_configured(load_config(config)).plan.load.worker_bytes
    code, _, err = dask_gmm("run", config, "--set=cluster.memory_limit=null")
    assert code == 0, err
    (peak,) = peaks
    assert peak <= said, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"
    assert said <= 2.5 * peak, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"


# --- Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_picture_gives_labels_of_its_size(project, dask_gmm, suffix):
    pixels = blobs((60, 80))
    Image.fromarray(pixels).save(project.path / f"a.{suffix}", quality=95)
    outputs = {
        "labels": {"path": "labels.png"},
        "probabilities": {"path": "probabilities.tif"},
        "uncertainty": {"path": "uncertainty.tif"},
        "log_density": None,
    }
    source = {"kind": "image", "path": f"a.{suffix}"}
    code, _, err = dask_gmm("run", project.config(source=source, outputs=outputs))
    assert code == 0, err
    labels = np.asarray(Image.open(project.run_dir / "labels.png"))
    probabilities = tifffile.imread(project.run_dir / "probabilities.tif")
    assert labels.shape == (60, 80)
    assert probabilities.shape == (60, 80, 3)
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=-1) + 1)
    assert project.manifest()["feature_names"] == ["red", "green", "blue"]


def test_a_stack_gives_a_stack(project, dask_gmm):
    values = blobs((5, 30, 40), n_features=2)
    path = project.path / "a.tif"
    stack = np.moveaxis(values, -1, 1)
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZCYX"}, compression="zlib")
    source = {"kind": "image", "path": "a.tif"}
    code, _, err = dask_gmm("run", project.config(source=source, outputs=ALL))
    assert code == 0, err
    assert tifffile.imread(project.run_dir / "labels.tif").shape == (5, 30, 40)
    png = {"labels": {"path": "labels.png"}}
    code, _, err = dask_gmm("plan", project.config(source=source, outputs={**ALL, **png}))
    assert code == 2
    assert "a PNG has rows and columns, but the leading shape of the input" in err


@pytest.mark.parametrize(
    ("source", "outputs", "said"),
    [
        ({"kind": "geotiff", "path": "a.tif", "variable": "x"}, {}, "source.variable"),
        ({"kind": "image", "path": "a.png", "feature_axis": 0}, {}, "source.feature_axis"),
        ({"kind": "image", "path": "a.png"}, {"uncertainty": {"path": "u.png"}}, "ends with .tif"),
        ({"kind": "image", "path": "a.png"}, {"labels": {"path": "l.jpg"}}, "or .png"),
    ],
)
def test_what_a_picture_has_not_is_refused(project, dask_gmm, source, outputs, said):
    code, _, err = dask_gmm("validate", project.config(source=source, outputs={**ALL, **outputs}))
    assert code == 2
    assert said in err
