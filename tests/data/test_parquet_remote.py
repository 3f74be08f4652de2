"""Tables behind URLs: a real S3 server on loopback, and what is never said of its credentials."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError

SECRET = "hunter2-hunter2"


@pytest.fixture(scope="module")
def endpoint():
    """Start moto's S3 server as a process of its own, and stop it."""
    pytest.importorskip("moto", reason="the test extra is not installed")
    pytest.importorskip("s3fs", reason="the s3 extra is not installed")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:  # it says on which port it listens
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                break
        yield found.group()
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


@pytest.fixture
def store(endpoint):
    """Return the options of an S3 file system, and the file system."""
    s3fs = pytest.importorskip("s3fs")
    options = {"key": "someone", "secret": SECRET, "client_kwargs": {"endpoint_url": endpoint}}
    return options, s3fs.S3FileSystem(**options)


def put(fs, path, columns):
    with fs.open(path, "wb") as file:
        pq.write_table(pa.table(columns), file, row_group_size=2)


def test_a_table_in_an_object_store(store, caplog):
    options, fs = store
    fs.mkdir("bucket")
    x = np.arange(5.0)
    put(fs, "bucket/t/day=1/p.parquet", {"x": x, "w": np.ones(5)})
    put(fs, "bucket/t/day=2/p.parquet", {"w": np.ones(5), "x": x + 5})
    caplog.set_level(logging.DEBUG, logger="dask_gmm")
    for path in ("s3://bucket/t", "s3://bucket/t/*/p.parquet"):
        source = open_source("parquet", path, columns=["x"], weights="w", storage_options=options)
        read = [source.part([i]).read(i) for i in range(len(source.grid))]
        assert np.concatenate([b.values[:, 0] for b in read]).tolist() == list(range(10))
        assert source.where(0) == "s3://bucket/t/day=1/p.parquet: row group 0"
    manifest = source.manifest()
    assert [f.name for f in manifest.files] == ["day=1/p.parquet", "day=2/p.parquet"]
    said = f"{source!r}{manifest.to_json()}{caplog.text}"
    assert SECRET not in said
    # Written again, it is another table.
    put(fs, "bucket/t/day=2/p.parquet", {"w": np.ones(5), "x": x + 6})
    again = open_source("parquet", path, columns=["x"], weights="w", storage_options=options)
    assert again.manifest().fingerprint != manifest.fingerprint


def test_what_goes_wrong_names_the_object_and_no_secret(store):
    options, fs = store
    fs.mkdir("other")
    fs.pipe("other/broken.parquet", b"PAR1 and no more")
    broken = r"s3://other/broken\.parquet: its footer cannot be read"
    with pytest.raises(InputDataError, match=broken) as caught:
        open_source("parquet", "s3://other/broken.parquet", storage_options=options)
    assert SECRET not in str(caught.value)
    for path in ("s3://other/absent.parquet", "s3://nowhere/t"):
        with pytest.raises(InputDataError, match=re.escape(path)) as caught:
            open_source("parquet", path, storage_options=options)
        assert SECRET not in str(caught.value)


def test_without_credentials_the_store_is_named(endpoint, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    options = {"client_kwargs": {"endpoint_url": endpoint}, "skip_instance_cache": True}
    with pytest.raises(InputDataError, match=r"s3://private/t: may not be read .*credentials"):
        open_source("parquet", "s3://private/t", storage_options=options)


def test_a_table_in_memory():
    import fsspec

    fs = fsspec.filesystem("memory")
    put(fs, "/lake/t/p.parquet", {"x": [1.0, 2.0, 3.0]})
    source = open_source("parquet", "memory://lake/t")
    assert source.read(1).values.tolist() == [[3.0]]
    assert source.manifest().path == "memory:///lake/t"
    fs.rm("/lake", recursive=True)
    with pytest.raises(InputDataError, match="is missing"):
        open_source("parquet", "memory://lake/t")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("s3://someone:hunter2-hunter2@bucket/t", "s3 that carries credentials"),
        ("https://host/t.parquet?signature=hunter2-hunter2", "https that carries credentials"),
        ("nosuch://bucket/t", "nosuch"),
    ],
)
def test_urls_that_are_refused(path, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        open_source("parquet", path)
    assert SECRET not in str(caught.value)


def test_one_table_lies_in_one_store(tmp_path):
    with pytest.raises(ConfigurationError, match="in one store"):
        open_source("parquet", [str(tmp_path), "memory://lake"])


def test_a_package_that_is_missing_is_named_with_its_install_line(monkeypatch):
    import fsspec

    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'dask-gmm\[s3\]'"):
        open_source("parquet", "s3://bucket/t")
