"""Whose a run directory is, what is replaced in it, and what is never touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from dask_gmm.run.directory import LOCK, MARKER


def contents(folder):
    """Return every file below a folder with its bytes, links as where they lead."""
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def results(folder):
    """Return what a run's bits are: the model and all chunks."""
    found = contents(folder)
    return {k: v for k, v in found.items() if k == "model.safetensors" or ".zarr/" in k}


@pytest.fixture
def finished(picture, dask_gmm):
    code, _, err = dask_gmm("run", picture.config())
    assert code == 0, err
    return picture


@pytest.mark.parametrize("if_exists", ["resume", "skip"])
def test_a_finished_run_is_not_done_twice(finished, dask_gmm, if_exists):
    before = contents(finished.run_dir)
    code, out, err = dask_gmm("run", finished.config(if_exists=if_exists))
    assert code == 0
    assert "finished earlier: nothing was done" in out
    assert "finished earlier; nothing to do" in err
    assert contents(finished.run_dir) == before
    assert json.loads(dask_gmm("run", finished.config(), "--json")[1])["skipped"] is True


def test_a_finished_run_may_be_in_the_way(finished, dask_gmm):
    before = contents(finished.run_dir)
    code, _, err = dask_gmm("run", finished.config(if_exists="error"))
    assert code == 2
    assert f"error: {finished.run_dir}: a finished run exists; set if_exists: skip" in err
    assert contents(finished.run_dir) == before


def test_a_finished_run_may_be_replaced(finished, dask_gmm):
    before = contents(finished.run_dir)
    fewer = {"labels": {"path": "classes.zarr"}}
    config = finished.config(if_exists="overwrite", model={"n_components": 2}, outputs=fewer)
    code, out, err = dask_gmm("run", config, "--set=outputs.probabilities=null")
    assert code == 0, err
    assert "nothing was done" not in out
    after = contents(finished.run_dir)
    assert not any(name.startswith(("labels.zarr", "probabilities.zarr")) for name in after)
    assert any(name.startswith("classes.zarr/c/") for name in after)
    assert len(finished.manifest()["classes"]) == 2
    assert after["model.safetensors"] != before["model.safetensors"]


def test_replacing_gives_the_same_bits(finished, dask_gmm):
    before = results(finished.run_dir)
    assert dask_gmm("run", finished.config(if_exists="overwrite"))[0] == 0
    assert results(finished.run_dir) == before


def test_resume_refuses_another_configuration_and_names_the_keys(finished, dask_gmm):
    config = finished.config(model={"n_components": 2, "tol": 1e-3}, source={"nodata": None})
    code, _, err = dask_gmm("run", config)
    assert code == 2
    assert "(changed: model.n_components, model.tol, source.nodata)" in err
    assert "set if_exists: overwrite" in err


@pytest.mark.parametrize(
    "setting", ["name=other", "cluster.n_workers=2", "if_exists=skip", "source.storage_options={}"]
)
def test_what_a_result_does_not_depend_on_may_change(finished, dask_gmm, setting):
    run_dir = f"--set=run_dir={finished.run_dir}"
    code, out, err = dask_gmm("run", finished.config(), run_dir, f"--set={setting}")
    assert code == 0, err
    assert "nothing was done" in out


def test_resume_names_no_value_of_the_environment(picture, dask_gmm, monkeypatch):
    setting = "--set=model.n_components=${CLASSES}"
    monkeypatch.setenv("CLASSES", "2")
    code, _, err = dask_gmm("run", picture.config(), setting)
    assert code == 0, err
    monkeypatch.setenv("CLASSES", "4")
    code, _, err = dask_gmm("run", picture.config(), setting)
    assert code == 2
    assert "(changed: a value from the environment)" in err


def test_resume_refuses_changed_data(finished, dask_gmm):
    finished.values[0, 0] = 99
    finished.array(finished.values, (20, 24, 3))
    code, _, err = dask_gmm("run", finished.config())
    assert code == 3
    assert f"{finished.path}/data/toy.zarr: the data have changed since {finished.run_dir}" in err
    assert dask_gmm("run", finished.config(if_exists="skip"))[0] == 0
    assert dask_gmm("run", finished.config(if_exists="overwrite"))[0] == 0


def test_skip_does_not_need_the_data(finished, dask_gmm):
    shutil.rmtree(finished.path / "data")
    assert dask_gmm("run", finished.config(if_exists="skip"))[0] == 0
    assert dask_gmm("run", finished.config())[0] == 3


@pytest.mark.parametrize("lost", ["labels.zarr", "model.safetensors", "report.html"])
def test_resume_runs_again_where_something_was_deleted(finished, dask_gmm, lost):
    before = results(finished.run_dir)
    path = finished.run_dir / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, out, err = dask_gmm("run", finished.config())
    assert code == 0
    assert "something is missing of the finished run; it runs again" in err
    assert "nothing was done" not in out
    assert results(finished.run_dir) == before


def test_an_unfinished_run_starts_again(finished, dask_gmm):
    before = results(finished.run_dir)
    (finished.run_dir / "manifest.json").unlink()
    (finished.run_dir / ".partial").mkdir()
    (finished.run_dir / ".partial/labels.zarr").write_text("torn")
    shutil.rmtree(finished.run_dir / "uncertainty.zarr")
    for if_exists in ("error", "skip", "resume"):
        code, _, err = dask_gmm("run", finished.config(if_exists=if_exists))
        assert code == 0, err
        assert results(finished.run_dir) == before
        assert not (finished.run_dir / ".partial").exists()
        (finished.run_dir / "manifest.json").unlink()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"outputs": 3}', "[" * 5000])
