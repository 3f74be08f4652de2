"""A cell with a margin around it: the same values in every format and for every chunking."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.halo import enlarged, lengths
from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.data.sources.array import ArraySource
from dask_gmm.errors import InputDataError
from tests.volumes import quietly, write_nifti, write_ome_zarr

H, W, D = 23, 31, 3
IMAGE = np.random.default_rng(3).integers(0, 250, (H, W, D)).astype("u1")


def store(path, array, chunks):
    keep = {"write_empty_chunks": True}
    z = zarr.create_array(
        str(path), shape=array.shape, dtype=array.dtype, chunks=chunks, config=keep
    )
    z[...] = array
    return str(path)


def zarr_source(folder):
    return open_source("zarr", store(folder / "a.zarr", IMAGE, (7, 9, 2)))


def bands_source(folder):
    group = zarr.create_group(str(folder / "g.zarr"))
    for i in range(D):
        group.create_array(f"b{i}", shape=(H, W), dtype="u1", chunks=(8, 6))[...] = IMAGE[..., i]
    return open_source("zarr", str(folder / "g.zarr"), columns=("b0", "b1", "b2"))


def npy_source(folder):
    np.save(folder / "a.npy", IMAGE)
    return open_source("npy", str(folder / "a.npy"))


def geotiff_source(folder):
    rasterio = pytest.importorskip("rasterio")

    size = {"count": D, "height": H, "width": W, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    with rasterio.open(
        folder / "a.tif", "w", driver="GTiff", crs="EPSG:32631", **size, **tiles
    ) as f:
        f.write(np.moveaxis(IMAGE, -1, 0))
    return open_source("geotiff", str(folder / "a.tif"), nodata=None)


def picture_source(folder):
    from PIL import Image

    Image.fromarray(IMAGE).save(folder / "a.png")
    return open_source("image", str(folder / "a.png"))


def netcdf_source(folder):
    netCDF4 = pytest.importorskip("netCDF4")

    with netCDF4.Dataset(folder / "a.nc", "w") as f:
        for name, n in (("y", H), ("x", W), ("band", D)):
            f.createDimension(name, n)
        v = f.createVariable("v", "u1", ("y", "x", "band"), zlib=True, chunksizes=(9, 8, 3))
        v[:] = IMAGE
    return open_source("netcdf", str(folder / "a.nc"), variable="v", feature_axis="band")


KINDS = [zarr_source, bands_source, npy_source, geotiff_source, picture_source, netcdf_source]


def check(source, image, halo):
    """Compare every cell, read in order, with the same region of the whole image."""
    read = source.neighbourhoods(halo)
    for cell in range(len(source.grid)):
        found, inner = read(cell), source.grid.region(cell)
        outer, crop = enlarged(inner, halo, source.grid.shape)
        assert (found.region, found.crop) == (outer, crop)
        D = source.n_features
        np.testing.assert_array_equal(found.block.values, image[outer].reshape(-1, D))
        np.testing.assert_array_equal(found.cell().values, image[inner].reshape(-1, D))


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("halo", [(0, 0), (2, 1), (9, 13), (100, 100)])
def test_every_format_gives_the_surroundings_of_a_cell(tmp_path, make, halo):
    check(quietly(make, tmp_path), IMAGE, halo)


@pytest.mark.parametrize("kind", ["nifti", "ome-zarr"])
@pytest.mark.parametrize("halo", [(1, 2, 3), (0, 4, 0)])
def test_volumes_have_surroundings_in_three_directions(tmp_path, kind, halo):
    volume = np.random.default_rng(5).integers(1, 99, (5, 9, 11)).astype("i2")
    if kind == "nifti":
        pytest.importorskip("nibabel")
        write_nifti(tmp_path / "a.nii.gz", volume)
        source = open_source("nifti", str(tmp_path / "a.nii.gz"))
    else:
        write_ome_zarr(tmp_path / "a.zarr", volume, "zyx", chunks=(2, 4, 3))
        source = open_source("ome-zarr", str(tmp_path / "a.zarr"))
    check(source, volume[..., None], halo)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_masks_weights_and_nodata_come_with_the_surroundings(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("halo")
    shape = data.draw(st.sampled_from([(40,), (9, 11), (4, 5, 6)]), "shape")
    draw = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    image = draw.integers(0, 9, (*shape, 2)).astype(data.draw(st.sampled_from(["u1", ">i2"])))
    mask, weights = draw.integers(0, 2, shape).astype("u1"), draw.random(shape)

    def stored(array, name):
        chunks = tuple(data.draw(st.integers(2, n), f"chunks of {name}") for n in array.shape)
        return store(folder / f"{name}.zarr", array, chunks)

    source = open_source(
        "zarr",
        stored(image, "a"),
        mask=MaskOptions(stored(mask, "m")),
        weights=stored(weights, "w"),
        nodata=3,
    )
    halo = tuple(data.draw(st.integers(0, 12), "halo") for _ in shape)
    empty = (image == 3).any(axis=-1)
    valid = (mask != 0) & ~empty
    read = source.neighbourhoods(halo)
    # A leaf is a run of cells in the middle; whoever asks in another order is answered as well.
    n = len(source.grid)
    cells = data.draw(st.sampled_from([range(n), range(n // 2, n), range(n - 1, -1, -1)]))
    for cell in cells:
        found = read(cell)
        inner, outer = source.grid.region(cell), found.region
        for block, here in ((found.block, outer), (found.cell(), inner)):
            np.testing.assert_array_equal(block.values, image[here].reshape(-1, 2))
            np.testing.assert_array_equal(block.valid, valid[here].ravel())
            expected = np.where(valid, weights, 0)[here].ravel()
            np.testing.assert_array_equal(block.weights, expected)
            assert block.n_nodata == (empty & (mask != 0))[here].sum()


def counted(monkeypatch):
    """Count the pixels of all regions that are read."""
    pixels, plain = [], ArraySource.read_region

    def read(self, region):
        pixels.append(np.prod(lengths(region)))
        return plain(self, region)

    monkeypatch.setattr(ArraySource, "read_region", read)
    return pixels


def test_chunks_of_whole_rows_are_read_once(tmp_path, monkeypatch):
    image = np.zeros((64, 10, 1), "u1")
    source = open_source("zarr", store(tmp_path / "a.zarr", image, (8, 10, 1)))
    pixels, read = counted(monkeypatch), source.neighbourhoods((3, 3))
    for cell in range(8):
        read(cell)
    assert sum(pixels) == image.size


def test_a_leaf_reads_each_column_of_chunks_once(tmp_path, monkeypatch):
    image = np.zeros((24, 64, 1), "u1")
    source = open_source("zarr", store(tmp_path / "a.zarr", image, (8, 8, 1)))
    pixels, read = counted(monkeypatch), source.neighbourhoods((2, 2))
    for cell in range(8, 16):
        read(cell)
    assert sum(pixels) == 64 * (8 + 2 * 2)


def test_many_inputs_have_no_common_neighbours(tmp_path):
    paths = [store(tmp_path / f"{i}.zarr", IMAGE + i, (10, 12, 3)) for i in range(2)]
    source = open_source("zarr", paths)
    read, n = source.neighbourhoods((3, 4)), len(source.grid) // 2
    for cell in range(2 * n):
        found = read(cell)
        expected = (IMAGE + cell // n)[found.region].reshape(-1, D)
        np.testing.assert_array_equal(found.block.values, expected)


def test_a_bad_chunk_is_named_whoever_its_neighbour_is(tmp_path):
    path = store(tmp_path / "a.zarr", IMAGE, (6, 8, 3))
    (tmp_path / "a.zarr" / "c" / "1" / "1" / "0").write_bytes(b"torn")
    source = open_source("zarr", path)
    with pytest.raises(InputDataError, match="c/1/1/0"):
        source.neighbourhoods((1, 1))(0)
    source.neighbourhoods((1, 1))(3)  # which does not reach so far
