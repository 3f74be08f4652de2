"""No chunking shows: features are those of the image in one piece, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from dask_gmm.data.features import with_features
from dask_gmm.data.features.quantiles import knots_of
from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.recipes import recipes_of

BANDS = ("red", "green", "blue")
SIGMA = {"of": "red", "scale": 1.6}
RADIUS = {"of": "green", "scale": 2}
COLOURS = {"of": list(BANDS)}
KINDS = {
    "band": ["green", "red"],
    "expression": [{"i": "(red - green) / (red + green)"}, {"j": "red ** 0.5 - 2 ** -blue / 3"}],
    "gaussian": [{"kind": "gaussian", **SIGMA}],
    "gradient": [{"kind": "gradient", **SIGMA}],
    "laplacian": [{"kind": "laplacian", **SIGMA}],
    "mean": [{"kind": "mean", **RADIUS}],
    "std": [{"kind": "std", **RADIUS}],
    "range": [{"kind": "range", **RADIUS}],
    "log": [{"kind": "log", "of": "red"}],
    "quantile": [{"kind": "quantile", "of": "red"}],
    "lab": [{"kind": "lab", **COLOURS}],
    "hsv": [{"kind": "hsv", **COLOURS}],
    "coordinates": [{"kind": "coordinates"}],
    "of each other": [
        {"i": "(red - green) / (red + green)"},
        {"t": {"kind": "std", "of": "i", "scale": 2}},
        {"u": {"kind": "gaussian", "of": "t * blue", "scale": 1.2}},
        "blue",
        {"v": "u - t"},
    ],
}
#: Larger than the halo, and smaller.
SHAPES = [(41, 53), (3, 30), (9, 13, 11), (2, 5, 4)]


def store(path, array, chunks):
    z = zarr.create_array(
        str(path),
        shape=array.shape,
        dtype=array.dtype,
        chunks=chunks,
        config={"write_empty_chunks": True},
        attributes={"feature_names": list(BANDS)} if array.shape[-1] == 3 else {},
        compressors=None,
    )
    z[...] = array
    return str(path)


def drawn(rng, shape, dtype, masked):
    """Draw an image with values that are equal, missing and masked."""
    image = rng.integers(0, 60, (*shape, 3)).astype(dtype)
    mask = None
    if masked:
        mask = (rng.random(shape) < 0.85).astype("u1")
        if image.dtype.kind == "f":
            image[rng.random(image.shape) < 0.02] = np.nan
    return image, mask


def opened(folder, image, mask, chunks, recipes):
    folder.mkdir()
    options = {}
    if mask is not None:
        options["mask"] = MaskOptions(store(folder / "m.zarr", mask[..., None][..., 0], chunks))
    path = store(folder / "a.zarr", image, (*chunks, 3))
    return with_features(open_source("zarr", path, **options), recipes, path)


def fitted(recipes, image):
    from dataclasses import replace

    knots = knots_of(image[..., 0][np.isfinite(image[..., 0])], "normal")
    return [replace(each, knots=knots) if each.kind == "quantile" else each for each in recipes]


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_image_in_one_piece(tmp_path, kind):
    seed = sum(map(ord, kind))
    rng = np.random.default_rng(seed)
    for number, shape in enumerate(SHAPES):
        image, mask = drawn(rng, shape, ["u1", "<f4", ">f8", "<i2"][number], number % 3 != 2)
        recipes = fitted(recipes_of(KINDS[kind]), image)
        whole = opened(tmp_path / f"{number}", image, mask, shape, recipes).read(0)
        expected = whole.values.reshape(*shape, -1)
        for attempt in range(10):
            chunks = tuple(int(rng.integers(-(-n // 4), n + 1)) for n in shape)
            print(f"seed {seed}, shape {shape}, chunks {chunks}")
            source = opened(tmp_path / f"{number}-{attempt}", image, mask, chunks, recipes)
            read, cells = source.reading(), range(len(source.grid))
            if attempt % 2:
                cells = range(len(source.grid) // 2, len(source.grid))
            for cell in cells:
                here, block = source.grid.region(cell), read(cell)
                same(block.values, expected[here], block.values.dtype)
                if mask is not None:
                    np.testing.assert_array_equal(block.valid, mask[here].ravel() != 0)


def same(rows, expected, dtype):
    """Compare bits, NaN with NaN."""
    found = np.ascontiguousarray(rows.reshape(expected.shape))
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    signed = np.nan_to_num(found, nan=1.0)
    np.testing.assert_array_equal(np.signbit(signed), np.signbit(np.nan_to_num(expected, nan=1.0)))


@pytest.mark.parametrize("tile", [64, 700])
def test_neither_do_the_tiles_that_a_chunk_is_computed_in(tmp_path, monkeypatch, tile):
    from dask_gmm.data.features import computing

    rng = np.random.default_rng(5)
    image, mask = drawn(rng, (40, 50), "<f4", masked=True)
    kinds = [kind for kind in KINDS if kind not in ("band", "expression", "hsv")]
    recipes = fitted(recipes_of([each for kind in kinds for each in KINDS[kind]]), image)
    expected = opened(tmp_path / "a", image, mask, (40, 50), recipes).read(0)
    monkeypatch.setattr(computing, "TILE", tile)
    found = opened(tmp_path / "b", image, mask, (40, 50), recipes).read(0)
    same(found.values, expected.values, np.float32)


def test_features_have_neighbours_too(tmp_path):
    """As the field on the posterior asks for them: a halo around features that look around."""
    rng = np.random.default_rng(6)
    image, mask = drawn(rng, (30, 40), "u1", masked=True)
    recipes = recipes_of(KINDS["of each other"])
    whole = opened(tmp_path / "a", image, mask, (30, 40), recipes).read(0)
    expected = whole.values.reshape(30, 40, -1)
    source = opened(tmp_path / "b", image, mask, (7, 9), recipes)
    near = source.neighbourhoods((3, 4))
    for cell in range(len(source.grid)):
        found = near(cell)
        same(found.block.values, expected[found.region], np.float32)
        same(found.cell().values, expected[source.grid.region(cell)], np.float32)
        np.testing.assert_array_equal(found.block.valid, mask[found.region].ravel() != 0)


def test_bands_keep_their_type_and_steps(tmp_path):
    image, _ = drawn(np.random.default_rng(0), (8, 9), "u1", masked=False)
    source = opened(tmp_path / "a", image, None, (4, 4), recipes_of(["blue", 0]))
    assert source.feature_names == ("blue", "red")
    assert source.dtype == np.uint8
    assert source.feature_steps == (1.0, 1.0)
    mixed = opened(tmp_path / "b", image, None, (4, 4), recipes_of(["blue", {"i": "red / 2"}]))
    assert mixed.dtype == np.float32
    assert mixed.feature_steps == (1.0, 0.0)


def test_masked_pixels_do_not_bleed(tmp_path):
    """Where a mask hides absurd values, its neighbours are what they are without them."""
    rng = np.random.default_rng(8)
    image = rng.integers(0, 60, (20, 24, 3)).astype("<f4")
    mask = np.ones((20, 24), "u1")
    mask[5:9, 6:12] = 0
    other = image.copy()
    other[mask == 0] = 1e30
    recipes = recipes_of([each for kind in list(KINDS)[2:8] for each in KINDS[kind]])
    all_ = (slice(0, 20), slice(0, 24))
    one = opened(tmp_path / "a", image, mask, (7, 8), recipes).read_region(all_)
    two = opened(tmp_path / "b", other, mask, (7, 8), recipes).read_region(all_)
    kept = mask.ravel() != 0
    same(one.values[kept], two.values[kept], np.float32)
    assert np.isfinite(one.values[kept]).all()


def test_scales_and_offsets_of_a_geotiff_are_applied(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    stored = np.random.default_rng(0).integers(7000, 20000, (2, 40, 50)).astype("u2")
    size = {"count": 2, "height": 40, "width": 50, "dtype": "uint16", "crs": "EPSG:32631"}
    transform = rasterio.Affine(30, 0, 0, 0, -30, 0)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", transform=transform, **size) as f:
        f.write(stored)
        f.scales, f.offsets = (2.75e-5,) * 2, (-0.2,) * 2
        f.descriptions = ("red", "nir")
    source = open_source("geotiff", str(tmp_path / "a.tif"), nodata=None)
    place = {"kind": "coordinates", "unit": "geometry"}
    recipes = recipes_of([{"ndvi": "(nir - red) / (nir + red)"}, "red", place])
    made = with_features(source, recipes, "a.tif")
    red, nir = stored * 2.75e-5 - 0.2
    values = made.read(0).values.reshape(40, 50, -1)
    np.testing.assert_allclose(values[..., 0], (nir - red) / (nir + red), rtol=1e-5)
    np.testing.assert_allclose(values[..., 1], red, rtol=1e-5)
    np.testing.assert_array_equal(values[3, 7, 2:], [90, 210])
    assert made.feature_names == ("ndvi", "red", "y", "x")
    assert made.feature_steps[1] == pytest.approx(2.75e-5)
    assert made.geometry.crs == source.geometry.crs
