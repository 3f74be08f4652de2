"""Worker processes are killed and stopped, one of them and all: the same bits, or how to go on."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.run.test_directory import results
from tests.run.test_processes import alive, descendants, is_worker, read_until

from .conftest import config, ended, halted, let_go, started
from .test_ends import go_on, known_passes

LOCAL = {"kind": "local", "n_workers": 2}


def some_workers(process):
    return [pid for pid in descendants(process.pid) if is_worker(pid)]


@pytest.mark.chaos
def test_workers_are_killed_at_twenty_points(clouds, undisturbed, chance):
    deaths = 0
    while deaths < 20:
        process = started(clouds, "run", config(clouds, cluster=LOCAL, if_exists="overwrite"))
        read_until(process, "start workers")
        for _ in range(3):
            time.sleep(chance.uniform(0.0, 1.5))
            workers = some_workers(process)
            if process.poll() is not None or not workers:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                deaths += 1
        code, _, err = ended(process)
        assert code == 0, err
        assert "Traceback" not in err
        assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_all_workers_are_killed_at_once(clouds, undisturbed):
    process = halted(clouds, "during:3", cluster=LOCAL)
    workers = some_workers(process)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    let_go(clouds)
    code, _, err = ended(process)
    assert code == 0, err
    assert len(workers) == 2
    assert results(clouds.run_dir) == undisturbed


@pytest.fixture
def stopping():
    """A function that stops processes, which go on when the test ends."""
    stopped = []

    def stop(pids):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    yield stop
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.chaos
def test_a_worker_that_hangs(clouds, undisturbed, stopping):
    process = halted(clouds, "before:3", cluster=LOCAL)
    stopping(some_workers(process)[:1])
    let_go(clouds)
    code, _, err = ended(process, timeout=600)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_all_workers_hang(clouds, undisturbed, stopping):
    """Sooner than in earnest (`ttl`) they are given up, and others are started in their place."""
    process = halted(clouds, "ttl:5,before:4", cluster=LOCAL)
    workers = some_workers(process)
    stopping(workers)
    let_go(clouds)
    code, _, err = ended(process, timeout=600)
    assert code == 0, err
    assert len(workers) == err.count("attempting restart") == 2
    assert not alive(workers)
    assert "Traceback" not in err
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_the_scheduler_of_local_workers_is_killed(clouds, undisturbed):
    """It lives in the process of the command, which is killed with it; no worker stays behind."""
    process = halted(clouds, "during:4", cluster=LOCAL)
    workers = some_workers(process)
    assert len(workers) == 2
    process.kill()
    ended(process)
    end = time.monotonic() + 60
    while alive(workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(workers)
    assert known_passes(go_on(clouds, undisturbed, cluster=LOCAL)) == 3
