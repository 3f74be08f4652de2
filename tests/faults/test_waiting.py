"""Something does not answer: the run waits, but not for ever, and no longer than it says."""

from __future__ import annotations

import signal
import time

import pytest

from tests.run.test_directory import results

from .conftest import N_LEAVES, config, ended, halted, let_go, started
from .test_ends import go_on, known_passes


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
    assert known_passes(go_on(clouds, undisturbed)) == 3


@pytest.mark.chaos
def test_a_run_that_is_suspended_has_not_waited(clouds, undisturbed):
    """A batch system may stop a job for longer than its patience lasts."""
    process = halted(clouds, "hang:0,read:70")  # patient for 8 s; nothing hangs for ever
    process.send_signal(signal.SIGSTOP)
    time.sleep(12)  # longer than its patience
    process.send_signal(signal.SIGCONT)
    let_go(clouds)
    code, _, err = ended(process)
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed
