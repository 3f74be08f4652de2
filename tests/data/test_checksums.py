"""Whether changed bits would be noticed: what is claimed of an input, and that it is so."""

from __future__ import annotations

from contextlib import suppress

import numcodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.errors import InputDataError

V2 = {"zarr_format": 2}
# name: options of the array, and whether its chunks carry checksums
STORES = {
    "plain": ({"compressors": None}, False),
    "blosc": ({"compressors": BloscCodec(cname="lz4")}, False),
    "zstd": ({"compressors": ZstdCodec()}, False),
    "zstd-checksum": ({"compressors": ZstdCodec(checksum=True)}, True),
    "gzip": ({"compressors": GzipCodec()}, True),
    "crc32c": ({"compressors": Crc32cCodec()}, True),
    "blosc-crc32c": ({"compressors": [BloscCodec(cname="lz4"), Crc32cCodec()]}, True),
    "shards": ({"compressors": None, "shards": (16, 16, 4)}, False),
    "shards-crc32c": ({"compressors": Crc32cCodec(), "shards": (16, 16, 4)}, True),
    "v2-plain": ({"compressors": None, **V2}, False),
    "v2-blosc": ({"compressors": numcodecs.Blosc("lz4"), **V2}, False),
    "v2-zlib": ({"compressors": numcodecs.Zlib(1), **V2}, True),
    "v2-filter": ({"compressors": None, "filters": [numcodecs.CRC32C()], **V2}, True),
}
VALUES = np.random.default_rng(0).integers(1, 255, (32, 16, 4)).astype("u1")


def stored(path, **options):
    array = zarr.create_array(
        str(path), shape=(32, 16, 4), dtype="u1", chunks=(16, 16, 2), **options
    )
    array[:] = VALUES
    return open_source("zarr", str(path))


@pytest.mark.parametrize("name", STORES)
def test_what_is_claimed_of_an_array_is_so(tmp_path, name):
    options, claimed = STORES[name]
    source = stored(tmp_path / "a", **options)
    assert source.manifest().checksums is claimed
    first = tmp_path / "a" / ("0.0.0" if "v2" in name else "c/0/0/0")
    content, unnoticed = first.read_bytes(), 0
    for at in range(0, len(content), 41):
        first.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with suppress(InputDataError):
            unnoticed += not np.array_equal(source.read(0).values, VALUES[:16].reshape(-1, 4))
    assert (unnoticed > 0) is not claimed


def test_all_that_is_read_must_have_checksums(tmp_path):
    checked = {"compressors": Crc32cCodec()}
    stored(tmp_path / "a", **checked)
    for name, codec in (("good", Crc32cCodec()), ("bare", None)):
        zarr.create_array(
            str(tmp_path / name), shape=(32, 16), chunks=(16, 16), dtype="u1", compressors=codec,
            config={"write_empty_chunks": True},
        )[:] = 1  # fmt: skip

    def claimed(**options):
        return open_source("zarr", str(tmp_path / "a"), **options).manifest().checksums

    good, bare = str(tmp_path / "good"), str(tmp_path / "bare")
    assert claimed(mask=MaskOptions(good), weights=good)
    assert not claimed(mask=MaskOptions(bare))
    assert not claimed(weights=bare)
    np.save(tmp_path / "a.npy", VALUES)
    assert not open_source("npy", str(tmp_path / "a.npy")).manifest().checksums


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("claimed", [True, False])
def test_what_is_claimed_of_a_table_is_so(tmp_path, claimed, compression, options):
    path = tmp_path / "a.parquet"
    values = np.random.default_rng(0).integers(0, 99, 2000).astype("f4")
    table = pa.table({"id": pa.array(map(str, range(2000))), "x": values})
    pq.write_table(table, path, compression=compression, write_page_checksum=claimed, **options)
    source = open_source("parquet", str(path), columns=("x",))
    assert source.manifest().checksums is claimed
    place = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    at = place.data_page_offset + (place.total_compressed_size) // 2
    content[at] ^= 4
    path.write_bytes(content)
    if claimed:
        with pytest.raises(InputDataError, match="row group 0"):
            open_source("parquet", str(path), columns=("x",)).read(0)