def test_a_broken_manifest_is_named(finished, dask_gmm, text):
    (finished.run_dir / "manifest.json").write_text(text)
    code, _, err = dask_gmm("run", finished.config())
    assert code == 2
    assert f"{finished.run_dir}/manifest.json: the manifest of this run cannot be read" in err


@pytest.mark.parametrize("if_exists", ["error", "skip", "resume", "overwrite"])
def test_a_directory_of_other_files_is_never_touched(picture, dask_gmm, if_exists):
    picture.run_dir.mkdir(parents=True)
    (picture.run_dir / "thesis.txt").write_text("ten years of work")
    (picture.run_dir / "manifest.json").write_text("{}")
    before = contents(picture.run_dir)
    code, _, err = dask_gmm("run", picture.config(if_exists=if_exists))
    assert code == 2
    assert f"run_dir: {picture.run_dir} holds files that no run of this program made" in err
    assert "manifest.json, thesis.txt" in err
    assert contents(picture.run_dir) == before


def test_other_files_in_our_directory_stay(finished, dask_gmm):
    (finished.run_dir / "notes.txt").write_text("mine")
    assert dask_gmm("run", finished.config(if_exists="overwrite"))[0] == 0
    assert (finished.run_dir / "notes.txt").read_text() == "mine"
    other = {"labels": {"path": "notes.txt"}}
    code, _, err = dask_gmm("run", finished.config(if_exists="overwrite", outputs=other))
    assert code == 2
    assert "notes.txt: exists, and no run of this program made it" in err
    assert (finished.run_dir / "notes.txt").read_text() == "mine"
    assert finished.manifest()["status"] == "done"


def test_no_link_leads_us_out_of_the_directory(finished, dask_gmm, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "labels.zarr").mkdir(parents=True)
    (elsewhere / "labels.zarr/precious").write_text("mine")
    (elsewhere / "precious").write_text("mine")
    overwrite = finished.config(if_exists="overwrite")
    # An output that became a link: the link is replaced, not what it leads to.
    shutil.rmtree(finished.run_dir / "labels.zarr")
    (finished.run_dir / "labels.zarr").symlink_to(elsewhere / "labels.zarr")
    (finished.run_dir / ".partial").symlink_to(elsewhere)
    before = contents(elsewhere)
    assert dask_gmm("run", overwrite)[0] == 0
    assert not (finished.run_dir / "labels.zarr").is_symlink()
    assert contents(elsewhere) == before
    # A folder that became a link: refused.
    (finished.run_dir / "maps").symlink_to(elsewhere)
    config = finished.config(if_exists="overwrite", outputs={"labels": {"path": "maps/l.zarr"}})
    code, _, err = dask_gmm("run", config)
    assert code == 2
    assert f"{finished.run_dir}/maps: is a link" in err
    assert contents(elsewhere) == before


@pytest.mark.parametrize("name", ["../precious", "{path}/precious", "maps/../../precious", ""])
def test_a_forged_marker_deletes_nothing_outside(finished, dask_gmm, name):
    precious = finished.run_dir.parent / "precious"
    precious.write_text("mine")
    marker = json.loads((finished.run_dir / MARKER).read_text())
    marker["owned"].append(name.format(path=finished.run_dir.parent))
    (finished.run_dir / MARKER).write_text(json.dumps(marker))
    assert dask_gmm("run", finished.config(if_exists="overwrite"))[0] == 0
    assert precious.read_text() == "mine"
    assert finished.manifest()["status"] == "done"


def test_a_run_directory_that_is_a_link_is_followed_once(picture, dask_gmm, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").mkdir()
    picture.run_dir.symlink_to(tmp_path / "disk")
    code, _, err = dask_gmm("run", picture.config())
    assert code == 0, err
    assert picture.run_dir.is_symlink()
    assert (tmp_path / "disk/manifest.json").exists()


def test_a_run_directory_that_is_a_file(picture, dask_gmm):
    picture.run_dir.parent.mkdir()
    picture.run_dir.write_text("mine")
    code, _, err = dask_gmm("run", picture.config())
    assert code == 2
    assert f"run_dir: {picture.run_dir} is a file" in err
    assert picture.run_dir.read_text() == "mine"


def test_a_second_run_in_the_same_directory_is_told_to_wait(picture, dask_gmm):
    picture.run_dir.mkdir(parents=True)
    hold = f"""
import fcntl, sys
file = open({str(picture.run_dir / LOCK)!r}, "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", hold], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        code, _, err = dask_gmm("run", picture.config())
        assert code == 75
        assert f"{picture.run_dir}: another run is at work in this directory" in err
        other.stdin.close()
        other.wait()
    # The kernel lets go of a lock when its process ends, however it ends.
    assert dask_gmm("run", picture.config())[0] == 0


def test_nothing_is_made_where_the_input_is_refused(picture, dask_gmm):
    (picture.path / "data/toy.zarr/c/0/0/0").unlink()
    assert dask_gmm("run", picture.config())[0] == 3
    assert not (picture.path / "runs").exists()
