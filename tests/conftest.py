"""What holds for all tests: none is timed, so Hypothesis sets no deadline; and what they share."""

from __future__ import annotations

import logging
import warnings

import pytest
from hypothesis import settings

from tests.object_store import s3, s3_server  # noqa: F401  fixtures

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")

SHOWWARNING = warnings.showwarning


@pytest.fixture(autouse=True)
def logs_as_before():
    """Undo what a command that ran in this process did to logs: later tests look at them."""
    yield
    logging.captureWarnings(False)
    warnings.showwarning = SHOWWARNING
    for name in ("dask_gmm", "py.warnings"):
        log = logging.getLogger(name)
        log.handlers[:], log.propagate = [], True
        log.setLevel(logging.NOTSET)
