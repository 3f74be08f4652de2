"""What holds for all tests: none is timed, so Hypothesis sets no deadline; and what they share."""

from __future__ import annotations

import logging
import warnings

import pytest
from hypothesis import settings

from tests.object_store import s3, s3_server  # noqa: F401  fixtures

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def logs_as_before():
    """Undo what a command that runs in this process does to logs: later tests look at them."""
    logs = {name: logging.getLogger(name) for name in ("dask_gmm", "py.warnings")}
    before = {name: (log.handlers[:], log.propagate, log.level) for name, log in logs.items()}
    show = warnings.showwarning
    yield
    logging.captureWarnings(False)
    warnings.showwarning = show
    for name, (handlers, propagate, level) in before.items():
        logs[name].handlers[:], logs[name].propagate = handlers, propagate
        logs[name].setLevel(level)
