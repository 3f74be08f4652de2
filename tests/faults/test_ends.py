"""The process is ended, wherever; the same command goes on, and nothing is lost: the same bits."""

from __future__ import annotations

import math
import re
import signal
import time

import pytest

from dask_gmm.data.sources.array import ArraySource
from dask_gmm.engine import leaves
from dask_gmm.run.unfinished import progress
from tests.run.test_directory import results

from .conftest import N_LEAVES, N_PASSES, config, ended, halted, let_go, started

#: A signal may strike inside a library that has just opened a file: Python closes it, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def go_on(project, undisturbed, command=None, **sections):
    """Start the same command again; return its log once the bits are shown to be the same.

    In a process of its own, or by ``command`` in this one, which has imported everything.
    """
    again = ("run", config(project, **sections))
    code, _, err = command(*again) if command else ended(started(project, *again))
    assert code == 0, err
    assert "Traceback" not in err
    assert results(project.run_dir) == undisturbed
    assert not (project.run_dir / ".partial").exists()
    kept = sorted(each.name for each in (project.run_dir / "checkpoint").iterdir())
    assert kept == ["identity.json", "journal.jsonl"]  # no half of a file that was being written
    return err


def known_passes(err):
    return err.count("done earlier")


def test_the_client_is_killed_between_passes(clouds, undisturbed, dask_gmm):
    """Twice; and what it kept last is torn the first time, which costs that pass and no other."""
    process = halted(clouds, "before:5")
    process.kill()
    ended(process)
    *_, last = sorted((clouds.run_dir / ".partial/checkpoint").glob("*-e-step*.safetensors"))
    last.write_bytes(last.read_bytes()[:-100])
    process = halted(clouds, "before:6")
    process.kill()
    err = "".join(process.before) + ended(process)[2]
    assert known_passes(err) == 3
    assert f"WARNING {last}: " in err
    assert "what it held is computed again" in err
    assert known_passes(go_on(clouds, undisturbed, dask_gmm)) == 5


def test_the_client_is_killed_while_outputs_are_written(clouds, undisturbed, dask_gmm):
    outputs = 4
    code, _, err = ended(started(clouds, "run", config(clouds), fault=f"cell:{outputs * 11 + 2}"))
    assert code == -signal.SIGKILL, err
    assert not (clouds.run_dir / "manifest.json").exists()
    err = go_on(clouds, undisturbed, dask_gmm)
    kept, of = re.search(r"segment: (\d+) of (\d+) parts are there already", err).groups()
    # Eleven leaves are written; those that the client has flushed and noted are kept, and a busy
    # disk flushes slowly.
    assert 0 < int(kept) <= 11
    assert int(of) == N_LEAVES
    assert known_passes(err) == N_PASSES


def test_terminated_in_the_middle_of_a_pass_keeps_its_finished_parts(clouds, undisturbed, dask_gmm):
    process = halted(clouds, f"read:{4 * N_LEAVES}")  # the last leaf of the third pass, in a thread
    began = time.monotonic()
    process.terminate()
    code, out, err = ended(process)
    assert code == 143, err
    assert time.monotonic() - began < 10
    assert not out
    code, out, _ = dask_gmm("info", clouds.run_dir)
    assert code == 0
    # Twenty leaves are two sums, of sixteen and of four: one of them was finished.
    found = r": interrupted \(run [0-9a-f]{16}\), after pass 2 of EM, and 1 part of the next\n"
    assert re.search(found, out), out
    assert f"to go on: dask-gmm run {clouds.path}/run.yaml" in out
    err = go_on(clouds, undisturbed, dask_gmm)
    assert known_passes(err) == 2
    assert "e-steps: 1 of 2 parts are there already" in err


def slow_down(monkeypatch, seconds):
    """Let every reading of a chunk take longer, so that a run does not end before its limit."""
    read = ArraySource.read
    monkeypatch.setattr(
        ArraySource, "read", lambda *arguments: time.sleep(seconds) or read(*arguments)
    )


def test_a_time_limit_shorter_than_the_run_comes_to_the_end(
    clouds, undisturbed, dask_gmm, monkeypatch
):
    """The first time in a process of its own, which has hardly been imported by then."""
    slow_down(monkeypatch, 0.01)
    said = "--max-runtime is over; start the same command again"
    code, _, err = ended(started(clouds, "run", config(clouds), "--max-runtime", "1s"))
    assert code == 75, err
    assert err.splitlines()[-1] == said
    ends = []
    while ends[-1:] != [0] and len(ends) < 60:
        # A busy machine takes longer to come to where it can keep anything: a little more then.
        limit = f"{1 + len(ends) // 4}s"
        code, _, err = dask_gmm("run", config(clouds), "--max-runtime", limit)
        assert code in (0, 75), err
        assert code == 0 or err.splitlines()[-1] == said
        ends.append(code)
    assert ends[0] == 75
    assert ends[-1] == 0, ends
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_a_time_limit_shorter_than_a_pass_comes_to_the_end(clouds, dask_gmm, monkeypatch):
    """Finished parts of a pass are kept, so that even the first of them is come through."""
    monkeypatch.setattr(leaves, "SMALLEST", 20_000)
    clouds.array(clouds.values, (20, 80, 3))  # in a hundred leaves
    steps = {"n_components": 4, "n_init": 1, "tol": 1e-300, "max_iter": 2}
    assert dask_gmm("run", config(clouds, model=steps, run_dir="runs/undisturbed"))[0] == 0
    slow_down(monkeypatch, 0.04)
    attempts, longest = 0, 0.0
    while True:
        began = time.monotonic()
        code, _, err = dask_gmm("run", config(clouds, model=steps), "--max-runtime", "3s")
        longest = max(longest, time.monotonic() - began)
        attempts += 1
        if code == 0:
            break
        assert code == 75, err
        assert attempts < 100
    assert attempts > 4  # as a pass takes four seconds: the survey, two of EM, the segmentation
    assert longest < 3 + 10
    assert results(clouds.run_dir) == results(clouds.path / "runs/undisturbed")


def kept(project):
    """Return how far the checkpoint goes: finished calls, and parts of the one at work.

    Where all is written, and has only to be moved, records are dropped: they are not needed.
    """
    if (project.run_dir / ".partial/manifest.json").exists():
        return math.inf, 0
    finished, at_work = progress(project.run_dir / ".partial/checkpoint")
    return sum(finished.values()), at_work[1] if at_work else 0


@pytest.mark.chaos
@pytest.mark.parametrize("place", ["fsync", "rename", "part"])
def test_the_client_is_killed_inside_what_it_keeps(clouds, undisturbed, chance, place):
    """Wherever and however often: nothing that was kept is lost, and it comes to its end.

    It may live a little longer each time: between two points that are kept lie up to ten writings.
    """
    deaths, before = 0, (0, 0)
    while True:
        n = chance.randint(1, 8 + 6 * deaths)
        code, _, err = ended(started(clouds, "run", config(clouds), fault=f"{place}:{n}"))
        if code == 0:
            break
        assert code == -signal.SIGKILL, err
        assert "Traceback" not in err
        if (clouds.run_dir / "manifest.json").exists():
            assert results(clouds.run_dir) == undisturbed
        after = kept(clouds)
        assert after >= before or not (clouds.run_dir / ".partial/checkpoint").exists()
        deaths, before = deaths + 1, after
        assert deaths < 40
    assert deaths > 0
    assert results(clouds.run_dir) == undisturbed


@pytest.mark.chaos
def test_a_clock_that_goes_back(clouds, undisturbed):
    process = started(clouds, "run", config(clouds), fault="clock")
    code, _, err = ended(process)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed
    assert all(each["seconds"] >= 0 for each in clouds.manifest()["timings"])


@pytest.mark.chaos
def test_a_second_run_in_the_same_directory(clouds, undisturbed):
    first = halted(clouds, "before:2")
    first.send_signal(signal.SIGSTOP)
    code, _, err = ended(started(clouds, "run", config(clouds)))
    first.send_signal(signal.SIGCONT)
    let_go(clouds)
    assert code == 75
    assert "another run is at work in this directory" in err
    assert ended(first)[0] == 0
    assert results(clouds.run_dir) == undisturbed
