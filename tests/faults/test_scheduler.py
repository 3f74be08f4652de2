"""The scheduler itself is killed, wherever it runs: the same command goes on, to the same bits."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.run.clusters_for_tests import DaskProcesses
from tests.run.test_processes import descendants, is_worker, read_until

from .conftest import config, ended, started
from .test_ends import go_on, known_passes


@pytest.fixture
def cluster(tmp_path_factory):
    """A function that starts a scheduler and a worker of its own; all of them end with the test."""
    clusters = []

    def start():
        clusters.append(DaskProcesses(tmp_path_factory.mktemp("cluster")))
        return clusters[-1].start(1, "--nthreads", "1")

    yield start
    for each in clusters:
        each.stop()


def section(kind, found):
    if kind == "address":
        return {"kind": "address", "address": found.address}
    return {"kind": "scheduler-file", "path": str(found.file)}


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        ("address", "pass 3"),
        pytest.param("scheduler-file", "survey", marks=pytest.mark.chaos),
        pytest.param("scheduler-file", "EM over all rows", marks=pytest.mark.chaos),
    ],
)
def test_the_scheduler_is_killed(clouds, undisturbed, cluster, kind, moment):
    """A run that loses its scheduler ends with 75; with another scheduler it goes on."""
    lost = cluster()
    process = started(clouds, "run", config(clouds, cluster=section(kind, lost)))
    read_until(process, moment)
    lost.scheduler.kill()
    began = time.monotonic()
    code, out, err = ended(process)
    assert code == 75, err
    assert time.monotonic() - began < 30
    assert not out
    assert "the connection to the Dask scheduler was lost" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("start the same command again")
    assert "Traceback" not in err
    assert not (clouds.run_dir / "manifest.json").exists()
    err = go_on(clouds, undisturbed, cluster=section(kind, cluster()))
    assert "going on with an unfinished run" in err
    assert known_passes(err) >= {"pass 3": 3, "survey": 0, "EM over all rows": 8}[moment]


@pytest.mark.chaos
def test_the_scheduler_of_local_workers_is_killed(clouds, undisturbed):
    """It lives in the process of the command, which is killed with it; no worker stays behind."""
    local = {"kind": "local", "n_workers": 2}
    process = started(clouds, "run", config(clouds, cluster=local))
    read_until(process, "pass 3")
    workers = [pid for pid in descendants(process.pid) if is_worker(pid)]
    assert len(workers) == 2
    process.kill()
    ended(process)
    end = time.monotonic() + 20
    while any(map(_is_there, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(_is_there, workers))
    assert known_passes(go_on(clouds, undisturbed, cluster=local)) >= 3


def _is_there(pid):
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return is_worker(pid)
