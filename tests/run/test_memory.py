"""No worker holds more than the plan said; what cannot fit is refused, and the advice is good."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from dask_gmm.run import work
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured
from dask_gmm.run.memory import PROCESS_BYTES

from .test_processes import descendants, is_worker


@pytest.fixture
def peaks(monkeypatch):
    """A list that is given the peak resident bytes of every worker of a run."""
    found = []
    stages = work.go_through_stages

    def measured(*arguments):
        result = stages(*arguments)
        for pid in filter(is_worker, descendants(os.getpid())):
            status = Path(f"/proc/{pid}/status").read_text()
            found.append(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10)
        return result

    monkeypatch.setattr(work, "go_through_stages", measured)
    return found


ALL = ("labels", "probabilities", "uncertainty", "log_density")
CASES = {
    "a picture with every output": ((2000, 2000, 3), (2000, 2000, 3), "u1", 6, "full", ALL, 1),
    "labels of small chunks": ((1000, 2000, 3), (500, 500, 3), "u1", 30, "diag", ALL[:1], 1),
    "a large sample": ((150_000, 64), (50_000, 64), "f4", 3, "tied", ALL, 1),
    "features that look around": (
        *((1500, 2000, 3), (750, 1000, 3), "u1", 4, "full", ALL[:1], 1),
        {"kind": "gradient", "of": "band0", "scale": 20},
        {"kind": "std", "of": "band1", "scale": 8},
        {"sum": "band0 + band1 + band2"},
    ),
    "two threads": ((2000, 1000, 6), (1000, 500, 6), "f4", 4, "full", ALL, 2),
    "a field": ((2400, 2000, 3), (1200, 1000, 3), "u1", 6, "full", ALL, 1),
    "a field over one chunk": ((3000, 3000, 2), (3000, 3000, 2), "f4", 3, "full", ALL[:1], 1),
}
FIELD = {"spatial": {"strength": 1, "neighbourhood": 8, "iterations": 10}}


#: The others are enough for every run of the tests.
LONG = ("a large sample", "two threads", "a field over one chunk")


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[pytest.mark.long] if name in LONG else [])
        for name, case in CASES.items()
    ],
)
def test_a_worker_holds_no_more_than_was_said(project, dask_gmm, peaks, case, request):
    shape, chunks, dtype, K, family, written, threads, *features = case
    values = np.random.default_rng(0).random(shape, dtype="f4") * 200
    project.array(values.astype(dtype), chunks)
    del values
    config = project.config(
        model={
            "n_components": K,
            "covariance_type": family,
            "n_init": 1,
            "max_iter": 1,
            "init": "random_from_data",
        },
        fit={"sample_rows": 80_000 if shape[-1] == 64 else 10_000},
        outputs={name: {"path": f"{name}.zarr"} if name in written else None for name in ALL},
        cluster={"kind": "local", "n_workers": 1, "threads_per_worker": threads},
        features=features or None,
        smoothing=FIELD if "a field" in request.node.callspec.id else None,
    )
    said = plan_configured(load_config(config)).plan.load.worker_bytes
    code, _, err = dask_gmm("run", config, "--set=cluster.memory_limit=null")
    assert code == 0, err
    (peak,) = peaks
    assert peak <= said, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"
    assert said <= 2.5 * peak, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"


def refusal(project, dask_gmm, config, *settings):
    code, out, err = dask_gmm("plan", config, *settings)
    assert code == 2
    assert re.search(r"fits\s+│\s+no", out)
    assert dask_gmm("run", config, *settings)[0] == 2
    assert not (project.path / "runs").exists()
    return err


@pytest.mark.parametrize(
    ("shape", "dtype", "limit"),
    [
        ((4_000_000, 1), "f4", "520MiB"),
        ((300_000, 16), "f8", "560MiB"),
        ((900_000, 3), "u1", 520 << 20),
    ],
)
def test_what_cannot_fit_is_refused_with_advice_that_fits(project, dask_gmm, shape, dtype, limit):
    sizes = {"fit": {"sample_rows": 5000}, "cluster": {"kind": "local", "memory_limit": limit}}
    project.array(np.zeros(shape, dtype), shape)
    config = project.config(**sizes, model={"n_components": 12})
    said = refusal(project, dask_gmm, config)
    assert f"error: cluster.memory_limit: {_gib(limit)} GiB per worker is too little" in said
    assert f"chunks of {shape[0]:,} rows (K=12, D={shape[1]}, {np.dtype(dtype)})" in said
    enough = re.search(r"set cluster.memory_limit >= (\d+MiB)", said)[1]
    assert dask_gmm("plan", config, f"--set=cluster.memory_limit={enough}")[0] == 0
    a_little_less = f"{int(enough.removesuffix('MiB')) - 2}MiB"
    assert dask_gmm("plan", config, f"--set=cluster.memory_limit={a_little_less}")[0] == 2
    rows = int(re.search(r"chunks of at most ([\d,]+) rows", said)[1].replace(",", ""))
    assert 0 < rows < shape[0]
    project.array(np.zeros(shape, dtype), (rows, shape[1]))
    assert dask_gmm("plan", config)[0] == 0


def _gib(limit):
    n = limit if isinstance(limit, int) else int(limit.removesuffix("MiB")) << 20
    return f"{n / 2**30:.2f}"


def test_no_chunk_is_proposed_where_none_would_fit(picture, dask_gmm):
    limit = PROCESS_BYTES  # of which a part can be used
    cluster = {"kind": "local", "memory_limit": limit}
    said = refusal(picture, dask_gmm, picture.config(cluster=cluster))
    assert "set cluster.memory_limit >= 4" in said
    assert "chunks of at most" not in said


def test_without_a_limit_everything_fits(picture, dask_gmm):
    for cluster in ({"kind": "local", "memory_limit": None}, {"kind": "threads"}):
        code, out, err = dask_gmm("plan", picture.config(cluster=cluster))
        assert code == 0, err
        assert re.search(r"worker memory limit\s+│\s+no limit", out)
        assert re.search(r"fits\s+│\s+yes", out)


@pytest.mark.slow
def test_a_run_at_the_very_limit_that_was_proposed_completes(project, dask_gmm):
    project.array(
        (np.random.default_rng(0).random((4000, 2000, 3)) * 99).astype("u1"), (2000, 2000, 3)
    )
    cluster = {"kind": "local", "n_workers": 1, "memory_limit": "520MiB"}
    config = project.config(cluster=cluster, model={"n_components": 6, "max_iter": 2, "n_init": 1})
    enough = re.search(r"memory_limit >= (\d+MiB)", refusal(project, dask_gmm, config))[1]
    code, _, err = dask_gmm("run", config, f"--set=cluster.memory_limit={enough}")
    assert code == 0, err
    assert "WARNING" not in err
