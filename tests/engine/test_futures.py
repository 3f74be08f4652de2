"""Passes on a distributed scheduler: same sums, parts handed over, hung leaves run elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from dask_gmm.engine import futures
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import FAN_IN
from dask_gmm.engine.ledger import NoLedger
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.patience import Patience
from dask_gmm.errors import InputDataError, TemporaryFailureError


class Number:
    """A leaf that yields one number."""

    def __init__(self, value):
        self.value = value

    def __call__(self):
        yield self.value


def rounded(blocks, scale):
    """Return numbers whose sum depends on the order of adding."""
    (number,) = blocks
    return np.array([scale / (1 + number), scale * number**7])


def stubborn(blocks, folder, seconds):
    """Hang on leaf 3 the first time that it is run; note by whom it is."""
    (number,) = blocks
    if number == 3:
        notes = Path(folder) / "runs"
        hangs = not notes.exists()
        with notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if hangs:
            time.sleep(seconds)
    return np.array([float(number)])


def refusing(blocks):
    (number,) = blocks
    if number == 5:
        raise InputDataError("leaf 5 is unlucky")
    return number


def whereabouts(blocks, seconds):
    """Return the process that works on a leaf, which takes some time."""
    for _ in blocks:
        time.sleep(seconds)
    return [os.getpid()]


class Notes(NoLedger):
    """A ledger that knows some parts and notes those that it is told."""

    def __init__(self, parts=None):
        self.parts = parts or {}
        self.noted = {}

    def part(self, index, value):
        self.noted[index] = value
        return value


@pytest.fixture(scope="module")
def client():
    with local_workers(2, 1, None) as workers:
        yield workers.scheduler


def passes(n, scheduler, **options):
    return Passes([Number(i) for i in range(n)], scheduler, **options)


@pytest.mark.parametrize("n", [2, 4, 10, FAN_IN + 4])
def test_two_workers_share_the_leaves(client, n):
    passes(n, client).run("warm-up", whereabouts, 0.05)
    busy = passes(n, client).run("share", whereabouts, 0.05)
    counts = sorted(busy.count(worker) for worker in set(busy))
    assert len(counts) == 2, counts
    assert counts[0] >= n // 3, counts


@pytest.mark.parametrize("n", [1, 3, FAN_IN, FAN_IN + 1, 70, 300])
def test_the_sum_is_that_of_one_thread_to_the_bit(client, n):
    alone = passes(n, "synchronous").run("rounded", rounded, 0.1)
    np.testing.assert_array_equal(passes(n, client).run("rounded", rounded, 0.1), alone)
    np.testing.assert_array_equal(
        passes(n, client).write("rounded", rounded, 0.1).tobytes(),
        passes(n, "threads").write("rounded", rounded, 0.1).tobytes(),
    )


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "client"])
def test_parts_that_are_known_are_not_computed_again(client, scheduler):
    scheduler = client if scheduler == "client" else scheduler
    everything = Notes()
    whole = passes(70, scheduler, ledger=everything).run("rounded", rounded, 0.1)
    assert sorted(everything.noted) == list(range(5))
    known = Notes({i: everything.noted[i] for i in (0, 3, 4)})
    again = passes(70, scheduler, ledger=known).run("rounded", rounded, 0.1)
    assert sorted(known.noted) == [1, 2]
    np.testing.assert_array_equal(again, whole)


@pytest.mark.parametrize("scheduler", ["threads", "client"])
def test_what_was_finished_before_an_error_is_noted(client, scheduler):
    notes = Notes()
    with pytest.raises(InputDataError, match="leaf 5 is unlucky"):
        passes(8, client if scheduler == "client" else scheduler, ledger=notes).write(
            "refusing", refusing
        )
    assert 5 not in notes.noted


def test_a_leaf_that_hangs_is_run_again_elsewhere(client, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(futures.log, "warning", lambda words, *values: said.append(words % values))
    began = time.monotonic()
    hasty = Patience(factor=3.0, least=2.0)
    total = passes(20, client, patience=hasty).run("stubborn", stubborn, str(tmp_path), 90.0)
    seconds = time.monotonic() - began
    assert total == sum(range(20))
    first, second = (tmp_path / "runs").read_text().split()
    assert first != second
    assert seconds < 85
    # A worker that is not heard of for a minute, on a machine that stood still, is Dask's to drop.
    if seconds < 60:
        assert any(line.startswith("leaf 4 of 20 has been at work for") for line in said), said
        assert all(line.endswith("it is run again elsewhere") for line in said), said


def test_a_pass_that_stands_still_is_given_up_with_what_to_do(tmp_path):
    impatient = Patience(least=1000.0, silence=3.0)
    with local_workers(1, 1, None) as workers, pytest.raises(TemporaryFailureError) as raised:
        passes(4, workers.scheduler, patience=impatient).run(
            "stubborn", stubborn, str(tmp_path), 3600.0
        )
    assert "no part of the data was finished for 3 s" in str(raised.value)
    assert "start the same command again" in str(raised.value)


def test_nothing_of_ours_listens_to_a_network(client):
    """Whoever reaches a scheduler or a worker of Dask runs code there."""
    import psutil

    here = psutil.Process()
    heard = {
        each.laddr.ip.removeprefix("::ffff:")
        for process in (here, *here.children(recursive=True))
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}
    assert client.dashboard_link.startswith("http://127.0.0.1:")
