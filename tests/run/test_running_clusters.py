"""Runs on clusters that others have started: real `dask scheduler` and `dask worker` processes."""

from __future__ import annotations

import os
import signal
import site
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from dask_gmm.engine.remote.watch import watched
from dask_gmm.errors import TemporaryFailureError

from .clusters_for_tests import DaskProcesses, certificate
from .test_directory import results

pytestmark = pytest.mark.slow


@pytest.fixture
def clouds(project):
    values = np.random.default_rng(3).normal(size=(200, 400, 3)) ** 3
    project.array(values.astype("f4"), (20, 400, 3))
    return project


@pytest.fixture
def processes(tmp_path_factory):
    """A function that starts a scheduler with workers; they end with the test."""
    started = []

    def start(n_workers, *arguments, tls=None, **options):
        cluster = DaskProcesses(tmp_path_factory.mktemp("cluster"), tls)
        started.append(cluster)
        return cluster.start(n_workers, *arguments, **options)

    yield start
    for cluster in started:
        cluster.stop()


def config(project, name, cluster, **sections):
    model = {"n_components": 4, "n_init": 2, "tol": 1e-300, "max_iter": 6}
    return project.config(
        run_dir=f"runs/{name}", model=model, fit={"sample_rows": 3000}, cluster=cluster, **sections
    )


def bits(project, dask_gmm, name, cluster):
    code, _, err = dask_gmm("run", config(project, name, cluster))
    assert code == 0, err
    assert "Traceback" not in err
    return results(project.path / "runs" / name)


def endless(project, cluster):
    """Return a configuration of a run that is still at work when something happens to it."""
    model = {"n_components": 4, "n_init": 1, "tol": 1e-300, "max_iter": 10**6}
    return project.config(model=model, cluster=cluster)


def test_workers_reached_by_tls_give_the_bits_of_local_ones(
    clouds, dask_gmm, processes, tmp_path_factory
):
    tls = certificate(tmp_path_factory.mktemp("certificates"))
    cluster = processes(2, "--nthreads", "1", tls=tls)
    assert cluster.address.startswith("tls://127.0.0.1:")
    reached = {"kind": "address", "address": cluster.address, "tls": tls}
    there = bits(clouds, dask_gmm, "there", reached)
    assert there == bits(clouds, dask_gmm, "here", {"kind": "local", "n_workers": 2})
    assert bits(clouds, dask_gmm, "again", reached) == there  # not closed: it is not ours

    other = certificate(tmp_path_factory.mktemp("others"))
    refused = config(clouds, "refused", {**reached, "tls": other})
    code, _, err = dask_gmm("run", refused)
    assert code == 75
    last = err.splitlines()[-1]
    assert f"error: the scheduler {cluster.address} could not be reached" in last
    assert "cluster.tls" in last


def test_a_scheduler_file_is_waited_for(clouds, dask_gmm, processes, tmp_path):
    cluster = processes(2, "--nthreads", "1")
    late = tmp_path / "late.json"
    timer = threading.Timer(1.0, lambda: late.write_text(cluster.file.read_text()))
    timer.start()
    there = bits(clouds, dask_gmm, "there", {"kind": "scheduler-file", "path": "late.json"})
    assert there == bits(clouds, dask_gmm, "here", {"kind": "threads", "n_workers": 1})


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 75, "no scheduler has written its address there within 1 s; start `dask scheduler"),
        ('{"address"', 75, "no scheduler has written its address there within 1 s"),
        ("[]", 2, "holds no scheduler's address"),
        ('{"address": "tcp://10.1.2.3:8786"}', 2, "takes orders from anybody on its network"),
    ],
)
def test_a_scheduler_file_that_does_not_do(picture, dask_gmm, text, code, words):
    if text is not None:
        (picture.path / "scheduler.json").write_text(text)
    cluster = {"kind": "scheduler-file", "path": "scheduler.json", "timeout": 1}
    found, _, err = dask_gmm("run", picture.config(cluster=cluster))
    assert found == code
    assert words in err.splitlines()[-1]


def test_a_scheduler_without_workers_is_given_up(picture, dask_gmm, processes):
    cluster = {"kind": "address", "address": processes(0).address, "timeout": 2}
    code, _, err = dask_gmm("run", picture.config(cluster=cluster))
    assert code == 75
    assert "no worker has come to the scheduler tcp://127.0.0.1:" in err
    assert "within 2 s; see that `dask worker` processes run" in err


def test_a_worker_too_small_for_a_task_is_refused(picture, dask_gmm, processes):
    cluster = processes(1, "--memory-limit", "200MiB")
    reached = {"kind": "address", "address": cluster.address}
    code, _, err = dask_gmm("run", picture.config(cluster=reached))
    assert code == 2
    assert "0.20 GiB per worker is too little" in err


@pytest.fixture
def bare_site(tmp_path):
    """A folder with all packages of this environment but ours."""
    folder = tmp_path / "site"
    folder.mkdir()
    for place in site.getsitepackages():
        for found in Path(place).iterdir():
            if "dask_gmm" not in found.name and found.suffix != ".pth":
                (folder / found.name).symlink_to(found)
    return folder


@pytest.mark.parametrize("there", [None, "0.0.1"])
def test_a_worker_without_our_version_is_named(picture, dask_gmm, processes, bare_site, there):
    words = "has no dask-gmm; install it there: pip install 'dask-gmm=="
    if there is not None:
        (bare_site / "dask_gmm-0.0.1.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: dask-gmm\nVersion: {there}\n"
        (bare_site / "dask_gmm-0.0.1.dist-info" / "METADATA").write_text(metadata)
        words = f"has dask-gmm {there}, this process "
    cluster = processes(1, python=["-S", "-P"], env={"PYTHONPATH": str(bare_site)})
    reached = {"kind": "address", "address": cluster.address}
    code, out, err = dask_gmm("run", picture.config(cluster=reached))
    assert code == 2, cluster.log()
    last = err.splitlines()[-1]
    assert last.startswith("error: the worker tcp://127.0.0.1:")
    assert words in last
    assert "Traceback" not in err
    assert not out


@pytest.mark.parametrize("lost", ["workers", "scheduler"])
def test_a_lost_cluster_ends_the_run_in_bounded_time(clouds, processes, lost):
    cluster = processes(1, "--nthreads", "1")
    reached = {"kind": "address", "address": cluster.address, "timeout": 3}
    process = clouds.started("run", endless(clouds, reached))
    seen = []
    for line in process.stderr:
        seen.append(line)
        if "pass 3" in line:
            break
    (cluster.workers[0] if lost == "workers" else cluster.scheduler).kill()
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, "".join(seen) + err
    assert time.monotonic() - began < 30
    words = {
        "workers": "for 3 s there was no worker; see that `dask worker` processes run",
        "scheduler": "the connection to the Dask scheduler was lost",
    }
    last = err.splitlines()[-1]
    assert words[lost] in last
    assert last.endswith("start the same command again")
    assert "Traceback" not in err


def test_a_scheduler_that_hangs_is_given_up(processes):
    """A stopped process keeps its connections: nothing but silence tells."""
    cluster = processes(1)
    with Client(cluster.address, set_as_default=False) as client:
        caught = pytest.raises(TemporaryFailureError, match="has not answered for 2 s")
        with caught, watched(client, 60, "", silence=2.0):
            future = client.submit(time.sleep, 600)
            os.kill(cluster.scheduler.pid, signal.SIGSTOP)
            future.result(timeout=60)
