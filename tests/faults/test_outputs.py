"""Killed inside the writing of results, of every kind: nothing is lost, and no half is a result."""

from __future__ import annotations

import re
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_gmm.run.job import FILES
from tests.run.test_directory import contents

from .conftest import N_LEAVES, config, ended, started

#: What a run writes beside results: it tells of times.
BESIDE = {*FILES, "manifest.json"} - {"model.safetensors"}


def bits(folder):
    """Return the model and all results, of whatever kind."""
    return {
        name: content
        for name, content in contents(folder).items()
        if name.partition("/")[0] not in BESIDE and not name.startswith(".dask-gmm")
    }


def npy_outputs(project):
    names = ("labels", "probabilities", "uncertainty", "log_density")
    return config(project, outputs={n: {"kind": "npy", "path": f"{n}.npy"} for n in names})


def zarr_outputs(project):
    return config(project)


def table_outputs(project):
    """Draw the picture's pixels as a table of four files, in as many row groups as leaves."""
    folder = project.path / "data/table"
    if not folder.exists():
        folder.mkdir()
        rows = project.values.reshape(-1, 3)
        for i, part in enumerate(np.split(rows, 4)):
            columns = {**dict(zip("abc", part.T, strict=True)), "id": np.arange(len(part))}
            pq.write_table(pa.table(columns), folder / f"{i}.parquet", row_group_size=8000)
    source = {"kind": "parquet", "path": "data/table", "columns": ["a", "b", "c"]}
    one = {"kind": "parquet", "path": "classes"}
    outputs = {"labels": one, "probabilities": one, "uncertainty": one, "log_density": None}
    return config(project, source=source, outputs={**outputs, "keep": ["id"]})


CASES = {
    "a cell of an array": (zarr_outputs, "cell", (10, 60)),
    "a cell of an npy file": (npy_outputs, "cell", (10, 60)),
    "the middle of an npy cell": (npy_outputs, "flush", (10, 60)),
    "a part of a table": (table_outputs, "cell", (10, 50)),
    "a rename in a table": (table_outputs, "rename", (30, 90)),
    "a table's file": (table_outputs, "join", (6, 14)),
}


def undisturbed_bits(project, written, dask_gmm):
    code, _, err = dask_gmm("run", written(project), "--set=run_dir=runs/undisturbed")
    assert code == 0, err
    return bits(project.path / "runs/undisturbed")


@pytest.mark.chaos
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_client_is_killed_inside_the_writing_of_results(clouds, dask_gmm, chance, case):
    """However often: each time it comes nearer to its end, and nothing half is a result."""
    written, place, (low, high) = case
    expected = undisturbed_bits(clouds, written, dask_gmm)
    assert any("table" in name or "labels" in name or "classes" in name for name in expected)
    deaths = 0
    while True:
        fault = f"{place}:{chance.randint(low, high)}"
        code, _, err = ended(started(clouds, "run", written(clouds), fault=fault))
        if code == 0:
            break
        assert code == -signal.SIGKILL, err
        assert not (clouds.run_dir / "manifest.json").exists()
        assert set(contents(clouds.run_dir)) == {
            name for name in contents(clouds.run_dir) if name.startswith(".")
        }
        deaths += 1
        assert deaths < 40
    assert deaths > 0
    assert bits(clouds.run_dir) == expected


def test_the_client_is_killed_while_a_table_is_written(clouds, dask_gmm):
    expected = undisturbed_bits(clouds, table_outputs, dask_gmm)
    code, _, err = ended(started(clouds, "run", table_outputs(clouds), fault="join:3"))
    assert code == -signal.SIGKILL, err
    assert not list(clouds.run_dir.glob("[!.]*"))
    code, _, err = ended(started(clouds, "run", table_outputs(clouds)))
    assert code == 0, err
    assert re.search(r"going on with an unfinished run: .*1 x segment", err)
    assert bits(clouds.run_dir) == expected
    assert pq.read_table(clouds.run_dir / "classes")["label"].to_numpy().min() >= 1
    assert len(pq.ParquetDataset(clouds.run_dir / "classes").files) == 4 < N_LEAVES
