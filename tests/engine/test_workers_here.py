"""How many workers this machine gets, and which addresses are safe."""

from __future__ import annotations

import os

import pytest

from dask_gmm.addresses import is_encrypted, is_exposed, without_password
from dask_gmm.engine.cluster import fitting_workers


def test_a_worker_per_core_as_far_as_memory_allows():
    cores = len(os.sched_getaffinity(0))
    assert 1 <= fitting_workers(1, None) <= cores
    assert fitting_workers(1, 1) == fitting_workers(1, None)
    assert fitting_workers(1, 2**60) == 1  # less than its limit is no reason to have none
    assert fitting_workers(10 * cores, None) == 1
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert fitting_workers(1, total // 2 + 1) == 1


@pytest.mark.parametrize(
    ("address", "exposed", "encrypted"),
    [
        ("tcp://10.0.0.1:8786", True, False),
        ("10.0.0.1:8786", True, False),
        ("tcp://head:8786", True, False),
        ("ws://head:8786", True, False),
        ("ucx://10.0.0.1:8786", True, False),
        ("tcp://0.0.0.0:8786", True, False),
        ("tcp://", True, False),
        ("tcp://127.0.0.1.example.org:8786", True, False),
        ("tcp://localhost.example.org:8786", True, False),
        ("tcp://[fe80::1]:8786", True, False),
        ("tcp://[::1", True, False),
        ("tcp://127.0.0.1:8786", False, False),
        ("tcp://[::1]:8786", False, False),
        ("localhost:8786", False, False),
        ("tls://head:8786", False, True),
        ("wss://head:443", False, True),
        ("inproc://10.0.0.1/1/1", False, False),
    ],
)
def test_which_schedulers_are_open_to_a_network(address, exposed, encrypted):
    assert is_exposed(address) is exposed
    assert is_encrypted(address) is encrypted


def test_addresses_are_shown_without_their_login():
    assert without_password("https://me:secret@host:1/a@b") == "https://host:1/a@b"
    assert without_password("tcp://127.0.0.1:1") == "tcp://127.0.0.1:1"
    assert without_password("host:1") == "host:1"
