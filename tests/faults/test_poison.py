"""A chunk that kills every process that reads it: it is named, and the rest is kept."""

from __future__ import annotations

import re
from dataclasses import replace

import dask
import pytest

from dask_gmm.run import work
from tests.run.test_directory import results

from .conftest import config
from .poison import Poisonous
from .test_ends import known_passes


def test_a_chunk_that_kills_its_workers_is_named(clouds, undisturbed, dask_gmm):
    """It does so from the third pass on; where it does no more, the run goes on from there."""
    poison = clouds.path / "poison"
    stages, fit = work.go_through_stages, work.fit_stage

    def poisoned(job, *arguments):
        return stages(replace(job, source=Poisonous(job.source, 7, poison)), *arguments)

    def fitted(config, readings, seen, started, observe):
        def observed(number, mean):
            observe(number, mean)
            if number == 2:
                poison.touch()

        return fit(config, readings, seen, started, observed)

    run = config(clouds, cluster={"kind": "local", "n_workers": 1})
    # As everywhere, but for the deaths that are waited for: two instead of four.
    hasty = dask.config.set({"distributed.scheduler.allowed-failures": 1})
    with hasty, pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "go_through_stages", poisoned)
        patch.setattr(work, "fit_stage", fitted)
        code, out, err = dask_gmm("run", run)
    assert code == 1, err
    assert not out
    last = err.splitlines()[-1]
    # One leaf is read ahead while another is worked on: their process dies under both.
    where = (
        re.escape(f"error: {clouds.path}/data/toy.zarr") + r": chunk \([678], 0\) of the leading"
    )
    assert re.match(where, last), last
    assert "ended its worker process 2 times, and was given up" in last
    assert "Traceback" not in err
    poison.unlink()
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 0, err
    assert known_passes(err) == 2
    assert results(clouds.run_dir) == undisturbed
