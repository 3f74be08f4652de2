"""What is promised when data are bad or the disk refuses: the exit code, and no result."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dask_gmm.run import work

from .conftest import blobs
from .test_directory import results


def has_no_result(project):
    return not (project.run_dir / "manifest.json").exists() and not list(
        project.run_dir.glob("[!.]*")
    )


@pytest.fixture
def when_workers_start(monkeypatch):
    """A function that makes something happen between plan and first reading."""

    def happen(action):
        start = work.start_workers

        def started(*arguments):
            action()
            return start(*arguments)

        monkeypatch.setattr(work, "start_workers", started)

    return happen


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["deleted", "emptied", "truncated", "flipped"])
def test_a_chunk_that_goes_bad_before_it_is_read(project, dask_gmm, when_workers_start, how):
    from zarr.codecs import BloscCodec, Crc32cCodec

    project.array(blobs((40, 60)), (20, 24, 3), compressors=[BloscCodec(), Crc32cCodec()])
    chunk = project.path / "data/toy.zarr/c/1/2/0"
    when_workers_start(lambda: damage(chunk, how))
    code, out, err = dask_gmm("run", project.config())
    assert code == 3
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {project.path}/data/toy.zarr: chunk c/1/2/0 ")
    assert not out
    assert has_no_result(project)


def test_an_older_result_stays_where_the_new_run_fails(picture, dask_gmm):
    assert dask_gmm("run", picture.config())[0] == 0
    before = results(picture.run_dir)
    damage(picture.path / "data/toy.zarr/c/1/2/0", "truncated")
    assert dask_gmm("run", picture.config(if_exists="overwrite"))[0] == 3
    assert results(picture.run_dir) == before
    assert picture.manifest()["status"] == "done"


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_chunk_that_is_missing_is_refused_before_the_run(picture, dask_gmm, how):
    damage(picture.path / "data/toy.zarr/c/0/1/0", how)
    for verb in ("validate", "plan", "run"):
        code, _, err = dask_gmm(verb, picture.config())
        assert code == 3
        assert f"{picture.path}/data/toy.zarr: 1 of 6 chunks are " in err
        assert "c/0/1/0" in err


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_invalid_rows_may_be_refused(project, dask_gmm, value):
    values = blobs((40, 60), dtype="f8")
    values[25, 50, 2] = value
    project.array(values, (20, 24, 3))
    code, _, err = dask_gmm("run", project.config(source={"on_invalid": "error"}))
    assert code == 3
    assert f"error: {project.path}/data/toy.zarr: 1 of 2,400 rows hold NaN, infinity" in err
    chunk = f"{project.path}/data/toy.zarr: chunk (1, 2) of the leading axes"
    assert f"the first at (25, 50) in {chunk};" in err
    assert has_no_result(project)
    assert dask_gmm("run", project.config())[0] == 0


@pytest.mark.parametrize("n_valid", [0, 2])
def test_too_few_rows_take_part(project, dask_gmm, n_valid):
    values = np.full((40, 60, 3), np.nan, "f4")
    values[:1, :n_valid] = 1.0
    project.array(values, (20, 24, 3))
    code, _, err = dask_gmm("run", project.config())
    assert code == 3
    assert f"{project.path}/data/toy.zarr: {n_valid} of 2,400 rows take part" in err
    assert "model.n_components=3 needs at least as many" in err
    assert has_no_result(project)


def test_fewer_rows_than_components(project, dask_gmm):
    project.array(np.array([[1.0], [2.0]]), (2, 1))
    code, _, err = dask_gmm("run", project.config())
    assert code == 3
    assert "2 of 2 rows take part" in err


def test_a_sample_smaller_than_the_number_of_components(picture, dask_gmm):
    code, _, err = dask_gmm("plan", picture.config(fit={"sample_rows": 2}))
    assert code == 2
    assert "fit.sample_rows=2: the starts need" in err
    assert "set fit.sample_rows >= 3" in err


@pytest.mark.parametrize("allowed", [3, 4, 5, 50])
def test_the_number_of_readings_is_kept(project, dask_gmm, allowed):
    project.array(np.random.default_rng(0).random((60, 40, 2)), (30, 40, 2))
    config = project.config(fit={"max_passes": allowed}, model={"tol": 1e-300, "max_iter": 9})
    code, out, err = dask_gmm("run", config)
    assert code == 0, err
    fit = project.manifest()["fit"]
    assert fit["passes"]["total"] == min(allowed, 9 + 2)
    assert fit["n_iter"] == fit["passes"]["em"] == min(allowed - 2, 9)
    if allowed < 11:
        assert fit["stopped_by"] == f"the limit of fit.max_passes={allowed} was reached"
        assert "Raise fit.max_passes." in out
    else:
        assert "Raise model.max_iter." in out


@pytest.mark.parametrize("allowed", [-1, 0, 1, 2])
def test_too_few_readings_are_refused_with_the_minimum(picture, dask_gmm, allowed):
    code, _, err = dask_gmm("run", picture.config(), f"--set=fit.max_passes={allowed}")
    assert code == 2
    assert f"fit.max_passes: found {allowed}; allowed an integer >= 3 or null" in err


def test_a_second_survey_counts_among_the_readings(project, dask_gmm):
    values = np.full((200, 300, 1), np.nan, "f4")
    values[:2, :6, 0] = np.arange(12).reshape(2, 6)
    project.array(values, (50, 100, 1))
    sparse = {"sample_rows": 100, "max_passes": 3}
    code, _, err = dask_gmm("run", project.config(fit=sparse))
    assert code == 2
    assert "set fit.max_passes >= 4" in err
    code, _, err = dask_gmm("run", project.config(fit={**sparse, "max_passes": 4}))
    assert code == 0, err
    passes = {"survey": 2, "em": 1, "select": 0, "predict": 1, "total": 4}
    assert project.manifest()["fit"]["passes"] == passes


def test_not_converged_is_a_failure_only_where_it_is_asked_for(picture, dask_gmm):
    config = picture.config(model={"max_iter": 1})
    code, out, _ = dask_gmm("run", config)
    assert code == 0
    assert "NOT converged" in out
    for _ in range(2):  # a skipped run tells it too
        code, out, err = dask_gmm("run", config, "--require-convergence")
        assert code == 4
        assert "NOT converged" in out
        assert "error: EM did not converge: the limit of 1 iterations was reached" in err


# --- the disk ------------------------------------------------------------------------------------


def test_a_run_directory_below_a_file_cannot_be_made(picture, dask_gmm):
    (picture.path / "file").write_text("")
    code, _, err = dask_gmm("run", picture.config(run_dir="file/run"))
    assert code == 1
    assert f"error: run_dir: {picture.path}/file/run cannot be written (Not a directory)" in err


@pytest.fixture
def small_disk():
    """A function that mounts a file system of so many bytes on a folder, or skips the test."""
    folders = []

    def mounted(folder, size, options="rw"):
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},{options}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mounted
    for folder in folders:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(picture, dask_gmm, small_disk):
    disk = small_disk(picture.path / "disk", 64 << 10)
    code, out, err = dask_gmm("run", picture.config(run_dir="disk/run"))
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {disk}/run/.partial/")
    assert "cannot be written (No space left on device); make room" in last
    assert not out
    assert not (disk / "run/manifest.json").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    assert dask_gmm("run", picture.config(run_dir="disk/run"))[0] == 0
    assert dask_gmm("run", picture.config())[0] == 0
    assert results(disk / "run") == results(picture.run_dir)


def test_a_disk_that_may_not_be_written(picture, dask_gmm, small_disk):
    disk = small_disk(picture.path / "disk", "1m", "ro")
    code, _, err = dask_gmm("run", picture.config(run_dir="disk/run"))
    assert code == 1
    assert f"error: run_dir: {disk}/run cannot be written (Read-only file system)" in err


@pytest.mark.parametrize("where", ["checkpoint", "labels.zarr"])
def test_a_disk_that_may_not_be_written_any_more(
    picture, dask_gmm, small_disk, when_workers_start, where
):
    folder = picture.run_dir / ".partial" / where
    when_workers_start(lambda: small_disk(folder, "1m", "ro"))
    code, _, err = dask_gmm("run", picture.config())
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {folder}")
    assert "cannot be written" in last
    assert has_no_result(picture)


def test_files_that_may_not_grow(picture):
    """Stands in for a full disk, or a quota, where no file system can be mounted."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    code, out, err = picture.command("run", picture.config(), preexec_fn=limit)
    assert code == 1
    assert not out
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {picture.run_dir}/.partial/")
    assert "cannot be written (File too large)" in last
    assert has_no_result(picture)
    assert picture.command("run", picture.config())[0] == 0
