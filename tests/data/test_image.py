"""PNG, JPEG and TIFF as sources: whole pictures decoded once, TIFF by segments, stacks."""

from __future__ import annotations

import pickle
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dask_gmm.data import pictures
from dask_gmm.data.npy_array import NpyArray
from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.data.tiff_array import TiffArray, open_tiff
from dask_gmm.errors import ConfigurationError, InputDataError

from .test_geotiff import rows_of

tifffile = pytest.importorskip("tifffile", reason="needs the extra image")


def drawn(*shape, dtype="u1", seed=0):
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return str(path)


# --- PNG and JPEG --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "names"),
    [
        (drawn(40, 30, 3), ("red", "green", "blue")),
        (drawn(40, 30), ("grey",)),
        (drawn(40, 30, dtype="u2") * 200, ("grey",)),
        (drawn(1, 30, 3), ("red", "green", "blue")),
        (drawn(40, 1), ("grey",)),
    ],
    ids=["colour", "grey", "16 bits", "a row", "a column"],
)
def test_a_picture_is_read_cell_by_cell(tmp_path, monkeypatch, pixels, names):
    monkeypatch.setattr("dask_gmm.data.pictures.CELL_BYTES", 700)
    source = open_source("image", save(tmp_path / "a.png", pixels))
    assert source.feature_names == names
    assert len(source.grid) > 1 or pixels.shape[0] == 1 or pixels.size < 700
    found, valid = rows_of(pickle.loads(pickle.dumps(source)))
    np.testing.assert_array_equal(found.reshape(pixels.shape), pixels)
    assert found.dtype == pixels.dtype
    assert valid.all()


def test_what_decoding_takes_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("dask_gmm.data.pictures.CELL_BYTES", 700)
    source = open_source("image", save(tmp_path / "a.png", drawn(40, 30, 3)))
    assert source.beside_bytes == 40 * 30 * (4 + 3)  # as Pillow holds it, and as an array


def test_a_picture_that_lies_on_its_side_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = drawn(40, 30, 3)
    source = open_source("image", save(tmp_path / "a.png", pixels, exif=exif))
    assert source.grid.shape == (30, 40)
    np.testing.assert_array_equal(rows_of(source)[0], np.rot90(pixels, -1))


