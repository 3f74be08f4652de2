"""A run through a real SLURM on this machine: controller, node and jobs are real processes.

`make test-slurm` installs SLURM where it is missing (Debian, as root) and runs this; elsewhere the
test is skipped where `slurm.sh start` cannot work, and says why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

pytestmark = pytest.mark.slurm
SCRIPT = Path(__file__).with_name("slurm.sh")
PATH_WITH_DAEMONS = f"{os.environ['PATH']}:/usr/sbin"
SETTINGS = {
    "version": 1,
    "name": "clouds",
    "run_dir": "runs/{name}",
    "source": {"kind": "zarr", "path": "clouds.zarr"},
    "model": {"n_components": 4, "n_init": 2, "tol": 1e-300, "max_iter": 6},
    "fit": {"sample_rows": 3000},
    "outputs": {"labels": {"path": "labels.zarr"}, "uncertainty": {"path": "uncertainty.zarr"}},
}
JOBS = {
    "kind": "slurm",
    "n_workers": 2,
    "memory_limit": "1GiB",
    "queue": "short",
    "walltime": "00:10:00",
    "interface": "lo",
    "timeout": 120,
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """SLURM, started for these tests; the environment that finds it."""
    if os.environ.get("DASK_GMM_SLURM") == "install":
        subprocess.run([SCRIPT, "install"], check=True, timeout=600)
    needed = ("munged", "slurmctld", "slurmd", "sbatch")
    missing = [name for name in needed if shutil.which(name, path=PATH_WITH_DAEMONS) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: make test-slurm installs SLURM on Debian")
    if os.geteuid() != 0:
        pytest.skip("SLURM's node runs jobs for others and so is started as root")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        done = subprocess.run(
            [SCRIPT, "start", folder], check=False, timeout=120, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        yield {**os.environ, "SLURM_CONF": done.stdout.split()[-1]}
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=False, timeout=60)


def dask_gmm(folder, name, cluster, environment):
    """Run the command in a folder; return the process when it has ended."""
    settings = {**SETTINGS, "run_dir": f"runs/{name}", "cluster": cluster}
    (folder / "run.yaml").write_text(json.dumps(settings))
    return subprocess.run(
        [sys.executable, "-m", "dask_gmm", "run", "run.yaml"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def bits(folder, name, cluster, environment):
    """Run the command in a folder; return what its result's bits are."""
    done = dask_gmm(folder, name, cluster, environment)
    logs = [path.read_text() for path in folder.glob("dask-gmm-jobs/*.err")]
    assert done.returncode == 0, "\n".join([done.stderr, *logs])
    run_dir = folder / "runs" / name
    files = [run_dir / "model.safetensors"]
    files += sorted(path for path in run_dir.glob("*.zarr/**/*") if path.is_file())
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files}


def test_jobs_of_slurm_give_the_bits_of_local_workers(slurm, tmp_path):
    values = np.random.default_rng(3).normal(size=(200, 400, 3)) ** 3
    store = str(tmp_path / "clouds.zarr")
    zarr.create_array(store, shape=values.shape, chunks=(20, 400, 3), dtype="f4")[...] = values
    through_slurm = bits(tmp_path, "jobs", JOBS, slurm)
    local = bits(tmp_path, "local", {"kind": "local", "n_workers": 2}, slurm)
    assert len(local) > 10
    assert through_slurm == local

    jobs = list((tmp_path / "dask-gmm-jobs").glob("dask-gmm-*.err"))
    assert len(jobs) == 2  # one per worker
    assert all("tls://127.0.0.1:" in path.read_text() for path in jobs)
    left = subprocess.run(
        ["squeue", "--noheader", "--states=RUNNING,PENDING"],
        env=slurm,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert not left.stdout  # every job is cancelled with the run
    manifest = json.loads((tmp_path / "runs" / "jobs" / "manifest.json").read_text())
    assert manifest["cluster"]["kind"] == "slurm"
    assert not list((tmp_path / "dask-gmm-jobs").glob(".dask-jobqueue*"))  # certificates


def test_a_partition_that_does_not_exist_is_named(slurm, tmp_path):
    store = str(tmp_path / "clouds.zarr")
    zarr.create_array(store, shape=(8, 3), chunks=(8, 3), dtype="f4")[...] = np.arange(24).reshape(
        8, 3
    )
    done = dask_gmm(tmp_path, "none", {**JOBS, "queue": "shrot"}, slurm)
    assert done.returncode == 1
    assert "error: sbatch took no job: " in done.stderr
    assert "shrot" in done.stderr or "invalid partition" in done.stderr
