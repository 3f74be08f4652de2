"""Passes on threads of this process: watched, and told apart from their end."""

from __future__ import annotations

import threading
import time

import pytest

from dask_gmm.engine.cluster import thread_workers
from dask_gmm.engine.passes import Passes
from dask_gmm.engine.patience import Patience
from dask_gmm.errors import InputDataError, TemporaryFailureError

from .test_futures import Notes, Number


def numbers(blocks):
    (number,) = blocks
    return number


def passes(n, scheduler, **options):
    return Passes([Number(i) for i in range(n)], scheduler, **options)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_that_stand_still_are_given_up_and_what_is_finished_is_kept(n_threads):
    freed, called = threading.Event(), iter(range(30))

    def hanging(blocks):
        if next(called) >= 7:
            freed.wait()
        return numbers(blocks)

    notes = Notes()
    began = time.monotonic()
    try:
        with thread_workers(n_threads) as workers:
            hasty = passes(30, workers.scheduler, ledger=notes, patience=Patience(silence=6.0))
            with pytest.raises(TemporaryFailureError) as raised:
                hasty.write("hanging", hanging)
    finally:
        freed.set()
    assert time.monotonic() - began < 120
    assert "no part of the data was finished for 6 s" in str(raised.value)
    assert "start the same command again: it goes on after the last finished part" in str(
        raised.value
    )
    assert len(notes.noted) == 7


def test_slow_leaves_are_no_silence():
    def slow(blocks):
        time.sleep(0.8)
        return numbers(blocks)

    with thread_workers(1) as workers:
        patient = passes(8, workers.scheduler, patience=Patience(silence=5.0))
        assert patient.run("slow", slow) == sum(range(8))


def test_an_error_comes_out_of_the_threads_as_it_is():
    def refusing(blocks):
        if numbers(blocks) == 5:
            raise InputDataError("leaf 5 is unlucky")
        return 0

    with thread_workers(2) as workers, pytest.raises(InputDataError, match="leaf 5 is unlucky"):
        passes(8, workers.scheduler).run("refusing", refusing)


def test_what_cannot_be_kept_ends_the_pass():
    class Full(Notes):
        def part(self, index, value):
            raise OSError(28, "No space left on device")

    before = set(threading.enumerate())
    with thread_workers(1) as workers:
        with pytest.raises(OSError, match="No space left"):
            passes(4000, workers.scheduler, ledger=Full()).run("numbers", numbers)
        end = time.monotonic() + 10
        while any(each.name == "pass" for each in set(threading.enumerate()) - before):
            assert time.monotonic() < end, "somebody goes on with what was given up"
            time.sleep(0.01)
