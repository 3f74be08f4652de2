"""What a run tells of itself while it goes on: to callbacks, terminals, logs and notebooks."""

from __future__ import annotations

import logging
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.passes import Passes
from dask_gmm.run import showing
from dask_gmm.run.config import load_config
from dask_gmm.run.job import run_configured
from dask_gmm.run.progress import Progress, Tracker, passes_to_come

from .conftest import blobs
from .test_command import on_a_terminal

HALF = Progress(
    *("EM over all rows", "e-step", 5, 10, 4_000_000, 8_000_000, 96_000_000, 192_000_000, 2.0),
    *(3, 6, -10.5, 0.0021, 150.0),
)


class Number:
    """A leaf that reads one number."""

    def __init__(self, value):
        self.value = value

    def __call__(self):
        yield self.value


class Heard:
    """A watcher that remembers."""

    def __init__(self):
        self.names, self.leaves, self.ended = [], [], 0

    def begins(self, name, n_leaves):
        self.names.append((name, n_leaves))
        self.leaves.append(set())

    def advances(self, leaves):
        self.leaves[-1].update(leaves)

    def ends(self):
        self.ended += 1


def summed(blocks):
    return sum(blocks)


def failing(blocks):
    raise ValueError("no")


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_every_leaf_of_every_reading_is_heard_of(scheduler):
    heard = Heard()
    passes = Passes([Number(i) for i in range(40)], scheduler, watcher=heard)
    assert passes.run("first", summed) == 780
    assert passes.write("second", summed) == 780
    with pytest.raises(ValueError, match="no"):
        passes.run("third", failing)
    assert passes.map("beside", abs, [-1, -2]) == [1, 2]  # reads nothing, and is not told
    assert heard.names == [("first", 40), ("second", 40), ("third", 40)]
    assert heard.leaves[:2] == [set(range(40))] * 2
    assert heard.ended == 3


def test_leaves_on_worker_processes_are_heard_of_one_by_one(monkeypatch):
    heard = Heard()
    leaf_by_leaf = []
    monkeypatch.setattr(heard, "advances", lambda leaves: leaf_by_leaf.extend(leaves))
    with local_workers(1, 1, None) as workers:
        passes = Passes([Number(i) for i in range(12)], workers.scheduler, watcher=heard)
        for name in ("first", "second"):
            leaf_by_leaf.clear()
            assert passes.run(name, slow) == 66
            # Twelve leaves have one sum: without events all would be told at its end.
            assert set(leaf_by_leaf) == set(range(12))
            assert len(leaf_by_leaf) > 12


def slow(blocks):
    import time

    time.sleep(0.05)
    return sum(blocks)


def test_a_callback_is_told_of_a_whole_run(project):
    project.array(blobs((400, 60)), (20, 60, 3))
    told = []
    outcome = run_configured(load_config(project.config()), progress=told.append)
    steps = list(dict.fromkeys(each.step for each in told))
    assert steps[:4] == ["look at the input", "plan", "start workers", "survey"]
    assert steps[-1] == "write model and report"
    readings = [each for each in told if each.finished]
    assert readings[0].reading == "survey"
    assert readings[-1].reading == "segment"
    for each in readings:
        assert (each.rows, each.n_rows) == (24_000, 24_000)
        assert each.share == 1.0
        assert each.bytes == each.n_bytes == 72_000
        assert each.leaves == each.n_leaves == 1
    em = [each for each in readings if each.number]
    assert [each.number for each in em] == list(range(1, len(em) + 1))
    assert len(em) == outcome.manifest["fit"]["passes"]["em"]
    assert all(each.expected >= each.number for each in em)


def test_what_a_callback_raises_ends_the_run_and_the_run_goes_on_later(picture):
    class EnoughError(Exception):
        pass

    def enough(progress):
        if progress.reading == "segment":
            raise EnoughError

    config = load_config(picture.config())
    with pytest.raises(EnoughError):
        run_configured(config, progress=enough)
    told = []
    run_configured(config, progress=told.append)
    assert "survey" not in {each.reading for each in told}  # it was kept, and is not read again
    assert picture.manifest()["status"] == "done"


