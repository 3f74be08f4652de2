"""What ``info`` and ``verify`` say of a run directory, whatever stands in it."""

from __future__ import annotations

import fcntl
import json
import os

import pytest

from .test_checkpoint import clouds, config, ended_at_record  # noqa: F401
from .test_directory import contents


@pytest.fixture
def finished(picture, dask_gmm):
    code, _, err = dask_gmm("run", picture.config())
    assert code == 0, err
    return picture


def test_info_of_nothing(project, dask_gmm):
    assert dask_gmm("info", "runs/toy")[:2] == (0, "runs/toy: no run\n")
    (project.path / "mine").mkdir()
    assert dask_gmm("info", "mine")[:2] == (0, "mine: no run\n")
    (project.path / "mine/file").write_text("")
    code, out, err = dask_gmm("info", "mine")
    assert (code, out) == (2, "")
    assert err.startswith("error: mine: no run of this program made this directory; name")
    assert dask_gmm("info", "mine/file")[0] == 2


def test_info_of_a_finished_run(finished, dask_gmm):
    before = contents(finished.run_dir)
    run_id = finished.manifest()["run_id"]
    code, out, _ = dask_gmm("info", finished.run_dir)
    assert (code, out) == (0, f"{finished.run_dir}: finished (run {run_id})\n")
    state = json.loads(dask_gmm("info", finished.run_dir, "--json")[1])
    assert (state["state"], state["run_id"], state["result"]) == ("finished", run_id, True)
    assert contents(finished.run_dir) == before


STEPS = [
    (1, "after the survey"),
    (4, "after pass 1 of EM"),
    (9, "after pass 3 of EM"),
    (16, "segmenting, 0 of 1 leaves kept"),
    (17, "all written, to be moved into place"),
]


@pytest.mark.parametrize(("n", "step"), STEPS)
def test_info_of_an_interrupted_run(clouds, dask_gmm, n, step):  # noqa: F811
    with ended_at_record(n, before=False):
        dask_gmm("run", config(clouds), "--set=model.random_state=5", "-C", clouds.path)
    code, out, _ = dask_gmm("info", clouds.run_dir)
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith(f"{clouds.run_dir}: interrupted (run ")
    assert f", {step}" in first
    assert second == (
        f"to go on: dask-gmm run {clouds.path}/run.yaml -C {clouds.path} --set=model.random_state=5"
    )
    # While somebody holds the lock, it runs; the lock ends with its process.
    lock = os.open(clouds.run_dir / ".dask-gmm-run.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert f"{clouds.run_dir}: running (run " in dask_gmm("info", clouds.run_dir)[1]
    code, _, err = dask_gmm("run", config(clouds), "--set=model.random_state=5")
    assert code == 75
    assert "another run is at work" in err
    os.close(lock)
    assert dask_gmm("run", config(clouds), "--set=model.random_state=5")[0] == 0


def test_info_tells_of_an_older_result(finished, dask_gmm):
    with ended_at_record(4, before=False):
        dask_gmm("run", finished.config(if_exists="overwrite", standardize=False))
    out = dask_gmm("info", finished.run_dir)[1]
    assert "; the result of an earlier run is still there\n" in out


def test_verify_a_run_that_is_as_it_was(finished, dask_gmm):
    code, out, err = dask_gmm("verify", finished.run_dir)
    assert code == 0, err
    lines = out.splitlines()
    assert "model.safetensors: unchanged" in lines
    assert "labels.zarr: unchanged, 6 chunks of 2,400 rows" in lines
    assert lines[-1] == f"{finished.path}/data/toy.zarr: unchanged since"


DAMAGES = {
    "model.safetensors": "model.safetensors: has changed since it was written",
    "config.yaml": "config.yaml: has changed since it was written",
    "labels.zarr/c/1/2": "labels.zarr: 1 of 6 chunks are not what was written, the first is "
    "number 5",
    "probabilities.zarr/c/0/1/0": "probabilities.zarr: 1 of 6 chunks",
    "checkpoint/journal.jsonl": "journal.jsonl: cannot be read",
    "labels.zarr/zarr.json": "labels.zarr: the array cannot be opened",
}


@pytest.mark.parametrize(("name", "said"), DAMAGES.items())
@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_verify_names_what_is_damaged(finished, dask_gmm, name, said, how):
    path = finished.run_dir / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x80
    path.unlink()
    if how == "flipped":
        path.write_bytes(content)
    code, _, err = dask_gmm("verify", finished.run_dir)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    if how == "flipped":
        assert said in err
    assert name.split("/")[0] in err or name.split("/")[-1] in err


def test_verify_names_changed_and_missing_data(finished, dask_gmm):
    finished.array(finished.values + 1, (20, 24, 3))
    code, _, err = dask_gmm("verify", finished.run_dir)
    assert code == 3
    assert f"{finished.path}/data/toy.zarr: the data have changed since {finished.run_dir}" in err
    (finished.path / "data").rename(finished.path / "moved")
    assert dask_gmm("verify", finished.run_dir)[0] == 3
    assert dask_gmm("verify", finished.run_dir, "-C", finished.path / "elsewhere")[0] == 3


def test_verify_needs_a_finished_run(project, dask_gmm):
    code, _, err = dask_gmm("verify", "runs/toy")
    assert code == 2
    assert "no finished run is here" in err


@pytest.mark.parametrize("text", ["0", "", "x", "-5", "1h1", "1.5", "9" * 30, "m"])
def test_a_time_limit_that_is_none(picture, dask_gmm, text):
    code, out, err = dask_gmm("run", picture.config(), f"--max-runtime={text}")
    if text == "1h1":  # seconds may go without their letter
        assert code == 0
        return
    assert (code, out) == (2, "")
    assert "max-runtime" in err
