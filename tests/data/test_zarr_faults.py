"""Damaged stores: every fault is refused, naming file and chunk, and none is read as numbers."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from dask_gmm.data.sources import open_source
from dask_gmm.errors import InputDataError

LZ4 = BloscCodec(cname="lz4")
# name: options of the array, and the key of the chunk that gets damaged
STORES = {
    "v3-lz4": ({"compressors": LZ4}, "c/1/0/0"),
    "v3-lz4-crc32c": ({"compressors": [LZ4, Crc32cCodec()]}, "c/1/0/0"),
    "v3-zstd": ({"compressors": ZstdCodec()}, "c/1/0/0"),
    "v3-gzip": ({"compressors": GzipCodec()}, "c/1/0/0"),
    "v3-plain": ({"compressors": None}, "c/1/0/0"),
    "v3-shard": ({"compressors": LZ4, "shards": (16, 32, 4)}, "c/1/0/0"),
    "v3-shard-index-first": (
        {"compressors": LZ4, "shards": {"shape": (16, 32, 4), "index_location": "start"}},
        "c/1/0/0",
    ),
    "v3-dots": (
        {"compressors": LZ4, "chunk_key_encoding": {"name": "default", "separator": "."}},
        "c.1.0.0",
    ),
    "v2-lz4": ({"compressors": numcodecs.Blosc("lz4"), "zarr_format": 2}, "1.0.0"),
    "v2-zlib-slashes": (
        {
            "compressors": numcodecs.Zlib(1),
            "zarr_format": 2,
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        },
        "1/0/0",
    ),
}


@pytest.fixture(params=STORES)
def damaged(request, tmp_path):
    """An array of noise (which Blosc stores as it is) with one chunk at hand to be damaged."""
    options, key = STORES[request.param]
    array = np.random.default_rng(0).integers(1, 255, (32, 32, 4)).astype("u1")
    target = zarr.create_array(
        str(tmp_path / "a"), shape=array.shape, dtype="u1", chunks=(16, 32, 2), **options
    )
    target[:] = array
    source = open_source("zarr", str(tmp_path / "a"))
    return source, tmp_path / "a" / key, key, array


def assert_refused_or_equal(source, key, expected):
    try:
        values = source.read(0).values
    except InputDataError as error:
        message = str(error)
    else:
        np.testing.assert_array_equal(values, expected)
        return False
    assert f"chunk {key} " in message
    return True


def test_a_missing_chunk(damaged):
    source, file, key, _ = damaged
    file.unlink()
    with pytest.raises(InputDataError, match=rf"/a: 1 of \d chunks are missing: {key};.*: fill"):
        source.manifest()
    with pytest.raises(InputDataError, match=f"/a: chunk {key} is missing"):
        source.read(1)
    source.read(0)


def test_a_missing_chunk_may_be_filled(damaged):
    source, file, key, array = damaged
    file.unlink()
    filling = open_source("zarr", source.path, missing_chunks="fill")
    assert filling.manifest().missing == (key,)
    rows = filling.read(1).values
    assert (rows[:, :2] == 0).all()
    np.testing.assert_array_equal(filling.read(0).values, array[:16].reshape(-1, 4))


@pytest.mark.parametrize("missing_chunks", ["error", "fill"])
def test_an_empty_file_is_no_missing_chunk(damaged, missing_chunks):
    source, file, key, _ = damaged
    source = open_source("zarr", source.path, missing_chunks=missing_chunks)
    file.write_bytes(b"")
    with pytest.raises(InputDataError, match=rf"chunks are empty \(0 bytes\): {key}; restore"):
        source.manifest()
    with pytest.raises(InputDataError, match=f"chunk {key} is empty"):
        source.read(1)


def test_a_truncated_chunk(damaged):
    source, file, key, _ = damaged
    whole = file.read_bytes()
    for length in [1, 15, 16, 17, len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(InputDataError, match=rf"/a: chunk {re.escape(key)} .*; restore it"):
            source.read(1)


def test_a_chunk_that_is_a_directory(damaged):
    source, file, key, _ = damaged
    file.unlink()
    file.mkdir()
    with pytest.raises(InputDataError, match=key):
        source.manifest()
    with pytest.raises(InputDataError, match=key):
        source.read(1)


@pytest.mark.parametrize("store", ["v3-lz4", "v2-lz4"])
def test_a_flipped_length_in_a_blosc_header(tmp_path, store):
    options, key = STORES[store]
    z = zarr.create_array(str(tmp_path / "a"), shape=(32, 4), dtype="u1", chunks=(32, 4), **options)
    z[:] = np.arange(128).reshape(32, 4)
    key = key.replace("1", "0").removesuffix("/0").removesuffix(".0")
    file = tmp_path / "a" / key
    whole = bytearray(file.read_bytes())
    source = open_source("zarr", str(tmp_path / "a"))
    expected = source.read(0).values
    for position in [0, *range(4, 16)]:  # version, length decoded, of a block, of the frame
        broken = whole.copy()
        broken[position] ^= 0xFF
        file.write_bytes(broken)
        # A frame stored uncompressed does not need the length of a block.
        refused = assert_refused_or_equal(source, key, expected)
        assert refused or 8 <= position < 12


@pytest.mark.parametrize("codec", [Crc32cCodec(), ZstdCodec(checksum=True)])
def test_every_flipped_byte_where_there_is_a_checksum(tmp_path, codec):
    z = zarr.create_array(str(tmp_path / "a"), shape=(20, 2), dtype="f4", compressors=codec)
    z[:] = np.arange(40).reshape(20, 2)
    file = tmp_path / "a" / "c" / "0" / "0"
    whole = file.read_bytes()
    source = open_source("zarr", str(tmp_path / "a"))
    expected = source.read(0).values
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        file.write_bytes(broken)
        # A few bits of a Zstandard header say nothing about the content.
        assert_refused_or_equal(source, "c/0/0", expected)


def test_of_many_chunks_in_a_cell_the_bad_one_is_named(tmp_path):
    z = zarr.create_array(str(tmp_path / "a"), shape=(4, 6), dtype="i4", chunks=(4, 1))
    z[:] = np.arange(24).reshape(4, 6)
    (tmp_path / "a" / "c" / "0" / "4").write_bytes(b"no such frame")
    with pytest.raises(InputDataError, match=r"chunk c/0/4 cannot be decoded \(RuntimeError: Zstd"):
        open_source("zarr", str(tmp_path / "a")).read(0)


def test_many_missing_chunks_are_counted_not_listed(tmp_path):
    zarr.create_array(str(tmp_path / "a"), shape=(40, 2), dtype="f4", chunks=(1, 2))
    with pytest.raises(
        InputDataError, match=r"40 of 40 chunks are missing: c/0/0, c/1/0, c/2/0, \.\.\.;"
    ):
        open_source("zarr", str(tmp_path / "a")).manifest()


def test_an_array_that_vanished(tmp_path):
    zarr.create_array(str(tmp_path / "a"), shape=(4, 2), dtype="f4")[:] = 1
    source = open_source("zarr", str(tmp_path / "a"))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(InputDataError, match=r"/a"):
        source.read(0)
    with pytest.raises(InputDataError, match=r"/a"):
        source.manifest()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            10**13,
            r"tell of 10,000,000,000,000 chunks, .* allowed are 10,000,000: store",
        ),
        (3 * 10**6, r"/a: at least 1 of 3000000 chunks are missing: c/2999999/0; .*: fill"),
    ],
)
def test_metadata_that_tell_of_endless_chunks_are_refused_at_once(tmp_path, rows, words):
    """Listing their keys would take all memory before the first of them is missed."""
    z = zarr.create_array(str(tmp_path / "a"), shape=(4, 2), dtype="f4", chunks=(1, 2))
    z[:] = 1.0
    path = tmp_path / "a/zarr.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "shape": [rows, 2]}))
    tracemalloc.start()
    try:
        with pytest.raises(InputDataError, match=words):
            open_source("zarr", str(tmp_path / "a")).manifest()
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