def test_no_one_is_called_more_often_than_ten_times_a_second():
    told = []
    tracker = Tracker(told.append)
    tracker.knows(np.full(10_000, 7), 3)
    tracker.begins("e-step", 10_000)
    for i in range(10_000):
        tracker.advances([i])
    tracker.ends()
    assert len(told) < 10
    assert told[-1].rows == 70_000
    assert told[-1].finished


@pytest.mark.parametrize(
    ("gains", "negligible", "expected"),
    [
        ([1.0, 0.1], 2e-3, 2),  # 0.01, 0.001
        ([1.0, 0.5], 0.1, 3),  # 0.25, 0.125, 0.0625
        ([0.1], 2e-3, 2),
        ([1.0, -0.1], 1e-3, 1),
        ([1.0, 2.0], 1e-9, 418),  # it does not converge: as slowly as is thought possible
    ],
)
def test_readings_to_come_follow_from_the_gains(gains, negligible, expected):
    assert passes_to_come(gains, negligible) == expected


# --- how it is shown -----------------------------------------------------------------------------


def test_a_line_says_what_fits_and_does_not_move():
    wide = showing.line(HALF, 140)
    for each in ("EM over all rows, pass 3 of about 6", "50%", "2 min left", "48 MB/s",
                 "4.0 M of 8.0 M rows", "likelihood +0.0021", "━━━━"):  # fmt: skip
        assert each in wide
    for width in range(1, 140):
        assert len(showing.line(HALF, width)) <= width
    ahead = showing.line(HALF.__class__(**{**vars(HALF), "rows": 7_900_000, "left": 3.0}), 140)
    assert ahead.index("MB/s") == wide.index("MB/s")
    assert showing.line(Progress("plan"), 80) == "plan"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (90, "2 min"), (7500, "2 h 5 min"), (400_000, "4.6 days")],
)
def test_times_are_said_as_people_say_them(seconds, said):
    assert showing.duration(seconds) == said


def test_a_terminal_shows_a_bar_and_keeps_the_log(project):
    project.array(blobs((400, 60)), (20, 60, 3))
    config = project.config(fit={"compress": "never"})
    seen = on_a_terminal(project, 100, "run", config)
    assert re.search(r"EM over all rows, pass 1 of about 5  [━─]+", seen)
    kept = re.sub(r"\r[^\n]*?\x1b\[2K", "", seen)  # what is drawn over
    assert len(re.findall(r"pass 1: mean log-likelihood", kept)) == 1
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h")  # the cursor is there again
    quiet = on_a_terminal(project, 100, "run", config, "--quiet", "--set", "if_exists=overwrite")
    assert quiet == ""


def test_a_log_has_a_line_now_and_then(caplog, monkeypatch):
    now = SimpleNamespace(value=0.0)
    monkeypatch.setattr(showing, "time", SimpleNamespace(monotonic=lambda: now.value))
    view = showing.InLog()
    with caplog.at_level(logging.INFO, "dask_gmm"):
        for second in range(100):
            now.value = float(second)
            view(HALF.__class__(**{**vars(HALF), "seconds": float(second)}))
    assert len(caplog.messages) == 3
    assert caplog.messages[0].startswith("EM over all rows, pass 3 of about 6, 50%, about 2 min")


def test_a_notebook_draws_one_output_again(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(
        HTML=lambda text: text, display=lambda text, display_id: shown.append(text) or handle
    )
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with showing.live_progress() as progress:
        assert isinstance(progress, showing.InNotebook)
        progress(HALF)
        progress(HALF)  # too soon
        progress(HALF.__class__(**{**vars(HALF), "step": "<b>", "finished": True}))
    assert len(shown) == 2
    assert 'value="0.500"' in shown[0]
    assert "&lt;b&gt;" in shown[1]
