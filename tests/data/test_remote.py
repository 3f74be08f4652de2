"""Zarr behind URLs: the same rows as from the disk, few requests, and errors that leak nothing."""

from __future__ import annotations

import contextlib
import functools
import http.server
import pickle
import socket
import threading
import time
import uuid

import fsspec
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from dask_gmm.data import zarr_array
from dask_gmm.data.remote import RemoteFolder
from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError
from tests.object_store import CREDENTIALS

LZ4 = BloscCodec(cname="lz4")
FORMATS = {
    "format 2": {"zarr_format": 2},
    "format 3": {"compressors": LZ4},
    "sharded": {"shards": (16, 12, 3)},
    "sharded, index first": {"shards": {"shape": (16, 12, 3), "index_location": "start"}},
}


def stored(path, shape=(24, 20, 3), chunks=(8, 6, 3), **options):
    """Write noise, which no codec makes smaller; return it."""
    array = np.random.default_rng(0).integers(1, 255, shape).astype("u1")
    target = zarr.create_array(str(path), shape=shape, dtype="u1", chunks=chunks, **options)
    target[...] = array
    return array


def rows(source):
    values = np.zeros((source.grid.n_rows_total, source.n_features), source.dtype)
    for cell in range(len(source.grid)):
        values[source.grid.row_index(cell)] = source.read(cell).values
    return values


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_from_s3_come_the_rows_of_the_local_copy(s3, tmp_path, options):
    array = stored(tmp_path / "a", **options)
    local = open_source("zarr", str(tmp_path / "a"))
    remote = open_source("zarr", s3.put(tmp_path / "a", "a.zarr"), storage_options=s3.options)
    remote = pickle.loads(pickle.dumps(remote))
    np.testing.assert_array_equal(rows(remote), array.reshape(-1, 3))
    found, expected = remote.manifest(), local.manifest()
    assert found.stored_bytes == expected.stored_bytes
    assert (found.shape, found.n_cells) == (expected.shape, expected.n_cells)
    assert found.path == f"s3://{s3.bucket}/a.zarr"


def test_the_fingerprint_knows_a_chunk_that_was_written_again(s3, tmp_path):
    stored(tmp_path / "a")
    url = s3.put(tmp_path / "a", "a.zarr")
    source = open_source("zarr", url, storage_options=s3.options)
    before = source.manifest().fingerprint
    assert source.manifest().fingerprint == before
    key = f"{s3.bucket}/a.zarr/c/0/0/0"
    content = bytearray(s3.fs.cat_file(key))
    content[-1] ^= 0xFF  # of the same size
    s3.fs.pipe_file(key, bytes(content))
    assert source.manifest().fingerprint != before


def test_a_listing_takes_few_requests(s3, tmp_path):
    stored(tmp_path / "a", shape=(120, 2), chunks=(1, 2))
    source = open_source("zarr", s3.put(tmp_path / "a", "a.zarr"), storage_options=s3.options)
    before = len(s3.requests())
    assert source.manifest().n_cells == 120
    # The metadata documents, present or not, for this and for Zarr itself, and one listing.
    assert 1 <= len(s3.requests()) - before <= 20


def test_the_last_of_many_chunks_is_looked_up_without_a_listing(s3, tmp_path, monkeypatch):
    """What lacks it is refused at once; what has it is listed once, as ever."""
    stored(tmp_path / "a", shape=(120, 2), chunks=(1, 2))
    url = s3.put(tmp_path / "a", "a.zarr")
    monkeypatch.setattr(zarr_array, "MANY_CHUNKS", 50)
    assert open_source("zarr", url, storage_options=s3.options).manifest().n_cells == 120
    s3.fs.rm(f"{s3.bucket}/a.zarr/c/119/0")
    monkeypatch.setattr(RemoteFolder, "find", lambda *_: pytest.fail("the store was listed"))
    with pytest.raises(InputDataError, match=r"at least 1 of 120 chunks are missing: c/119/0; "):
        open_source("zarr", url, storage_options=s3.options).manifest()


@pytest.mark.parametrize("scheme", ["file://", "local://"])
def test_a_file_url_is_a_path(tmp_path, scheme):
    array = stored(tmp_path / "a")
    source = open_source("zarr", f"{scheme}{tmp_path}/a")
    assert source.path == str(tmp_path / "a")
    np.testing.assert_array_equal(rows(source), array.reshape(-1, 3))


def test_memory_urls_and_groups(tmp_path):
    name = f"{uuid.uuid4().hex}/g.zarr"
    group = zarr.create_group(str(tmp_path / "g"))
    for band in ("deep/image", "mask"):
        group.create_array(band, shape=(4, 2), dtype="u1", chunks=(2, 2))[...] = 5
    files = fsspec.filesystem("memory")
    files.put(f"{tmp_path}/g/", f"/{name}", recursive=True)
    url = f"memory://{name}"
    source = open_source("zarr", url, variable="deep/image")
    assert (rows(source) == 5).all()
    assert source.manifest().n_cells == 2
    with pytest.raises(ConfigurationError, match=r"found 'masks'.*deep/image, mask; did you mean"):
        open_source("zarr", url, variable="masks")
    with pytest.raises(InputDataError, match=rf"memory://{name}x: nothing is there that is Zarr"):
        open_source("zarr", url + "x")
    files.rm(f"/{name}", recursive=True)


@contextlib.contextmanager
def serving(handler):
    """Serve on a free port of the loopback interface; gives the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web(tmp_path):
    """An HTTP server over tmp_path: no listing to rely on. Returns its URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def list_directory(self, path):
            self.send_error(403)

    with serving(functools.partial(Handler, directory=str(tmp_path))) as url:
        yield url


