"""The law of memory, over drawn inputs: measured is never above predicted; refusals name what fits.

A worker process that stands ready does real runs. Before each of them its heap is given back and
its peak set to what it holds then, so that what is measured is the growth of that run alone.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import math
import os
import re
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from dask_gmm.engine.cluster import local_workers
from dask_gmm.run import work
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured
from dask_gmm.run.memory import PROCESS_BYTES

OUTPUTS = ("labels", "probabilities", "uncertainty", "log_density")
#: Growth that no data cause: stacks and heaps of threads, modules imported late.
SLACK = 16 << 20


@dataclass(frozen=True)
class Case:
    """A run: an array of ``counts`` cells along its leading axes, and what is asked of it."""

    cell: tuple[int, ...]
    counts: tuple[int, ...]
    D: int
    dtype: str
    feature_axis: int
    compressed: bool
    sharded: bool
    K: int
    family: str
    sample_rows: int
    outputs: tuple[str, ...]

    @property
    def shapes(self):
        """Shape of the array and of its cells, features included."""
        shape = [n * c for n, c in zip(self.cell, self.counts, strict=True)]
        cell = list(self.cell)
        for axes in (shape, cell):
            axes.insert(self.feature_axis, self.D)
        return tuple(shape), tuple(cell)

    def config(self, project, compress="auto", **cluster):
        return project.config(
            source={"feature_axis": self.feature_axis, "missing_chunks": "fill"},
            model={
                "n_components": self.K,
                "covariance_type": self.family,
                "n_init": 1,
                "max_iter": 2,
                "init": "random_from_data",
            },
            fit={"sample_rows": self.sample_rows, "compress": compress},
            outputs={
                name: {"path": f"{name}.zarr"} if name in self.outputs else None for name in OUTPUTS
            },
            cluster={"kind": "local", "n_workers": 1, **cluster},
            if_exists="overwrite",
        )

    def array(self, project):
        """Make the array without a chunk."""
        shape, cell = self.shapes
        inner = tuple(-(-n // 2) if n % 2 == 0 else n for n in cell)
        return zarr.create_array(
            str(project.path / "data/toy.zarr"),
            shape=shape,
            chunks=inner if self.sharded else cell,
            shards=cell if self.sharded else None,
            dtype=self.dtype,
            compressors="auto" if self.compressed else None,
            config={"write_empty_chunks": True},
            overwrite=True,
        )


@st.composite
def cases(draw, most_bytes):
    """Draw a case whose cells are between an eighth of so many bytes and all of them."""
    D, dtype = (
        draw(st.sampled_from([1, 2, 3, 6, 16, 40])),
        draw(st.sampled_from(["u1", "u2", "i4", "f4", "f8"])),
    )
    size = draw(st.integers(most_bytes // 8, most_bytes))
    rows = max(1000, size // (D * np.dtype(dtype).itemsize))
    if draw(st.booleans()):
        side = max(16, math.isqrt(rows))
        cell, counts = (rows // side, side), draw(st.sampled_from([(1, 1), (2, 1), (2, 2)]))
    else:
        cell, counts = (rows,), draw(st.sampled_from([(1,), (2,), (5,)]))
    return Case(
        cell,
        counts,
        D,
        dtype,
        draw(st.integers(0, len(cell))),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([2, 5, 24])),
        draw(st.sampled_from(["full", "tied", "diag", "spherical"])),
        draw(st.sampled_from([1000, 50_000])),
        draw(st.sets(st.sampled_from(OUTPUTS)).map(lambda s: tuple(sorted(s)))),
    )


def written(case, project):
    """Write the case's values block by block: integers of all sizes, floats with spread."""
    array, rng = case.array(project), np.random.default_rng(0)
    for region in np.ndindex(case.counts):
        where = [slice(i * n, (i + 1) * n) for i, n in zip(region, case.cell, strict=True)]
        where.insert(case.feature_axis, slice(None))
        shape = array[tuple(where)].shape
        array[tuple(where)] = (rng.random(shape, dtype="f4") * 200).astype(case.dtype)


def give_back():
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    return os.getpid()


def resident(pid, name):
    return int(re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) << 10


@pytest.fixture(scope="module")
def workers():
    with local_workers(1, 1, None) as workers:
        yield workers


@pytest.fixture
def grown(project, workers, dask_gmm, monkeypatch):
    """Do a run and tell by how many bytes the worker grew."""
    monkeypatch.setattr(work, "start_workers", lambda *arguments: nullcontext(workers))

    def run(config):
        (pid,) = workers.scheduler.run(give_back).values()
        before = resident(pid, "VmRSS")
        code, _, err = dask_gmm("run", config)
        assert code == 0, err
        return resident(pid, "VmHWM") - before

    small = Case((1000,), (2,), 2, "f4", 1, True, True, 2, "full", 1000, OUTPUTS)
    written(small, project)
    run(small.config(project))
    workers.scheduler.run(importlib.import_module, "sklearn.cluster")  # by k-means: not in this run
    # Everything is imported now.
    return run


def law(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def check_growth(case, project, grown):
    written(case, project)
    config = case.config(project, memory_limit=None)
    said = plan_configured(load_config(config)).plan.load.worker_bytes - PROCESS_BYTES
    measured = grown(config)
    note(f"{measured / 2**20:.0f} MiB, {said / 2**20:.0f} said")
    assert measured <= said + SLACK


@law(3)
@given(cases(most_bytes=8 << 20))
def test_no_run_takes_more_than_predicted(project, grown, case):
    check_growth(case, project, grown)


@pytest.mark.slow
@pytest.mark.memory
@law(25)
@given(cases(most_bytes=40 << 20))
def test_no_larger_run_takes_more_than_predicted(project, grown, case):
    check_growth(case, project, grown)


@law(8)
@given(cases(most_bytes=400 << 20))
def test_what_cannot_fit_is_refused_with_numbers_that_do(project, dask_gmm, case):
    case.array(project)
    # Counting distinct rows is given up where memory is short: here is what cannot be given up.
    config = case.config(project, compress="never")
    plan = plan_configured(load_config(config)).plan
    limit = plan.load.worker_bytes  # of which a part can be used
    code, _, err = dask_gmm("run", config, f"--set=cluster.memory_limit={limit}")
    assert code == 2, err
    assert not (project.path / "runs").exists()
    enough = re.search(r"set cluster.memory_limit >= (\d+)MiB", err)[1]
    assert dask_gmm("plan", config, f"--set=cluster.memory_limit={enough}MiB")[0] == 0
    rows = re.search(r"chunks of at most ([\d,]+) rows", err)
    if rows and len(case.cell) == 1:
        shorter = replace(case, cell=(int(rows[1].replace(",", "")),), counts=(20,), sharded=False)
        shorter.array(project)
        assert dask_gmm("plan", config, f"--set=cluster.memory_limit={limit}")[0] == 0
