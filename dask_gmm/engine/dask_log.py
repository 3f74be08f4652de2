"""What of Dask's own log a user is told: real trouble, and nothing of an orderly end."""

from __future__ import annotations

import logging
import logging.config
from typing import Any

#: Where a worker process finds what :func:`logging.config.dictConfig` is to be given.
CONFIG_KEY = "dask-gmm.logging"
#: The loggers to which Dask attaches handlers of its own.
LOGGERS = (
    "distributed",
    "distributed.client",
    "distributed.gc",
    "bokeh",
    "tornado",
    "tornado.application",
)
#: Warnings that say something about the run, by how they begin, and the words for it if Dask's own
#: are none for a user; all others are Dask's own affairs.
_TOLD = {
    "Worker is at ": None,
    "Worker tcp://": None,
    "Worker failed to heartbeat": None,
    "Restarting worker": "a worker process has ended and is started again; its tasks are repeated",
    "Ignoring provided memory limit": None,
}
#: Errors that accompany the end of a cluster. Where a worker has really lost its scheduler it ends
#: itself, and the client says so.
_NOT_TOLD = (
    "Failed to communicate with scheduler during heartbeat",
    "Failed to unregister",
    "Worker process died unexpectedly",
    # The client is told, and tells it in its own words.
    "Task ",
)


class RealTrouble(logging.Filter):
    """Lets through what a user can use of Dask's log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be seen; put it into other words if need be."""
        message = record.getMessage()
        if record.levelno >= logging.ERROR:
            return bool(message) and not message.startswith(_NOT_TOLD)
        for beginning, words in _TOLD.items():
            if record.levelno >= logging.WARNING and message.startswith(beginning):
                record.msg, record.args = words or message, ()
                return True
        return False


def with_dask(settings: dict[str, Any], handler: str) -> dict[str, Any]:
    """Return ``dictConfig`` settings that also send Dask's log lines to ``handler``."""
    loggers: dict[str, Any] = {name: {"handlers": [], "propagate": True} for name in LOGGERS}
    loggers |= {
        name: {"level": "WARNING", "handlers": [f"dask-{handler}"], "propagate": False}
        for name in ("distributed", "tornado", "bokeh")
    }
    filtered = {**settings["handlers"][handler], "filters": ["real-trouble"]}
    return {
        **settings,
        "filters": {"real-trouble": {"()": f"{__name__}.{RealTrouble.__name__}"}},
        "handlers": {**settings["handlers"], f"dask-{handler}": filtered},
        "loggers": {**settings["loggers"], **loggers},
    }


def quiet_down() -> None:
    """Let Dask's own handlers in this process show real trouble only."""
    for name in LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(RealTrouble())
