"""One thread of BLAS and OpenMP per task, in whichever thread, and as before afterwards."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn.cluster  # noqa: F401  brings an OpenMP library
from threadpoolctl import threadpool_info, threadpool_limits

from dask_gmm.engine.threads import _OneThread

#: One of its own: threads that hang, left behind by the tests of giving up, still use the other.
one_blas_thread = _OneThread()


def numbers(api):
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == api}


@pytest.fixture(autouse=True)
def three_threads():
    with threadpool_limits(3):
        if numbers("blas") != {3}:
            pytest.skip("the number of BLAS threads cannot be set here")
        yield


def test_inside_there_is_one_thread_and_outside_as_before():
    with one_blas_thread():
        assert numbers("blas") == numbers("openmp") == {1}
        with one_blas_thread():
            assert numbers("blas") == {1}
        assert numbers("blas") == {1}
    assert numbers("blas") == numbers("openmp") == {3}


def test_an_error_inside_restores_too():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert numbers("blas") == {3}


def test_every_thread_is_limited_and_the_last_to_leave_restores():
    """Newer threadpoolctl lets one thread set limits, and does nothing for the others."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30_000))
    both = threading.Barrier(2)

    def dot(i):
        if i % 50 == 0:
            both.wait(timeout=10)  # two threads inside at a time, now and then
        with one_blas_thread():
            return float(x @ y), *numbers("blas"), *numbers("openmp")

    with ThreadPoolExecutor(2) as pool:
        found = set(pool.map(dot, np.repeat(np.arange(100), 2)))
    assert len(found) == 1
    assert found.pop()[1:] == (1, 1)
    assert numbers("blas") == {3}


def test_a_library_that_is_loaded_meanwhile_is_limited_too(monkeypatch):
    import sys

    with one_blas_thread():
        monkeypatch.setitem(sys.modules, "a_module_that_was_not_there", sys)
        with one_blas_thread():
            assert numbers("blas") == {1}
        assert numbers("blas") == {1}
    assert numbers("blas") == {3}
