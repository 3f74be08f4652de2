from __future__ import annotations

import logging
import zlib

import numpy as np
import pytest
import zarr
from PIL import Image

from dask_gmm.data import pictures
from dask_gmm.data.ingest import ingest_image
from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError, RunFailedError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
DEEP = RNG.integers(0, 65536, (20, 30), dtype=np.uint16)


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def pixels(path):
    source = open_source("zarr", str(path))
    rows = np.empty((source.grid.n_rows_total, source.n_features), source.dtype)
    for cell in range(len(source.grid)):
        rows[source.grid.row_index(cell)] = source.read(cell).values
    return rows.reshape(*source.grid.shape, -1)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("rgb.png", COLOUR),
        ("rgb.tif", COLOUR),
        ("grey.png", GREY),
        ("grey.tif", GREY),
        ("deep.png", DEEP),
        ("deep.tif", DEEP),
        ("float.tif", GREY.astype("f4")),
    ],
)
def test_a_lossless_picture_comes_out_as_it_went_in(tmp_path, name, array):
    manifest = ingest_image(save(tmp_path / name, array), tmp_path / "z", chunk=(8, 16))
    read = pixels(tmp_path / "z")
    np.testing.assert_array_equal(read, array.reshape(20, 30, -1))
    assert manifest.shape == read.shape
    assert manifest.cell_shape == (8, 16)
    names = ("red", "green", "blue") if array.ndim == 3 else ("grey",)
    assert open_source("zarr", str(tmp_path / "z")).feature_names == names


def test_jpeg_and_its_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise
    smooth = np.repeat(np.linspace(0, 255, 20).astype("u1")[:, None], 30, 1)
    save(tmp_path / "p.jpg", smooth, quality=95, exif=exif)
    ingest_image(tmp_path / "p.jpg", tmp_path / "z")
    assert np.abs(pixels(tmp_path / "z")[..., 0] - np.rot90(smooth, -1).astype(float)).max() < 8


def test_palettes_become_colours_and_bilevel_becomes_grey(tmp_path):
    image = Image.fromarray(COLOUR).convert("P")
    image.save(tmp_path / "p.png")
    ingest_image(tmp_path / "p.png", tmp_path / "p")
    np.testing.assert_array_equal(pixels(tmp_path / "p"), np.asarray(image.convert("RGB")))
    save(tmp_path / "b.png", GREY, mode="1")
    ingest_image(tmp_path / "b.png", tmp_path / "b")
    assert set(np.unique(pixels(tmp_path / "b"))) == {0, 255}


@pytest.mark.parametrize("opaque", [True, False])
def test_alpha_is_left_out_and_said(tmp_path, caplog, opaque):
    alpha = np.full((20, 30, 1), 255, "u1") if opaque else COLOUR[..., :1]
    save(tmp_path / "p.png", np.concatenate([COLOUR, alpha], -1))
    with caplog.at_level(logging.WARNING):
        ingest_image(tmp_path / "p.png", tmp_path / "z")
    np.testing.assert_array_equal(pixels(tmp_path / "z"), COLOUR)
    assert ("transparency is left out" in caplog.text) is not opaque


def test_a_transparent_palette_is_said(tmp_path, caplog):
    save(tmp_path / "p.png", COLOUR, mode="P", transparency=bytes(range(256)))
    ingest_image(tmp_path / "p.png", tmp_path / "z")
    assert pixels(tmp_path / "z").shape == COLOUR.shape
    assert "transparency is left out" in caplog.text


def test_only_the_first_page_of_many(tmp_path, caplog):
    pages = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    ingest_image(tmp_path / "p.tif", tmp_path / "z")
    np.testing.assert_array_equal(pixels(tmp_path / "z"), COLOUR)
    assert "only the first is read" in caplog.text


def test_the_second_call_does_nothing_and_says_so(tmp_path, caplog):
    save(tmp_path / "p.png", COLOUR)
    first = ingest_image(tmp_path / "p.png", tmp_path / "new" / "z")
    with caplog.at_level(logging.INFO):
        second = ingest_image(tmp_path / "p.png", tmp_path / "new" / "z")
    assert second == first  # the fingerprint holds the times of writing
    assert "already ingested" in caplog.text
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["z"]


