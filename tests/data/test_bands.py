"""Features chosen, and features that are arrays of their own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError


def rows(source):
    values = np.zeros((source.grid.n_rows_total, source.n_features), source.dtype)
    for cell in range(len(source.grid)):
        values[source.grid.row_index(cell)] = source.read(cell).values
    return values


def picture(dtype="u1"):
    return np.random.default_rng(0).integers(0, 200, (10, 7, 5)).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_columns_are_the_features_in_the_order_given(tmp_path_factory, data):
    axis = data.draw(st.sampled_from([0, 1, 2]), "axis")
    array = np.moveaxis(picture(data.draw(st.sampled_from(["u1", "?", ">f4"]))), -1, axis)
    columns = data.draw(st.lists(st.integers(0, 4), min_size=1, unique=True), "columns")
    chunks = tuple(data.draw(st.integers(2, 5), "chunk") for _ in range(3))
    path = str(tmp_path_factory.mktemp("a") / "a")
    z = zarr.create_array(
        path,
        shape=array.shape,
        dtype=array.dtype,
        chunks=chunks,
        zarr_format=2,
        config={"write_empty_chunks": True},
    )
    z[...] = array
    np.save(path + ".npy", array)
    expected = np.moveaxis(array, axis, -1).reshape(-1, 5)[:, columns]
    for kind, file in (("zarr", path), ("npy", path + ".npy")):
        source = open_source(kind, file, feature_axis=axis, columns=tuple(columns))
        assert source.n_features == len(columns)
        np.testing.assert_array_equal(rows(source), expected)


def test_only_chunks_of_the_columns_are_read(tmp_path):
    z = zarr.create_array(str(tmp_path / "a"), shape=(4, 6), dtype="u1", chunks=(4, 2))
    z[...] = np.arange(1, 25).reshape(4, 6)
    z.attrs["feature_names"] = [*"abcdef"]
    source = open_source("zarr", str(tmp_path / "a"), columns=("f", "a"))
    (tmp_path / "a/c/0/1").write_bytes(b"broken")
    expected = np.arange(1, 25).reshape(4, 6)[:, [5, 0]]
    np.testing.assert_array_equal(rows(source), expected)
    assert source.feature_names == ("f", "a")
    with pytest.raises(InputDataError, match=r"chunk c/0/1 cannot be decoded"):
        rows(open_source("zarr", str(tmp_path / "a"), columns=("c",)))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("rad",), r"found 'rad', but .*/a names its features red, nir; did you mean 'red'\?"),
        ((2,), r"found 2, but .*/a has 2 features; allowed: -2 to 1"),
        ((0, "red"), "0 is there twice"),
        ((), "is empty"),
    ],
)
def test_columns_that_are_not_there(tmp_path, columns, message):
    z = zarr.create_array(str(tmp_path / "a"), shape=(4, 2), dtype="u1")
    z.attrs["feature_names"] = ["red", "nir"]
    with pytest.raises(ConfigurationError, match=rf"source\.columns: {message}"):
        open_source("zarr", str(tmp_path / "a"), columns=columns)


# --- one array per band --------------------------------------------------------------------------


@pytest.fixture(params=[2, 3])
def bands(tmp_path, request):
    """A group of three bands of unequal types; returns its path and the rows."""
    array = picture()[..., :3].astype("u2") + np.uint16(1)
    group = zarr.create_group(str(tmp_path / "g"), zarr_format=request.param)
    for i, (name, dtype) in enumerate([("red", "u1"), ("green", "u2"), ("ir/nir", "i2")]):
        group.create_array(name, shape=(10, 7), dtype=dtype, chunks=(4, 3))[...] = array[..., i]
    return str(tmp_path / "g"), array.reshape(-1, 3)


def test_bands_are_stacked(bands):
    path, expected = bands
    source = open_source("zarr", path, columns=("red", "green", "ir/nir"))
    assert source.dtype == np.int32, "the smallest that holds u1, u2 and i2"
    assert source.feature_names == ("red", "green", "ir/nir")
    assert source.grid.chunks == (4, 3)
    np.testing.assert_array_equal(rows(source), expected)
    np.testing.assert_array_equal(
        rows(open_source("zarr", path, columns=("ir/nir", "red"))), expected[:, [2, 0]]
    )
    manifest = source.manifest()
    assert (manifest.shape, manifest.n_cells, manifest.n_features) == ((10, 7, 3), 9, 3)


def test_every_band_makes_the_fingerprint_and_a_fault_names_it(bands, tmp_path):
    path, _ = bands
    source = open_source("zarr", path, columns=("red", "green"))
    before = source.manifest().fingerprint
    key = next(k for k in ("green/c/0/0", "green/0.0") if (tmp_path / "g" / k).exists())
    chunk = tmp_path / "g" / key
    content = chunk.read_bytes()
    chunk.write_bytes(content + b"x")
    assert source.manifest().fingerprint != before
    chunk.unlink()
    with pytest.raises(InputDataError, match=r"/g/green: 1 of 9 chunks are missing"):
        source.manifest()
    with pytest.raises(InputDataError, match=r"/g/green: chunk .* is missing"):
        source.read(0)


def test_bands_that_do_not_go_together(bands, tmp_path):
    path, _ = bands
    group = zarr.open_group(path)
    group.create_array("small", shape=(5, 7), dtype="u1", chunks=(4, 3))
    group.create_array("coarse", shape=(10, 7), dtype="u1", chunks=(5, 7))

    def refusal(columns, **options):
        with pytest.raises(ConfigurationError) as caught:
            open_source("zarr", path, columns=columns, **options)
        return str(caught.value)

    assert "/g/red has shape (10, 7), but small has (5, 7)" in refusal(("red", "small"))
    assert "has chunks (or shards) (4, 3), but coarse has (5, 7)" in refusal(("red", "coarse"))
    assert "did you mean 'green'?" in refusal(("gren",))
    assert "found 0, but" in refusal((0,))
    assert "'red' is there twice" in refusal(("red", "red"))
    assert "source.feature_axis: found 0" in refusal(("red",), feature_axis=0)
    shutil.rmtree(tmp_path / "g" / "green")
    assert "found 'green', but" in refusal(("red", "green"))
