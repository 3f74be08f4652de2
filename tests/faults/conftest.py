"""What the tests of faults share: a picture in many small leaves, and the command in a driver."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dask_gmm.engine import leaves
from tests.run.conftest import dask_gmm, picture, project  # noqa: F401
from tests.run.test_checkpoint import same_times
from tests.run.test_directory import results
from tests.run.test_processes import read_until

from .driver import GO, HALTED

DRIVER = Path(__file__).with_name("driver.py")
#: Bytes of a leaf: small, so that a small picture has many.
LEAF = 100_000
N_LEAVES = 20
N_PASSES = 8


@pytest.fixture
def clouds(project, monkeypatch):  # noqa: F811
    """A picture in twenty leaves, whose fit changes every parameter in every pass."""
    monkeypatch.setattr(leaves, "SMALLEST", LEAF)
    values = np.random.default_rng(3).normal(size=(400, 400, 3)) ** 3
    project.array(values.astype("f4"), (20, 400, 3))
    same_times(project.path / "data")
    return project


def config(place, **sections):
    steps = {"n_components": 4, "n_init": 1, "tol": 1e-300, "max_iter": N_PASSES}
    return place.config(**{"model": steps, "fit": {"sample_rows": 2000}, **sections})


#: The bits of a run to which nothing happens; they are those of the first.
BITS = {}


@pytest.fixture
def undisturbed(clouds, dask_gmm):  # noqa: F811
    """What every run must come to."""
    if not BITS:
        code, _, err = dask_gmm("run", config(clouds, run_dir="runs/undisturbed"))
        assert code == 0, err
        BITS.update(results(clouds.path / "runs/undisturbed"))
    return BITS


def started(place, *arguments, fault="none", **options):
    """Start the command in a process of its own that has small leaves and, maybe, a fault."""
    return subprocess.Popen(
        [sys.executable, str(DRIVER), fault, *map(str, arguments)],
        cwd=place.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process, timeout=300):
    """Wait for the end; return code, stdout and stderr."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def halted(place, fault, **sections):
    """Start a run and return it when it waits at a point of its way; `before` is what it said."""
    (place.path / GO).unlink(missing_ok=True)
    process = started(place, "run", config(place, **sections), fault=fault)
    process.before = read_until(process, HALTED)
    return process


def let_go(place):
    """Let what waits go on."""
    (place.path / GO).touch()


SEED = os.environ.get("DASK_GMM_CHAOS_SEED") or random.SystemRandom().randrange(2**32)


def pytest_report_header():
    return f"DASK_GMM_CHAOS_SEED={SEED}"


@pytest.fixture
def chance(request):
    """Random numbers of this test's own, from a seed that is printed and can be given."""
    print(f"DASK_GMM_CHAOS_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")
