from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError

DTYPES = ("u1", "bool", "<i2", ">i2", "<u4", "f2", "<f4", ">f4", "<f8", ">f8", "i8")
V3_CODECS = (None, BloscCodec(cname="lz4"), ZstdCodec(level=1), GzipCodec(level=1))
V2_CODECS = (None, numcodecs.Blosc("lz4"), numcodecs.Zstd(1), numcodecs.Zlib(1))


def write(path, array, **options):
    target = zarr.create_array(str(path), shape=array.shape, dtype=array.dtype, **options)
    target[...] = array
    return target


@st.composite
def stored_arrays(draw):
    """Draw an array, the options to store it with, and a feature axis."""
    ndim = draw(st.integers(1, 5))
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=ndim, max_size=ndim)))
    chunks = tuple(draw(st.integers(1, n + 2)) for n in shape)
    # Few chunks: every one costs a file and about a millisecond.
    while math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True)) > 24:
        chunks = tuple(c + 1 for c in chunks)
    zarr_format = draw(st.sampled_from([2, 3]))
    options = {"chunks": chunks, "zarr_format": zarr_format}
    options["config"] = {"write_empty_chunks": True}
    if zarr_format == 2:
        options["compressors"] = draw(st.sampled_from(V2_CODECS))
        options["order"] = draw(st.sampled_from("CF"))
        names = ("v2",)
    else:
        options["compressors"] = draw(st.sampled_from(V3_CODECS))
        names = ("v2", "default")
        if draw(st.booleans()):
            options["shards"] = {
                "shape": tuple(c * draw(st.integers(1, 3)) for c in chunks),
                "index_location": draw(st.sampled_from(("start", "end"))),
            }
    options["chunk_key_encoding"] = {
        "name": draw(st.sampled_from(names)),
        "separator": draw(st.sampled_from("./")),
    }
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    array = rng.integers(0, 200, shape).astype(draw(st.sampled_from(DTYPES)))
    axes = [None, *range(-ndim, ndim)] if ndim > 1 else [None]
    return array, options, draw(st.sampled_from(axes))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stored_arrays())
def test_cells_put_together_are_the_array(stored):
    array, options, axis = stored
    if axis is None:
        expected = array.reshape(-1, 1)
    else:
        expected = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory, "a"), array, **options)
        source = open_source("zarr", f"{directory}/a", feature_axis=axis)
        read = np.full(expected.shape, 77, dtype=source.dtype)
        seen = np.zeros(len(expected), dtype=int)
        for cell in range(len(source.grid)):
            block = source.read(cell)
            rows = source.grid.row_index(cell)
            assert block.values.shape == (len(rows), source.n_features)
            assert block.values.dtype == source.dtype
            read[rows] = block.values
            seen[rows] += 1
        manifest = source.manifest()
    np.testing.assert_array_equal(read, expected)
    assert (seen == 1).all()
    assert manifest.n_cells == len(source.grid)
    assert manifest.decoded_bytes == array.nbytes
    assert manifest.missing == ()


def test_features_last_is_contiguous_and_features_first_a_transpose(tmp_path):
    array = np.arange(4 * 6 * 3, dtype="f4").reshape(4, 6, 3)
    write(tmp_path / "last", array, chunks=(2, 3, 3))
    write(tmp_path / "first", np.moveaxis(array, -1, 0), chunks=(1, 2, 3))
    last = open_source("zarr", str(tmp_path / "last")).read(1).values
    first = open_source("zarr", str(tmp_path / "first"), feature_axis=0).read(1).values
    assert last.flags.c_contiguous
    assert first.flags.f_contiguous
    np.testing.assert_array_equal(first, last)


@pytest.mark.parametrize("compressors", [None, BloscCodec(cname="lz4")])
def test_a_cell_that_is_one_chunk_is_not_copied(tmp_path, compressors):
    array = np.arange(80_000, dtype="f4").reshape(-1, 4)
    write(tmp_path / "a", array, chunks=(8_000, 4), compressors=compressors)
    source = open_source("zarr", str(tmp_path / "a"))
    for cell in range(3):  # the last one is a part of its chunk
        values = memory = source.read(cell).values
        np.testing.assert_array_equal(values, array[8_000 * cell : 8_000 * (cell + 1)])
        while isinstance(memory, np.ndarray):
            memory = memory.base
        assert isinstance(memory, bytes)  # the store's, or what the codec made of them


