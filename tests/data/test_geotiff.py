"""GeoTIFF as a source: values, windows of whole blocks, nodata in all its forms, damage."""

from __future__ import annotations

import logging
import pickle
import sys
import warnings

import numpy as np
import pytest

from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.errors import ConfigurationError, InputDataError

rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
UTM = "EPSG:31985"
PLACED = rasterio.Affine(28.5, 0.0, 288776.25, 0.0, -28.5, 9120760.75)


def write(path, values, mask=None, alpha=False, **profile):
    """Write bands (B, h, w) as rasterio does; options are GDAL's."""
    count, height, width = values.shape
    names, scales = profile.pop("descriptions", ()), profile.pop("scales", None)
    offsets = profile.pop("offsets", None)
    profile = {"crs": UTM, "transform": PLACED, "dtype": values.dtype.name, **profile}
    size = {"count": count, "height": height, "width": width}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", driver="GTiff", **size, **profile) as dataset,
        ):
            dataset.write(values)
            for band, name in enumerate(names, start=1):
                dataset.set_band_description(band, name)
            if scales is not None:
                dataset.scales = scales
            if offsets is not None:
                dataset.offsets = offsets
            if mask is not None:
                dataset.write_mask(mask)
            if alpha:
                dataset.colorinterp = [*dataset.colorinterp[:-1], rasterio.enums.ColorInterp.alpha]
    return str(path)


def drawn(bands=3, height=50, width=70, dtype="u1", seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 200, (bands, height, width)).astype(dtype)


def rows_of(source):
    """Return all rows in order, and which of them take part."""
    grid, D = source.grid, source.n_features
    values, valid = np.empty((*grid.shape, D), source.dtype), np.ones(grid.shape, bool)
    for cell in range(len(grid)):
        block, region = source.read(cell), grid.region(cell)
        lengths = tuple(s.stop - s.start for s in region)
        values[region] = block.values.reshape(*lengths, D)
        if block.valid is not None:
            valid[region] = block.valid.reshape(lengths)
    return values, valid


LAYOUTS = {
    "strips": {"interleave": "pixel"},
    "planes": {"interleave": "band", "compress": "lzw"},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"},
    "planes of tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"},
}


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bands_are_features(tmp_path, monkeypatch, layout, dtype):
    monkeypatch.setattr("dask_gmm.data.raster.CELL_BYTES", 20_000)
    values = drawn(dtype=dtype)
    source = open_source("geotiff", write(tmp_path / "a.tif", values, **LAYOUTS[layout]))
    cell_of_blocks = zip(source.grid.chunks, source.array.block, source.grid.shape, strict=True)
    assert all(cell % block == 0 or cell == n for cell, block, n in cell_of_blocks)
    assert len(source.grid) > 1 or source.array.block == source.grid.shape or dtype == "u1"
    found, valid = rows_of(pickle.loads(pickle.dumps(source)))
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, -1))
    assert found.dtype == values.dtype
    assert valid.all()


def test_a_pixel_of_every_shape_of_picture(tmp_path):
    for height, width in ((1, 90), (90, 1), (1, 1)):
        values = drawn(2, height, width)
        source = open_source("geotiff", write(tmp_path / f"{height}.tif", values))
        assert source.grid.shape == (height, width)
        np.testing.assert_array_equal(rows_of(source)[0], np.moveaxis(values, 0, -1))


def test_bands_are_chosen_by_name_or_number(tmp_path):
    values = drawn(4)
    path = write(tmp_path / "a.tif", values, descriptions=("blue", "green", "red", "nir"))
    source = open_source("geotiff", path, columns=["nir", 0])
    assert source.feature_names == ("nir", "blue")
    np.testing.assert_array_equal(rows_of(source)[0], np.moveaxis(values[[3, 0]], 0, -1))
    with pytest.raises(ConfigurationError, match=r"found 'ner'.*did you mean 'nir'"):
        open_source("geotiff", path, columns=["ner"])


def test_bands_without_names_are_numbered_as_gdal_does(tmp_path):
    path = write(tmp_path / "a.tif", drawn())
    assert open_source("geotiff", path).feature_names == ("B1", "B2", "B3")
    assert open_source("geotiff", path, columns=["B2"]).columns == (1,)


def test_where_its_pixels_lie_is_told(tmp_path):
    path = write(tmp_path / "a.tif", drawn(), scales=(0.5, 1.0, 1.0))
    geometry = open_source("geotiff", path).geometry
    assert rasterio.crs.CRS.from_wkt(geometry.crs) == rasterio.crs.CRS.from_string(UTM)
    assert geometry.transform == tuple(PLACED)[:6]
    assert geometry.pixel == (pytest.approx(28.5**2), "metre^2")
    assert [axis.start for axis in geometry.axes] == [9120760.75 - 14.25, 288776.25 + 14.25]
    assert geometry.scaling == ((0.5, 0.0), (1.0, 0.0), (1.0, 0.0))
    assert open_source("geotiff", path, columns=[1]).geometry.scaling is None


