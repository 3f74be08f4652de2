"""A job that a timer starts every night: its own directory each day, and one lock for each."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime, timedelta

from dask_gmm.run import clock
from tests.run.test_directory import results

from .conftest import config, ended, halted


def test_every_day_has_a_directory_of_its_own(picture, dask_gmm, monkeypatch):
    nightly = picture.config(run_dir="runs/{name}-{date}")
    days = []
    for later in range(3):

        class Then(datetime):
            @classmethod
            def now(cls, tz=None, later=later):
                return datetime(2026, 12, 30, 12, tzinfo=tz) + timedelta(days=later)

        monkeypatch.setattr(clock, "datetime", Then)
        code, out, err = dask_gmm("run", nightly, "--json")
        assert code == 0, err
        days.append(json.loads(out)["run_dir"].rpartition("/")[2])
        assert json.loads(dask_gmm("run", nightly, "--json")[1])["skipped"] is True
    assert days == ["toy-2026-12-30", "toy-2026-12-31", "toy-2027-01-01"]
    first, *others = (results(picture.path / "runs" / day) for day in days)
    assert all(other == first for other in others)


def test_the_lock_of_a_killed_run_is_stale(clouds, undisturbed, dask_gmm):
    """The file stays, its lock does not: a run that was killed keeps nobody out."""
    process = halted(clouds, "before:2")
    assert dask_gmm("info", clouds.run_dir)[1].startswith(f"{clouds.run_dir}: running (run ")
    process.send_signal(signal.SIGKILL)
    ended(process)
    assert (clouds.run_dir / ".dask-gmm-run.lock").exists()
    end = time.monotonic() + 10
    while ": interrupted (run " not in dask_gmm("info", clouds.run_dir)[1]:
        assert time.monotonic() < end
        time.sleep(0.05)
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed
