"""What every worker process of ours does first: Dask is told to load this module there."""

from __future__ import annotations

import logging
import logging.config
import os
import signal
import threading
from typing import Any

import dask

from dask_gmm.engine.dask_log import CONFIG_KEY, quiet_down

#: Seconds that a worker waits to be closed after SIGTERM.
PATIENCE = 8.0


def dask_setup(worker: object) -> None:
    """Send log lines where the client's go, and leave signals to the client."""
    settings = dask.config.get(CONFIG_KEY, None)
    if settings is None:
        quiet_down()
    else:
        logging.captureWarnings(True)
        logging.config.dictConfig(settings)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _wait_to_be_closed)


def _wait_to_be_closed(number: int, frame: Any) -> None:
    """Go on for a while: a batch system tells every process to end, and the client closes us."""
    end = threading.Timer(PATIENCE, os._exit, args=(128 + number,))
    end.daemon = True
    end.start()