def test_rows_are_values_by_scale_and_offset_of_their_band(tmp_path):
    """What rasterio gives with its own scales and offsets, band by band."""
    stored = drawn(4, dtype="u2")
    stored[2, 5:9, 7] = 3
    scales, offsets = (2.75e-5, 0.5, 1.0, 2.75e-5), (-0.2, 0.0, 10.0, -0.2)
    path = write(
        tmp_path / "a.tif", stored, nodata=3, scales=scales, offsets=offsets, **LAYOUTS["tiles"]
    )
    with rasterio.open(path) as dataset:
        meant = dataset.read().astype("f8") * np.array(dataset.scales)[:, None, None]
        meant += np.array(dataset.offsets)[:, None, None]
    source = open_source("geotiff", path)
    found, valid = rows_of(source)
    empty = (stored == 3).any(axis=0)
    assert empty.any()
    np.testing.assert_array_equal(valid, ~empty)
    np.testing.assert_allclose(found[~empty], np.moveaxis(meant, 0, -1)[~empty], rtol=1e-12)
    assert source.feature_steps == scales  # so that a floor knows the rounding
    chosen = open_source("geotiff", path, columns=[2, 0], nodata=4)
    values, kept = rows_of(chosen)
    assert chosen.feature_steps == (1.0, 2.75e-5)
    np.testing.assert_array_equal(kept, ~(stored[[2, 0]] == 4).any(axis=0))
    np.testing.assert_allclose(values[kept], np.moveaxis(meant[[2, 0]], 0, -1)[kept], rtol=1e-12)
    with pytest.raises(ConfigurationError, match=r"found 1000000\.0.*before scale"):
        open_source("geotiff", path, nodata=1e6)


def test_the_zero_frame_of_packed_bands_is_recognised_as_it_is_stored(tmp_path):
    values = drawn(dtype="u2")
    values[:, :20] = 0
    path = write(tmp_path / "a.tif", values, scales=(0.1,) * 3, offsets=(-5.0, 2.0, 0.0))
    source = open_source("geotiff", path)
    valid = rows_of(source)[1]
    assert not valid[:20].any()
    assert valid[20:].all()


def test_bands_packed_otherwise_go_together_as_values(tmp_path):
    meant = drawn(dtype="u2") * 0.5
    one = write(tmp_path / "a.tif", (meant * 2).astype("u2"), scales=(0.5,) * 3)
    other = write(tmp_path / "b.tif", (meant * 4).astype("u2"), scales=(0.25,) * 3)
    members = open_source("geotiff", [one, other]).members
    for member in members:
        np.testing.assert_array_equal(rows_of(member)[0], np.moveaxis(meant, 0, -1))


def test_a_picture_that_lies_nowhere_has_no_place(tmp_path):
    path = write(tmp_path / "a.tif", drawn(), crs=None, transform=None)
    geometry = open_source("geotiff", path).geometry
    assert (geometry.crs, geometry.transform, geometry.pixel) == (None, None, None)


# --- Nodata --------------------------------------------------------------------------------------


def test_a_declared_value_in_any_band_leaves_the_pixel_out(tmp_path):
    values = drawn()
    values[1, 10:20, 5] = 7
    values[values == 7] = 8
    values[1, 10:20, 5] = 7
    path = write(tmp_path / "a.tif", values, nodata=7)
    found, valid = rows_of(open_source("geotiff", path))
    expected = np.ones((50, 70), bool)
    expected[10:20, 5] = False
    np.testing.assert_array_equal(valid, expected)
    assert rows_of(open_source("geotiff", path, nodata=None))[1].all()
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, -1))


@pytest.mark.parametrize("way", ["alpha", "alpha beside a value", "mask"])
def test_alpha_and_the_files_own_mask_leave_pixels_out(tmp_path, way):
    extra_nodata = {"nodata": 255} if "value" in way else {}  # which occurs in alpha alone
    shown = np.random.default_rng(1).random((50, 70)) < 0.7
    values = drawn()
    if way.startswith("alpha"):
        both = np.concatenate([values, 255 * shown[None].astype("u1")])
        path = write(tmp_path / "a.tif", both, alpha=True, **extra_nodata)
    else:
        path = write(tmp_path / "a.tif", values, mask=shown)
    source = open_source("geotiff", path)
    found, valid = rows_of(source)
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, -1))  # alpha is no feature
    np.testing.assert_array_equal(valid, shown)
    assert source.manifest().mask == path
    extra = write(
        tmp_path / "mask.tif", (np.arange(70) < 30)[None].repeat(50, 0)[None].astype("u1")
    )
    both = open_source("geotiff", path, mask=MaskOptions(extra))
    np.testing.assert_array_equal(rows_of(both)[1], shown & (np.arange(70) < 30))


def test_the_zero_frame_of_a_turned_scene_is_recognised_and_said(tmp_path, caplog):
    values, frame = drawn(), np.zeros((50, 70), bool)
    frame[:20, :20] = frame[-20:, -20:] = True
    values[:, frame] = 0
    values[0, 30, 30] = 0  # dark in one band: a measurement
    path = write(tmp_path / "a.tif", values)
    with caplog.at_level(logging.WARNING):
        source = open_source("geotiff", path)
    assert "zero in every band" in caplog.text
    np.testing.assert_array_equal(rows_of(source)[1], ~frame)
    assert source.manifest().nodata == ("0 in all features",)
    assert source.read(0).n_nodata == frame.sum()
    assert rows_of(open_source("geotiff", path, nodata=None))[1].all()


