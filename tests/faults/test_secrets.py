"""Secrets that are planted around a run appear in nothing that it writes or says."""

from __future__ import annotations

import shutil

import pytest

from dask_gmm.run import work
from tests.object_store import CREDENTIALS
from tests.run.test_checkpoint import ended_at_record

SECRET = "planted-s3cr3t"


def files_with(secret, folder):
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("log_format", ["plain", "json"])
def test_what_comes_from_the_environment_is_not_shown(picture, dask_gmm, monkeypatch, log_format):
    """A path from the environment stands for any value that a user keeps out of the file."""
    hidden = f"{SECRET}.zarr"
    shutil.move(picture.path / "data/toy.zarr", picture.path / "data" / hidden)
    monkeypatch.setenv("WHERE", f"data/{hidden}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    config = picture.config(source={"path": "${WHERE}"})
    with ended_at_record(5, before=False):
        dask_gmm("run", config, "--log-format", log_format)
    assert not files_with(SECRET, picture.run_dir)
    said = dask_gmm("run", config, "--log-format", log_format, "--json")
    assert said[0] == 0
    assert not files_with(SECRET, picture.run_dir)
    said += dask_gmm("info", picture.run_dir, "--json")
    assert SECRET not in repr(said)


@pytest.mark.parametrize("where", ["file", "override"])
def test_options_of_a_store_are_not_shown(picture, dask_gmm, monkeypatch, where):
    monkeypatch.setenv("TOKEN", SECRET)
    options = {"secret": SECRET, "client_kwargs": {"token": "${TOKEN}"}}
    if where == "file":
        said = dask_gmm("run", picture.config(source={"storage_options": options}))
    else:
        said = dask_gmm(
            "run", picture.config(), f"--set=source.storage_options={{secret: {SECRET}}}"
        )
    assert SECRET not in repr(said)
    assert not picture.run_dir.exists() or not files_with(SECRET, picture.run_dir)


def test_credentials_of_a_store_stand_in_nothing_whatever_is_done(
    s3, picture, dask_gmm, monkeypatch
):
    """Every verb, a run that was broken off, its checkpoint, and an error that nobody foresaw."""
    temporary = picture.path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("PLANTED_SECRET", CREDENTIALS["secret"])
    url = s3.put(picture.path / "data/toy.zarr", "toy.zarr")
    options = {**s3.options, "secret": "${PLANTED_SECRET}"}
    config = picture.config(source={"path": url, "storage_options": options})
    said = []

    def unlucky(config, source, *_):
        raise RuntimeError(f"nobody foresaw {config!r} {source!r}")

    with monkeypatch.context() as patch:
        patch.setattr(work, "survey_stage", unlucky)
        said.append(dask_gmm("run", config))
    assert "this was not foreseen" in said[0][2]
    with ended_at_record(5, before=False):
        dask_gmm("run", config, "--log-format", "json")
    said.append(dask_gmm("info", picture.run_dir))
    assert "interrupted" in said[-1][1]
    assert not files_with(CREDENTIALS["secret"], picture.run_dir)
    for verb in (("validate", config), ("plan", config), ("run", config), ("run", config)):
        said.append(dask_gmm(*verb, "--json"))
    for verb in ("info", "verify"):
        said += [dask_gmm(verb, picture.run_dir), dask_gmm(verb, picture.run_dir, "--json")]
    said.append(dask_gmm("run", config, "--set=source.storage_options.secret=other"))
    said.append(dask_gmm("run", config, "--set=model.n_components=2"))
    assert {code for code, *_ in said} == {0, 1, 2, 3}  # a finished run knows no credentials
    config.unlink()
    assert list(temporary.glob("*.traceback"))
    for secret in (*CREDENTIALS.values(), s3.endpoint):
        assert secret not in repr(said)
        assert not files_with(secret, picture.path)