def test_another_picture_or_chunk_replaces_only_when_asked(tmp_path):
    save(tmp_path / "p.png", COLOUR)
    save(tmp_path / "q.png", GREY)
    ingest_image(tmp_path / "p.png", tmp_path / "z")
    for image, chunk in (("q.png", (512, 1024)), ("p.png", (5, 5))):
        with pytest.raises(ConfigurationError, match="from another picture, or with another chunk"):
            ingest_image(tmp_path / image, tmp_path / "z", chunk=chunk)
    np.testing.assert_array_equal(pixels(tmp_path / "z"), COLOUR)
    ingest_image(tmp_path / "q.png", tmp_path / "z", overwrite=True)
    np.testing.assert_array_equal(pixels(tmp_path / "z")[..., 0], GREY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.png", "q.png", "z"]


def test_a_damaged_array_is_made_anew_only_when_asked(tmp_path):
    save(tmp_path / "p.png", COLOUR)
    ingest_image(tmp_path / "p.png", tmp_path / "z")
    (tmp_path / "z" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(InputDataError, match="1 of 1 chunks are missing"):
        ingest_image(tmp_path / "p.png", tmp_path / "z")
    ingest_image(tmp_path / "p.png", tmp_path / "z", overwrite=True)
    np.testing.assert_array_equal(pixels(tmp_path / "z"), COLOUR)


def test_what_ingest_did_not_make_is_never_touched(tmp_path):
    save(tmp_path / "p.png", COLOUR)
    zarr.create_array(str(tmp_path / "array"), shape=(2, 2), dtype="u1")[:] = 7
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    ingest_image(tmp_path / "p.png", tmp_path / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("array", "directory", "file", "dangling", "link"):
        with pytest.raises(ConfigurationError, match=f"/{name}: exists and was not made by ingest"):
            ingest_image(tmp_path / "p.png", tmp_path / name, chunk=(5, 5), overwrite=True)
    assert (zarr.open_array(str(tmp_path / "array"))[:] == 7).all()
    assert (tmp_path / "directory" / "thesis.txt").read_text() == "years of work"


def test_broken_pictures_leave_nothing_behind(tmp_path):
    whole = save(tmp_path / "p.png", COLOUR).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.jpg").write_bytes(bytes(range(256)))
    save(tmp_path / "p.gif", GREY)
    for name in ("cut.png", "noise.jpg", "p.gif"):
        with pytest.raises(InputDataError, match=f"/{name}: cannot be decoded"):
            ingest_image(tmp_path / name, tmp_path / "z")
    with pytest.raises(InputDataError, match=r"/nothing\.png: cannot be read"):
        ingest_image(tmp_path / "nothing.png", tmp_path / "z")
    assert not [p.name for p in tmp_path.iterdir() if "z" in p.name]


def test_16_bit_colour_is_not_cut_to_8(tmp_path):
    # Pillow cannot write it: a PNG header for 16 bit RGB over any data
    png = bytearray(save(tmp_path / "p.png", COLOUR).read_bytes())
    png[24] = 16
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    (tmp_path / "deep.png").write_bytes(png)
    with pytest.raises(InputDataError, match="has 16 bit colour, of which Pillow would keep 8"):
        ingest_image(tmp_path / "deep.png", tmp_path / "z")


def test_large_pictures_pass_with_a_message_and_absurd_ones_do_not(tmp_path, caplog, monkeypatch):
    save(tmp_path / "p.png", COLOUR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 600 pixels: Pillow itself would refuse
    ingest_image(tmp_path / "p.png", tmp_path / "z")
    assert Image.MAX_IMAGE_PIXELS == 100
    assert "600 pixels, beyond Pillow's usual limit" in caplog.text
    monkeypatch.setattr(pictures, "MAX_PIXELS", 500)
    with pytest.raises(InputDataError, match=r"has 30 x 20 = 600 pixels; allowed are 500"):
        ingest_image(tmp_path / "p.png", tmp_path / "y")


def test_places_that_cannot_be_written_and_chunks_that_cannot_be(tmp_path):
    save(tmp_path / "p.png", COLOUR)
    with pytest.raises(RunFailedError, match=r"/p.png/z: cannot be written \(.*File exists"):
        ingest_image(tmp_path / "p.png", tmp_path / "p.png" / "z")
    with pytest.raises(ConfigurationError, match=r"chunk: found \(0, 5\)"):
        ingest_image(tmp_path / "p.png", tmp_path / "z", chunk=(0, 5))