@pytest.mark.parametrize(("bands", "dtype", "corners"), [(3, "u1", 1), (1, "u1", 2), (3, "f4", 2)])
def test_zeros_that_may_be_measurements_are_kept(tmp_path, bands, dtype, corners):
    values = drawn(bands, dtype=dtype)
    values[:, :20, :20] = 0
    if corners > 1:
        values[:, -20:, -20:] = 0
    assert rows_of(open_source("geotiff", write(tmp_path / "a.tif", values)))[1].all()


# --- What is refused -----------------------------------------------------------------------------


def test_an_unreadable_tile_in_the_middle_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("dask_gmm.data.raster.CELL_BYTES", 20_000)
    path = tmp_path / "a.tif"
    write(path, drawn(height=64, width=64), tiled=True, blockxsize=16, blockysize=16,
          compress="deflate", interleave="pixel")  # fmt: skip
    source = open_source("geotiff", str(path))
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", bidx=1))
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 40] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(InputDataError, match=r"a\.tif: tile \(1, 2\), which begins at row 16, col"):
        rows_of(source)


def test_a_file_that_vanishes_or_changes_is_named(tmp_path):
    path = tmp_path / "a.tif"
    source = open_source("geotiff", write(path, drawn()))
    write(path, drawn(3, 20, 20))
    with pytest.raises(InputDataError, match=r"a\.tif: has changed since"):
        source.read(0)
    path.unlink()
    with pytest.raises(InputDataError, match=r"a\.tif: does not exist; every worker"):
        source.read(0)
    with pytest.raises(InputDataError, match=r"a\.tif: does not exist"):
        source.manifest()


@pytest.mark.parametrize("content", [b"", b"no picture", b"II*\0\x08\0\0\0"])
def test_what_is_no_geotiff_is_refused(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=r"a\.tif: cannot be read .* whole GeoTIFF"):
        open_source("geotiff", str(path))


def test_a_virtual_raster_is_not_followed(tmp_path):
    path = tmp_path / "a.vrt"
    path.write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    with pytest.raises(InputDataError, match=r"a\.vrt: cannot be read"):
        open_source("geotiff", str(path))


def test_tiles_never_written_are_refused_unless_they_may_be_filled(tmp_path):
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    values = drawn(2, 48, 48)
    values[:, 16:32, 16:32] = 0

    def sparse(name, **options):
        size = {"count": 2, "height": 48, "width": 48, "dtype": "uint8"}
        placed = {"crs": UTM, "transform": PLACED, **options}
        with rasterio.open(tmp_path / name, "w", driver="GTiff", **size, **tiles, **placed) as out:
            out.write(values)
        return str(tmp_path / name)

    path = sparse("a.tif")
    with pytest.raises(InputDataError, match=r"1 blocks were never written.*band 1 block \(1, 1\)"):
        open_source("geotiff", path)
    filled = open_source("geotiff", path, missing_chunks="fill")
    assert filled.manifest().missing == ("band 1 block (1, 1)",)
    np.testing.assert_array_equal(rows_of(filled)[0], np.moveaxis(values, 0, -1))
    declared = rows_of(open_source("geotiff", sparse("b.tif", nodata=0)))[1]
    np.testing.assert_array_equal(declared, values[0] > 0)  # absent means the declared value


def test_complex_numbers_and_urls_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", drawn().astype("c8"))
    with pytest.raises(InputDataError, match="complex64; allowed are real numbers"):
        open_source("geotiff", path)
    with pytest.raises(ConfigurationError, match="must be a file that every worker sees"):
        open_source("geotiff", "https://example.org/a.tif")


def test_a_mask_of_several_bands_or_another_shape_is_refused(tmp_path):
    path = write(tmp_path / "a.tif", drawn())
    with pytest.raises(ConfigurationError, match="has 3 bands; a mask or weights are"):
        open_source("geotiff", path, mask=MaskOptions(path))
    other = write(tmp_path / "b.tif", drawn(1, 20, 20))
    with pytest.raises(ConfigurationError, match=r"source\.mask: .*has shape \(20, 20\), but"):
        open_source("geotiff", path, mask=MaskOptions(other))


def test_without_rasterio_the_line_that_installs_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dask-gmm\[geo\]'"):
        open_source("geotiff", str(tmp_path / "a.tif"))


def test_a_changed_file_has_another_fingerprint(tmp_path):
    path = tmp_path / "a.tif"
    source = open_source("geotiff", write(path, drawn()))
    before = source.manifest()
    assert before.fingerprint == open_source("geotiff", str(path)).manifest().fingerprint
    write(path, drawn(seed=1), nodata=3)
    assert before.fingerprint != open_source("geotiff", str(path)).manifest().fingerprint
