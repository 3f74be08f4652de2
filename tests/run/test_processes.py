"""Real processes, really killed: what is left, what is said, and that the bits stay the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from .test_directory import results

pytestmark = pytest.mark.slow


def descendants(pid):
    """Return the processes that a process has started, and theirs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, rest = int(status.parent.name), status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if rest[0] != "Z" and int(rest[1]) == pid:
            found += [number, *descendants(number)]
    return found


def is_worker(pid):
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def alive(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and not is_zombie(pid)]


def is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def slow_picture(project):
    """A project whose EM takes some seconds on two workers, and does not converge."""
    values = np.random.default_rng(3).random((500, 600, 3), dtype=np.float32)
    project.array(values, (50, 600, 3))
    return project


def slow_config(project, **sections):
    model = {"n_components": 5, "n_init": 1, "tol": 1e-300, "max_iter": 30}
    cluster = {"kind": "local", "n_workers": 2}
    return project.config(**{"model": model, "cluster": cluster, **sections})


@pytest.fixture
def undisturbed(slow_picture, dask_gmm):
    """The bits of the same run on one thread of this process."""
    config = slow_config(slow_picture, run_dir="runs/undisturbed", cluster={"kind": "threads"})
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    return results(slow_picture.path / "runs/undisturbed")


def read_until(process, words):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} never came: {''.join(lines)}")


SIGNALS = {
    "interrupt at a terminal": (signal.SIGINT, True, "pass 4", 130),
    "terminated by a batch system": (signal.SIGTERM, True, "start workers", 143),
    "terminated while writing": (signal.SIGTERM, False, "EM over all rows", 143),
}


@pytest.mark.parametrize("case", SIGNALS.values(), ids=SIGNALS.keys())
def test_a_signal_ends_everything_in_good_order(slow_picture, undisturbed, case):
    number, to_all, moment, expected = case
    process = slow_picture.started("run", slow_config(slow_picture), start_new_session=True)
    read_until(process, moment)
    children = descendants(process.pid)
    assert sum(map(is_worker, children)) == 2
    began = time.monotonic()
    (os.killpg if to_all else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == expected, err
    assert time.monotonic() - began < 10
    assert not out
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert err.splitlines()[-1] == f"{word}; start the same command again"
    assert "Traceback" not in err
    assert "Warning" not in err
    time.sleep(0.2)
    assert not alive(children)
    assert not (slow_picture.run_dir / "manifest.json").exists()
    if to_all:  # the same command goes on, here on threads because they start faster
        threads = slow_config(slow_picture, cluster={"kind": "threads", "n_workers": 2})
        assert slow_picture.command("run", threads)[0] == 0
        assert results(slow_picture.run_dir) == undisturbed


def test_a_signal_ends_threads_in_the_middle_of_a_leaf(project):
    values = np.random.default_rng(3).random((1000, 1000, 4), dtype=np.float32)
    project.array(values, (1000, 1000, 4))  # one chunk, one leaf: some seconds long
    config = project.config(model={"n_components": 60}, fit={"sample_rows": 2000})
    process = project.started("run", config)
    read_until(process, "starts on the sample")
    time.sleep(0.3)
    began = time.monotonic()
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert time.monotonic() - began < 10
    assert "Traceback" not in err


@pytest.mark.parametrize("moment", ["pass 3", "EM over all rows"])
def test_killed_workers_cost_no_bit(slow_picture, undisturbed, moment):
    process = slow_picture.started("run", slow_config(slow_picture))
    read_until(process, moment)
    for pid in filter(is_worker, descendants(process.pid)):
        os.kill(pid, signal.SIGKILL)
        if moment == "pass 3":
            break  # one of them; while writing, both
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert results(slow_picture.run_dir) == undisturbed
    assert "WARNING a worker process has ended and is started again" in err
    assert "Traceback" not in err
    assert "UserWarning" not in err


def test_the_end_of_the_client_ends_its_workers(slow_picture):
    process = slow_picture.started("run", slow_config(slow_picture))
    read_until(process, "pass 2")
    children = descendants(process.pid)
    process.kill()
    process.communicate(timeout=30)
    end = time.monotonic() + 10
    while alive(children) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(children)