def test_a_cell_is_a_shard(tmp_path):
    write(tmp_path / "a", np.ones((8, 8, 2), "u1"), chunks=(2, 2, 1), shards=(4, 8, 2))
    manifest = open_source("zarr", str(tmp_path / "a")).manifest()
    assert (manifest.cell_shape, manifest.chunks, manifest.n_cells) == ((4, 8), (2, 2, 1), 2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_of_axes_and_features(tmp_path, zarr_format):
    dimensions, attributes = ["band", "y", "x"], {"feature_names": ["red", "nir"]}
    options = {"dimension_names": dimensions}
    if zarr_format == 2:  # xarray's convention
        options, attributes = {}, {**attributes, "_ARRAY_DIMENSIONS": dimensions}
    array = np.ones((2, 4, 6), "u1")
    write(tmp_path / "a", array, zarr_format=zarr_format, attributes=attributes, **options)
    source = open_source("zarr", str(tmp_path / "a"), feature_axis="band")
    assert source.grid.shape == (4, 6)
    assert source.grid.names == ("y", "x")
    assert source.feature_names == ("red", "nir")
    assert open_source("zarr", str(tmp_path / "a")).feature_names is None  # 2 names, 6 features


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_array_inside_a_group(tmp_path, zarr_format):
    group = zarr.create_group(str(tmp_path / "g"), zarr_format=zarr_format)
    group.create_array("deep/image", shape=(4, 2), dtype="u1")[:] = 5
    group.create_array("mask", shape=(4,), dtype="u1")
    path = str(tmp_path / "g")
    assert (open_source("zarr", path, variable="/deep/image").read(0).values == 5).all()
    assert open_source("zarr", path, variable="deep/image").manifest().variable == "deep/image"
    with pytest.raises(
        ConfigurationError, match=r"null, but .*/g is a group with the arrays deep/"
    ):
        open_source("zarr", path)
    with pytest.raises(ConfigurationError, match=r"variable: found 'masks'.*mean 'mask'"):
        open_source("zarr", path, variable="masks")
    with pytest.raises(ConfigurationError, match="is itself an array"):
        open_source("zarr", path + "/mask", variable="mask")


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (3, r"feature_axis: found 3, but .* has shape \(4, 6, 2\); allowed: -3 to 2"),
        (-4, "found -4"),
        ("band", r"found 'band', but .* names its axes \['y', 'x', 'c'\]"),
    ],
)
def test_wrong_feature_axis(tmp_path, axis, message):
    write(tmp_path / "a", np.ones((4, 6, 2)), dimension_names=["y", "x", "c"])
    with pytest.raises(ConfigurationError, match=message):
        open_source("zarr", str(tmp_path / "a"), feature_axis=axis)


def test_one_axis_is_one_feature_or_nothing(tmp_path):
    write(tmp_path / "a", np.arange(5.0))
    assert open_source("zarr", str(tmp_path / "a"), feature_axis=None).read(0).values.shape == (
        5,
        1,
    )
    with pytest.raises(ConfigurationError, match="set feature_axis: null"):
        open_source("zarr", str(tmp_path / "a"))


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "S3", "U3", [("a", "f4")]])
def test_dtypes_that_are_no_real_numbers(tmp_path, dtype):
    zarr.create_array(str(tmp_path / "a"), shape=(4, 2), dtype=np.dtype(dtype), zarr_format=2)
    with pytest.raises(InputDataError, match=r"/a: has dtype .* allowed are real numbers"):
        open_source("zarr", str(tmp_path / "a"))


@pytest.mark.parametrize("shape", [(), (0, 3), (4, 0)])
def test_arrays_without_rows(tmp_path, shape):
    zarr.create_array(str(tmp_path / "a"), shape=shape, dtype="f4", chunks=(1,) * len(shape))
    with pytest.raises(InputDataError, match="is a single number" if shape == () else "is empty"):
        open_source("zarr", str(tmp_path / "a"), feature_axis=None)


def test_what_is_no_zarr(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "outer" / "a", np.ones(3))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zarr.json").write_text("{")
    for name, message in {
        "nothing": "does not exist; source.path must be",
        "file": "is a file; allowed is the directory",
        "empty": r"holds no Zarr metadata \(zarr.json",
        "outer": "below it there is a",
        "broken": "zarr.json: is not readable JSON",
    }.items():
        with pytest.raises(InputDataError, match=f"{name}.*{message}"):
            open_source("zarr", str(tmp_path / name))


def test_an_unknown_codec_is_named(tmp_path):
    write(tmp_path / "a", np.ones((3, 2)))
    path = tmp_path / "a" / "zarr.json"
    document = json.loads(path.read_text())
    document["codecs"].append({"name": "squeeze", "configuration": {}})
    path.write_text(json.dumps(document))
    with pytest.raises(InputDataError, match=r"/a: the Zarr metadata cannot be used .*squeeze"):
        open_source("zarr", str(tmp_path / "a"))


def test_words_of_the_configuration(tmp_path):
    write(tmp_path / "a", np.ones((3, 2)))
    with pytest.raises(
        ConfigurationError, match=r"source.kind: 'shapefile' is not supported in this"
    ):
        open_source("shapefile", "x")
    with pytest.raises(ConfigurationError, match="found 'skip'; allowed: error, fill"):
        open_source("zarr", str(tmp_path / "a"), missing_chunks="skip")


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    write(tmp_path / "a", np.ones((3, 2)))
    monkeypatch.chdir(tmp_path)
    source = open_source("zarr", "a")
    monkeypatch.chdir("/")
    assert source.manifest().path == str(tmp_path / "a")
    assert (source.read(0).values == 1).all()


def test_a_pickle_is_small_and_reads_the_same(tmp_path):
    write(tmp_path / "a", np.arange(12.0).reshape(6, 2), chunks=(2, 2))
    source = open_source("zarr", str(tmp_path / "a"))
    source.read(0)  # opens the array here; the handle must not travel
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000 + len(str(tmp_path))
    twin = pickle.loads(pickled)
    assert twin == source
    np.testing.assert_array_equal(twin.read(2).values, source.read(2).values)


def test_the_manifest_is_json_and_knows_changes(tmp_path):
    array = np.arange(12.0).reshape(6, 2)
    write(tmp_path / "a", array, chunks=(2, 2), chunk_key_encoding={"name": "v2"})
    source = open_source("zarr", str(tmp_path / "a"))
    manifest = source.manifest()
    assert json.loads(json.dumps(manifest.to_json())) == manifest.to_json()
    assert manifest.stored_bytes == sum(f.stat().st_size for f in tmp_path.glob("a/?.?"))
    (tmp_path / "a" / "notes.txt").write_text("not a chunk")
    assert source.manifest() == manifest
    os.utime(tmp_path / "a" / "1.0", ns=(1, 1))
    assert source.manifest().fingerprint != manifest.fingerprint


def test_a_replaced_array_is_noticed(tmp_path):
    write(tmp_path / "a", np.zeros((4, 2)))
    old = open_source("zarr", str(tmp_path / "a"))
    shutil.rmtree(tmp_path / "a")
    write(tmp_path / "a", np.ones((4, 3)))
    assert open_source("zarr", str(tmp_path / "a")).read(0).values.shape == (4, 3)
    with pytest.raises(InputDataError, match="metadata are missing here or changed"):
        old.read(0)


def test_reading_takes_few_threads_and_leaves_zarrs_settings_alone(tmp_path):
    write(
        tmp_path / "a", np.arange(64 * 64).reshape(64, 64, 1), chunks=(8, 8, 1), shards=(32, 32, 1)
    )
    source = open_source("zarr", str(tmp_path / "a"))
    before = zarr.config.get("async.concurrency"), threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(source.read, list(range(4)) * 25))
        assert threading.active_count() <= before[1] + 4 + 4 + 1  # readers, a decoder each, Zarr's
    assert zarr.config.get("async.concurrency") == before[0]
    assert all((b.values == blocks[i % 4].values).all() for i, b in enumerate(blocks))
