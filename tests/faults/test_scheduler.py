"""The scheduler itself is killed: the same command goes on with another one, to the same bits."""

from __future__ import annotations

import time

import pytest

from tests.run.clusters_for_tests import DaskProcesses

from .conftest import ended, halted, let_go
from .test_ends import go_on, known_passes


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and a worker of its own, in processes; they end with the test."""
    found = DaskProcesses(tmp_path / "cluster")
    found.folder.mkdir()
    found.start(1, "--nthreads", "1")
    yield found
    found.stop()


@pytest.fixture
def another(tmp_path):
    """Another scheduler and its worker, in this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as found:
        yield found


def section(kind, found):
    if kind == "address":
        return {"kind": "address", "address": found.address}
    return {"kind": "scheduler-file", "path": str(found.file)}


@pytest.mark.parametrize(
    ("kind", "moment", "finished"),
    [
        ("scheduler-file", "during:4", 3),
        pytest.param("address", "before:1", 0, marks=pytest.mark.chaos),
        pytest.param("address", "before:8", 7, marks=pytest.mark.chaos),
    ],
)
def test_the_scheduler_is_killed(
    clouds, undisturbed, dask_gmm, cluster, another, kind, moment, finished
):
    """A run that loses its scheduler ends with 75; with another scheduler it goes on."""
    process = halted(clouds, moment, cluster=section(kind, cluster))
    cluster.scheduler.kill()
    let_go(clouds)
    began = time.monotonic()
    code, out, err = ended(process)
    assert code == 75, err
    assert time.monotonic() - began < 30
    assert not out
    assert "the connection to the Dask scheduler was lost" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("start the same command again")
    assert "Traceback" not in err
    assert not (clouds.run_dir / "manifest.json").exists()
    address = {"kind": "address", "address": another.scheduler_address}
    err = go_on(clouds, undisturbed, dask_gmm, cluster=address)
    assert "going on with an unfinished run" in err
    assert known_passes(err) == finished
