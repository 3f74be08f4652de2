"""An object store on this machine, real but for its disks: moto's S3 server, as fixtures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

#: No test may find the credentials of whoever runs it, or ask the network for some.
NO_CREDENTIALS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
CREDENTIALS = {"key": "AKIAPLANTEDKEY", "secret": "planted/secret+hunter2"}


@dataclass(frozen=True)
class S3:
    """A running S3 server; every test has a bucket of its own.

    Attributes
    ----------
    endpoint : str
        http://127.0.0.1:PORT
    bucket : str
    log : Path
        Of the server: a line per request.
    """

    endpoint: str
    bucket: str
    log: Path

    @property
    def options(self):
        """What `storage_options` need to hold."""
        return {**CREDENTIALS, "client_kwargs": {"endpoint_url": self.endpoint}}

    @property
    def fs(self):
        import fsspec

        return fsspec.filesystem("s3", **self.options)

    def requests(self):
        """Return the requests that the server has seen for the bucket."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if f"/{self.bucket}" in line]

    def put(self, local, name):
        """Copy a local file or directory into the bucket; return its URL."""
        local = Path(local)
        if local.is_dir():
            files = (each for each in local.rglob("*") if each.is_file())
            below = {each.relative_to(local).as_posix(): each.read_bytes() for each in files}
            self.fs.pipe({f"{self.bucket}/{name}/{key}": held for key, held in below.items()})
        else:
            self.fs.pipe_file(f"{self.bucket}/{name}", local.read_bytes())
        return f"s3://{self.bucket}/{name}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """Start moto's S3 server on a free port of the loopback interface; stop it in the end."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=file,
            stderr=file,
        )
    try:
        yield _endpoint(process, log), log
    finally:
        process.terminate()
        process.wait(20)


def _endpoint(process, log):
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no server after a minute: {log.read_text()}")


@pytest.fixture
def s3(s3_server, request, monkeypatch):
    """A bucket on the server, and an environment without credentials."""
    import fsspec

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in NO_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    store = S3(s3_server[0], f"{name}-{os.urandom(3).hex()}", s3_server[1])
    store.fs.mkdir(store.bucket)
    yield store
    fsspec.filesystem("s3", **store.options).rm(store.bucket, recursive=True)