def test_http_has_no_listing_and_its_chunks_are_judged_as_they_are_read(web, tmp_path):
    pytest.importorskip("aiohttp")
    array = stored(tmp_path / "a")
    source = open_source("zarr", f"{web}/a")
    assert source.manifest().missing == ()
    np.testing.assert_array_equal(rows(source), array.reshape(-1, 3))
    (tmp_path / "a/c/1/1/0").unlink()
    with pytest.raises(InputDataError, match=rf"{web}/a: chunk c/1/1/0 is missing; restore"):
        rows(source)


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_every_fault_of_a_remote_chunk_is_refused_by_name(s3, tmp_path, options):
    stored(tmp_path / "a", **options)
    url = s3.put(tmp_path / "a", "a.zarr")
    source = open_source("zarr", url, storage_options=s3.options)
    key = "1.1.0" if "zarr_format" in options else "c/1/1/0"
    place = f"{s3.bucket}/a.zarr/{key}"
    content = s3.fs.cat_file(place)
    s3.fs.pipe_file(place, content[: len(content) // 2])
    with pytest.raises(InputDataError, match=rf"{url}: chunk {key} (is trunc|cannot be decoded)"):
        rows(source)
    s3.fs.pipe_file(place, b"")
    with pytest.raises(InputDataError, match=rf"{url}: 1 of \d+ chunks are empty.*{key}"):
        source.manifest()
    with pytest.raises(InputDataError, match=rf"{url}: chunk {key} is empty"):
        rows(source)
    s3.fs.rm(place)
    with pytest.raises(InputDataError, match=rf"{url}: 1 of \d+ chunks are missing.*{key}"):
        source.manifest()
    with pytest.raises(InputDataError, match=rf"{url}: chunk {key} is missing"):
        rows(source)


def test_a_checksum_that_is_wrong(s3, tmp_path):
    stored(tmp_path / "a", compressors=[LZ4, Crc32cCodec()])
    url = s3.put(tmp_path / "a", "a.zarr")
    place = f"{s3.bucket}/a.zarr/c/0/0/0"
    content = bytearray(s3.fs.cat_file(place))
    content[40] ^= 1
    s3.fs.pipe_file(place, bytes(content))
    with pytest.raises(InputDataError, match=rf"{url}: chunk c/0/0/0 cannot be decoded"):
        open_source("zarr", url, storage_options=s3.options).read(0)


def closed_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def told(url, **options):
    """Return what is said when a source cannot be opened: one line that names the URL."""
    start = time.monotonic()
    with pytest.raises((InputDataError, ConfigurationError)) as caught:
        open_source("zarr", url, storage_options=options).manifest()
    assert time.monotonic() - start < 20
    text = str(caught.value)
    assert url in text
    assert "\n" not in text
    assert CREDENTIALS["secret"] not in text
    assert CREDENTIALS["key"] not in text
    assert caught.value.__cause__ is None, "causes are printed, and theirs may quote options"
    return text


def test_what_cannot_be_reached_or_read_is_said_in_one_line(s3, tmp_path):
    stored(tmp_path / "a")
    url, plain = s3.put(tmp_path / "a", "a.zarr"), s3.options
    client = {"endpoint_url": s3.endpoint}
    assert "no credentials were found" in told(url, client_kwargs=client)
    assert "no such bucket" in told("s3://no-such-bucket/a.zarr", **plain)
    assert "nothing is there that is Zarr" in told(f"s3://{s3.bucket}/b.zarr", **plain)
    nowhere = {"endpoint_url": f"http://127.0.0.1:{closed_port()}"}
    assert "the server cannot be reached" in told(url, **{**plain, "client_kwargs": nowhere})
    assert "options are not accepted" in told(url, **plain, nonsense=1)
    assert "protocol" in told("nonsense://a/b")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = {"endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        quick = {**plain, "client_kwargs": mute, "config_kwargs": {"read_timeout": 1}}
        assert "the server cannot be reached" in told(url, **quick)


def test_access_denied(s3, tmp_path, monkeypatch):
    """What a server says of the credentials may quote them; what we say does not."""
    stored(tmp_path / "a")
    url = s3.put(tmp_path / "a", "a.zarr")

    class Denying(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            words = f"<Error><Code>AccessDenied</Code><Message>{CREDENTIALS}</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(words.encode())

        do_HEAD = do_GET  # noqa: N815  the base class's words

        def log_message(self, *arguments):
            pass

    with serving(Denying) as endpoint:
        options = {**s3.options, "client_kwargs": {"endpoint_url": endpoint}}
        assert "access is denied" in told(url, **options)


def test_credentials_are_shown_nowhere(s3, tmp_path):
    stored(tmp_path / "a")
    source = open_source("zarr", s3.put(tmp_path / "a", "a.zarr"), storage_options=s3.options)
    shown = repr(source) + str(source) + repr(source.manifest()) + repr(source.array)
    assert CREDENTIALS["secret"] not in shown
    assert CREDENTIALS["key"] not in shown
    for url in ("s3://name:hunter2@bucket/a", "https://x/a?token=hunter2", "https://x/a#hunter2"):
        with pytest.raises(ConfigurationError, match="put credentials into") as caught:
            open_source("zarr", url)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="not plain") as caught:
        open_source("zarr", "s3://bucket/a", storage_options={"key": b"hunter2"})
    assert "hunter2" not in str(caught.value)
