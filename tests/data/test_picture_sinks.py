"""Results as GeoTIFF, PNG and TIFF: read back by the formats' own libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.joined import JoinedSink
from dask_gmm.data.sinks.png import PngWriter
from dask_gmm.errors import RunFailedError
from dask_gmm.palette import class_colors

GRID = Grid((300, 700), (64, 300))


def colors(n):
    return tuple(tuple(color) for color in class_colors(n).tolist())


def written(path, grid, trailing, dtype, writer, high=5):
    """Write random values through a sink, cell by cell, and join them."""
    values = np.random.default_rng(0).random(grid.shape + trailing) * high
    values = values.astype(dtype)
    sink = JoinedSink.create(path, grid, trailing, dtype, writer)
    for cell in reversed(range(len(grid))):
        sink.write(cell, values[grid.region(cell)])
    (work,) = sink.to_finish()
    work.join()
    work.discard_parts()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return values


# --- GeoTIFF -------------------------------------------------------------------------------------


@pytest.fixture
def geotiff():
    rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
    from dask_gmm.data.sinks.geotiff import GeoTiffWriter

    crs = rasterio.crs.CRS.from_epsg(31985)
    transform = (28.49999999927454, 0.0, 288776.25000080315, 0.0, -28.49999999927454, 9120760.75)
    header = json.dumps({"AREA_OR_POINT": "Point"})
    place = Geometry(crs=crs.to_wkt(), transform=transform, header=header)
    return rasterio, place, GeoTiffWriter


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_labels_have_the_place_of_the_input_and_colours(tmp_path, geotiff, dtype):
    rasterio, place, writer = geotiff
    path = tmp_path / "labels.tif"
    labels = written(path, GRID, (), dtype, writer(place, 0, ("label",), colors(5)))
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), labels)
        assert dataset.crs == rasterio.crs.CRS.from_epsg(31985)
        assert tuple(dataset.transform)[:6] == place.transform
        assert dataset.nodata == 0
        assert dataset.dtypes == (np.dtype(dtype).name,)
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)]
        table = dataset.colormap(1)
        assert [table[k] for k in range(6)] == [(0, 0, 0, 0), *((*c, 255) for c in colors(5))]


def test_overviews_of_labels_hold_labels_and_no_others(tmp_path, geotiff):
    rasterio, place, writer = geotiff
    grid = Grid((1100, 1300), (400, 400))
    labels = written(tmp_path / "l.tif", grid, (), "u1", writer(place, 0, ("label",), colors(5)))
    with rasterio.open(tmp_path / "l.tif") as dataset:
        assert dataset.overviews(1)[0] == 2
    with rasterio.open(tmp_path / "l.tif", overview_level=0) as dataset:
        small = dataset.read(1)
    around = [labels[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert np.any([small == each for each in around], axis=0).all()


def test_probabilities_are_bands_with_their_names(tmp_path, geotiff):
    rasterio, place, writer = geotiff
    path, names = tmp_path / "p.tif", ("p_1", "p_2", "p_3")
    values = written(path, GRID, (3,), "f4", writer(place, np.nan, names))
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), np.moveaxis(values, -1, 0))
        assert dataset.descriptions == names
        assert np.isnan(dataset.nodata)


def test_quantised_probabilities_tell_their_scale(tmp_path, geotiff):
    rasterio, place, writer = geotiff
    path = tmp_path / "p.tif"
    written(path, GRID, (2,), "u1", writer(place, 255, ("p_1", "p_2"), scale=1 / 254), high=255)
    with rasterio.open(path) as dataset:
        assert dataset.scales == (1 / 254, 1 / 254)
        assert dataset.nodata == 255


def test_what_lies_nowhere_is_written_without_a_place(tmp_path, geotiff):
    _, _, writer = geotiff
    path = tmp_path / "l.tif"
    labels = written(path, Grid((1, 90), (1, 40)), (), "u1", writer(None, 0, ("label",), colors(5)))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels)


def test_where_gdal_cannot_write_that_is_said(tmp_path, geotiff, monkeypatch):
    _, place, writer = geotiff
    import rasterio.shutil

    def full(*arguments, **options):
        raise rasterio.errors.RasterioIOError("Free disk space available is 0 bytes")

    monkeypatch.setattr(rasterio.shutil, "copy", full)
    with pytest.raises(RunFailedError, match=r"GDAL cannot write .*\(Free disk space"):
        written(tmp_path / "l.tif", GRID, (), "u1", writer(place, 0, ("label",), colors(5)))
    assert [each.name for each in tmp_path.iterdir()] == ["l.tif.parts"]


# --- PNG and TIFF --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(300, 700), (2, 200_000), (1, 1)], ids=str)
def test_a_png_holds_labels_and_shows_colours(tmp_path, shape):
    path, grid = tmp_path / "labels.png", Grid(shape, (64, 300))
    labels = written(path, grid, (), "u1", PngWriter(colors(5)))
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
        shown = np.asarray(image.convert("RGBA"))
    table = np.array([(0, 0, 0, 0), *((*color, 255) for color in colors(5))])
    np.testing.assert_array_equal(shown, table[labels])


def test_many_labels_are_a_png_of_16_bits(tmp_path):
    path = tmp_path / "labels.png"
    labels = written(path, GRID, (), "u2", PngWriter(colors(999)), high=999)
    with Image.open(path) as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), labels)


@pytest.mark.parametrize(
    ("shape", "trailing", "dtype"),
    [
        ((300, 700), (), "u1"),
        ((300, 700), (), "u2"),
        ((300, 700), (5,), "f4"),
        ((3, 100, 300), (), "u1"),
        ((3, 100, 300), (4,), "f4"),
        ((2, 3, 5, 7), (), "f8"),
        ((1, 700), (1,), "f4"),
    ],
    ids=str,
)
def test_a_tiff_holds_the_values_of_every_page(tmp_path, shape, trailing, dtype):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra image")
    from dask_gmm.data.sinks.tiff import TiffWriter

    path, grid = tmp_path / "out.tif", Grid(shape, tuple(max(1, n // 2) for n in shape))
    labelled = () if dtype[0] == "f" else colors(5)
    values = written(path, grid, trailing, dtype, TiffWriter(labelled))
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.asarray().reshape(values.shape), values)
        if dtype == "u1":
            assert (file.pages[0].colormap[:, 1:6] // 257).T.tolist() == [*map(list, colors(5))]


MEASURED = """
import resource, sys
from pathlib import Path
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.joined import JoinedSink
from dask_gmm.data.sinks.{module} import {writer}
import numpy as np
grid = Grid((6000, 8000), (200, 8000))
sink = JoinedSink.create(Path(sys.argv[1]), grid, (), "f4" if {f4} else "u1", {made})
for cell in range(len(grid)):
    sink.write(cell, np.resize(np.arange(97), grid.n_rows(cell)).astype(sink.dtype))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sink.to_finish()[0].join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    ("module", "writer", "made", "f4"),
    [
        ("geotiff", "GeoTiffWriter", "GeoTiffWriter(None, 0, ('x',))", True),
        ("png", "PngWriter", "PngWriter(((1, 2, 3),) * 97)", False),
        ("tiff", "TiffWriter", "TiffWriter()", True),
    ],
)
def test_joining_holds_a_part_of_the_picture(tmp_path, module, writer, made, f4):
    """48 million pixels, 192 MB as float32, are joined within a fraction of them."""
    pytest.importorskip({"geotiff": "rasterio", "tiff": "tifffile", "png": "PIL"}[module])
    code = MEASURED.format(module=module, writer=writer, made=made, f4=f4)
    path = tmp_path / ("out.png" if module == "png" else "out.tif")
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # KB, the library's own code among them