def test_a_process_decodes_a_picture_once(tmp_path, monkeypatch):
    monkeypatch.setattr("dask_gmm.data.pictures.CELL_BYTES", 700)
    decoded = []
    decode = pictures.decode_picture
    monkeypatch.setattr(pictures, "decode_picture", lambda p: decoded.append(p.name) or decode(p))
    one, two = (
        open_source("image", save(tmp_path / f"{name}.png", drawn(40, 30, seed=i)))
        for i, name in enumerate(("one", "two"))
    )
    for _ in range(3):
        rows_of(one)
    threads = [threading.Thread(target=rows_of, args=(one,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decoded == ["one.png"]
    rows_of(two)
    rows_of(one)  # this thread let it go for the other one
    assert decoded == ["one.png", "two.png", "one.png"]


def test_colours_are_chosen_and_masks_are_pictures(tmp_path):
    pixels, keep = drawn(40, 30, 3), np.random.default_rng(1).random((40, 30)) < 0.5
    mask = save(tmp_path / "mask.png", (255 * keep).astype("u1"))
    path = save(tmp_path / "a.png", pixels)
    source = open_source("image", path, columns=["blue", 0], mask=MaskOptions(mask), nodata=7)
    found, valid = rows_of(source)
    np.testing.assert_array_equal(found, pixels[..., [2, 0]])
    np.testing.assert_array_equal(valid, keep & ~(pixels[..., [2, 0]] == 7).any(axis=-1))
    with pytest.raises(ConfigurationError, match=r"3 values a pixel \(red, green, blue\); a mask"):
        open_source("image", path, mask=MaskOptions(path))


def test_a_picture_that_is_gone_damaged_or_another_is_named(tmp_path):
    path = tmp_path / "a.png"
    source = open_source("image", save(path, drawn(300, 300, 3)))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InputDataError, match=r"a\.png: cannot be decoded"):
        source.read(0)
    save(path, drawn(20, 20, 3))
    with pytest.raises(InputDataError, match=r"a\.png: has changed since"):
        source.read(0)
    path.unlink()
    with pytest.raises(InputDataError, match=r"a\.png: cannot be read \(No such file"):
        source.read(0)
    path.write_text("no picture")
    with pytest.raises(InputDataError, match=r"a\.png: cannot be decoded"):
        open_source("image", str(path))


# --- TIFF ----------------------------------------------------------------------------------------

LAYOUTS = {
    "mapped": ({}, "YX", (50, 70)),
    "strips": ({"compression": "zlib", "rowsperstrip": 7}, "YX", (50, 70)),
    "tiles": ({"compression": "zlib", "tile": (16, 32), "byteorder": ">"}, "YX", (50, 70)),
    "predictor": ({"compression": "zlib", "predictor": True}, "YX", (50, 70)),
    "colour": ({"photometric": "rgb"}, "YXS", (50, 70, 3)),
    "tiled colour": (
        {"photometric": "rgb", "compression": "zlib", "tile": (16, 16)},
        "YXS",
        (50, 70, 3),
    ),
    "planes of colour": (
        {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"},
        "SYX",
        (3, 50, 70),
    ),
    "channels": (
        {"ome": True, "metadata": {"axes": "TCYX"}, "compression": "zlib", "tile": (32, 32)},
        "TCYX",
        (4, 2, 50, 70),
    ),
    "volume": (
        {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib", "rowsperstrip": 9},
        "ZYX",
        (5, 50, 70),
    ),
    "mapped stack": ({"imagej": True, "metadata": {"axes": "ZCYX"}}, "ZCYX", (4, 2, 50, 70)),
    "solid tiles": (
        {"volumetric": True, "compression": "zlib", "tile": (16, 16, 16), "photometric": 1},
        "ZYX",
        (20, 50, 70),
    ),
    "a row": ({"compression": "zlib"}, "YX", (1, 70)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tiff_is_read_by_regions(tmp_path_factory, layout):
    options, axes, shape = LAYOUTS[layout]
    values = drawn(*shape, dtype="u2") * 200
    path = str(tmp_path_factory.mktemp("tiff") / "a.tif")
    tifffile.imwrite(path, values, **options)
    array, found_axes, *_ = open_tiff(path)
    assert (found_axes, array.shape) == (axes, shape)
    assert isinstance(array, NpyArray if "mapped" in layout or layout == "colour" else TiffArray)

    @given(data=st.data())
    def regions(data):
        starts = [data.draw(st.integers(0, n - 1)) for n in shape]
        stops = [data.draw(st.integers(a + 1, n)) for a, n in zip(starts, shape, strict=True)]
        region = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        np.testing.assert_array_equal(array.read(region), values[region])

    regions()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_channels_are_features_and_the_other_axes_lead(tmp_path, monkeypatch, layout):
    monkeypatch.setattr("dask_gmm.data.tiff_array.CELL_BYTES", 9000)
    options, axes, shape = LAYOUTS[layout]
    values = drawn(*shape, dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    source = open_source("image", str(tmp_path / "a.tif"))
    at = next((axes.index(axis) for axis in "SC" if axis in axes), None)
    expected = values[..., None] if at is None else np.moveaxis(values, at, -1)
    assert source.grid.shape == expected.shape[:-1]
    assert source.n_features == expected.shape[-1]
    assert [axis.name for axis in source.geometry.axes] == [
        axis.lower() for i, axis in enumerate(axes) if i != at
    ]
    np.testing.assert_array_equal(rows_of(source)[0], expected)


def test_alpha_of_a_tiff_is_left_out_unless_it_is_asked_for(tmp_path):
    values = drawn(50, 70, 4, dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    source = open_source("image", str(tmp_path / "a.tif"))
    assert source.feature_names == ("red", "green", "blue")
    np.testing.assert_array_equal(rows_of(source)[0], values[..., :3])
    asked = open_source("image", str(tmp_path / "a.tif"), columns=["extra_1"])
    np.testing.assert_array_equal(rows_of(asked)[0], values[..., 3:])


def test_samples_of_no_said_kind_are_features(tmp_path):
    """As tifffile writes five channels, and a scanner its infrared beside the colours."""
    values = drawn(50, 70, 5, dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    source = open_source("image", str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(rows_of(source)[0], values)
    near = values[..., :4]
    tifffile.imwrite(tmp_path / "b.tif", near, photometric="rgb", extrasamples=["unspecified"])
    source = open_source("image", str(tmp_path / "b.tif"))
    assert source.feature_names == ("red", "green", "blue", "extra_1")
    np.testing.assert_array_equal(rows_of(source)[0], near)


def test_a_damaged_segment_of_a_tiff_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, drawn(64, 64), compression="zlib", tile=(16, 16))
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[6]
    source = open_source("image", str(path))
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 30] = bytes(30)
    path.write_bytes(damaged)
    with pytest.raises(InputDataError, match=r"a\.tif: the segment at y=16, x=32 cannot be"):
        rows_of(source)
    path.write_bytes(bytes(damaged)[: offset - 5])
    with pytest.raises(InputDataError, match=r"a\.tif: "):
        rows_of(source)
    path.unlink()
    with pytest.raises(InputDataError, match=r"a\.tif: cannot be read"):
        rows_of(source)


@pytest.mark.parametrize("content", [b"", b"no picture", b"II*\0\x08\0\0\0"])
def test_what_is_no_tiff_is_refused(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=r"a\.tif: "):
        open_source("image", str(path))


def test_without_tifffile_the_line_that_installs_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dask-gmm\[image\]'"):
        open_source("image", str(tmp_path / "a.tif"))


def test_a_url_is_refused():
    with pytest.raises(ConfigurationError, match="must be a file that every worker sees"):
        open_source("image", "https://example.org/a.png")
