"""The process is ended, wherever; the same command goes on, and nothing is lost: the same bits."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time

import pytest

from tests.run.test_directory import results
from tests.run.test_processes import descendants, is_worker, read_until

from .conftest import N_LEAVES, config, ended, started


def go_on(project, undisturbed, *arguments, **sections):
    """Start the same command again; return its log once the bits are shown to be the same."""
    code, _, err = ended(started(project, "run", config(project, **sections), *arguments))
    assert code == 0, err
    assert "Traceback" not in err
    assert results(project.run_dir) == undisturbed
    assert not (project.run_dir / ".partial").exists()
    return err


def known_passes(err):
    return err.count("done earlier")


def test_the_client_is_killed_between_passes(clouds, undisturbed):
    process = started(clouds, "run", config(clouds))
    read_until(process, "pass 4")
    process.kill()
    ended(process)
    err = go_on(clouds, undisturbed)
    assert 4 <= known_passes(err) <= 8


def test_the_client_is_killed_while_outputs_are_written(clouds, undisturbed):
    outputs = 4
    code, _, err = ended(started(clouds, "run", config(clouds), fault=f"cell:{outputs * 11 + 2}"))
    assert code == -signal.SIGKILL, err
    assert not (clouds.run_dir / "manifest.json").exists()
    err = go_on(clouds, undisturbed)
    kept, of = re.search(r"segment: (\d+) of (\d+) parts are there already", err).groups()
    # Eleven leaves are written, but one beside them may not have been noted yet.
    assert int(kept) in (10, 11)
    assert int(of) == N_LEAVES
    assert known_passes(err) == 8


def test_terminated_in_the_middle_of_a_pass_keeps_its_finished_parts(clouds, undisturbed, dask_gmm):
    process = started(clouds, "run", config(clouds))
    read_until(process, "pass 3")
    began = time.monotonic()
    process.terminate()
    code, out, err = ended(process)
    assert code == 143, err
    assert time.monotonic() - began < 10
    assert not out
    code, out, _ = dask_gmm("info", clouds.run_dir)
    assert code == 0
    assert re.search(r": interrupted \(run [0-9a-f]{16}\), after pass [3-8] of EM", out)
    assert f"to go on: dask-gmm run {clouds.path}/run.yaml" in out
    assert known_passes(go_on(clouds, undisturbed)) >= 3


def test_a_time_limit_shorter_than_the_run_comes_to_the_end(clouds, undisturbed):
    ends = []
    for attempt in range(40):
        # A busy machine takes longer to come to where it can keep anything: a little more then.
        limit = f"{2 + attempt}s"
        process = started(clouds, "run", config(clouds), "--max-runtime", limit)
        code, _, err = ended(process)
        ends.append(code)
        if code == 0:
            break
        assert code == 75, err
        assert err.splitlines()[-1] == "--max-runtime is over; start the same command again"
    assert ends[0] == 75
    assert ends[-1] == 0, ends
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
@pytest.mark.parametrize("place", ["fsync", "rename", "part"])
def test_the_client_is_killed_inside_what_it_keeps(clouds, undisturbed, chance, place):
    """However many times it is killed, it comes nearer to the end each time."""
    deaths = 0
    while True:
        n = chance.randint(4, 12)  # the first three stand before anything new is kept
        code, _, err = ended(started(clouds, "run", config(clouds), fault=f"{place}:{n}"))
        if code == 0:
            break
        assert code == -signal.SIGKILL, err
        deaths += 1
        assert deaths < 60
    assert deaths > 0
    assert results(clouds.run_dir) == undisturbed


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
            os.kill(chance.choice(workers), signal.SIGKILL)
            deaths += 1
        code, _, err = ended(process)
        assert code == 0, err
        assert "Traceback" not in err
        assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_all_workers_are_killed_at_once(clouds, undisturbed):
    process = started(clouds, "run", config(clouds, cluster=LOCAL))
    read_until(process, "pass 2")
    for pid in some_workers(process):
        os.kill(pid, signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_a_worker_that_hangs(clouds, undisturbed):
    process = started(clouds, "run", config(clouds, cluster=LOCAL))
    read_until(process, "pass 2")
    stopped = some_workers(process)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        code, _, err = ended(process, timeout=600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGCONT)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_a_second_run_in_the_same_directory(clouds, undisturbed):
    first = started(clouds, "run", config(clouds))
    read_until(first, "pass 1")
    os.kill(first.pid, signal.SIGSTOP)
    code, _, err = ended(started(clouds, "run", config(clouds)))
    os.kill(first.pid, signal.SIGCONT)
    assert code == 75
    assert "another run is at work in this directory" in err
    assert ended(first)[0] == 0
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_a_clock_that_goes_back(clouds, undisturbed):
    process = started(clouds, "run", config(clouds), fault="clock")
    code, _, err = ended(process)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed
    assert all(each["seconds"] >= 0 for each in clouds.manifest()["timings"])


@pytest.mark.chaos
def test_a_thread_that_hangs(clouds, undisturbed, dask_gmm):
    """Of threads none can be given up: the run ends, says how it goes on, and loses nothing."""
    process = started(clouds, "run", config(clouds), fault=f"hang:{4 * N_LEAVES + 5}")
    code, out, err = ended(process)
    assert code == 75, err
    assert not out
    last = err.splitlines()[-1]
    assert last.startswith("error: no part of the data was finished for 8 s")
    assert last.endswith("start the same command again: it goes on after the last finished part")
    assert "Traceback" not in err
    assert ": interrupted (run " in dask_gmm("info", clouds.run_dir)[1]
    assert known_passes(go_on(clouds, undisturbed)) >= 3


@pytest.mark.chaos
def test_a_run_that_is_suspended_has_not_waited(clouds, undisturbed):
    """A batch system may stop a job for longer than its patience lasts."""
    process = started(clouds, "run", config(clouds), fault="hang:0")  # patient for 8 s, no hang
    read_until(process, "pass 2")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(12)
    os.kill(process.pid, signal.SIGCONT)
    code, _, err = ended(process)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed
