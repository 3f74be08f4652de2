"""Log lines on stderr: for a terminal, plain, or as JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(line)


def start_logging(form: str) -> None:
    """Send this package's log lines to stderr.

    Parameters
    ----------
    form : {'rich', 'plain', 'json'}
    """
    handler: logging.Handler
    if form == "rich":
        from rich.console import Console
        from rich.logging import RichHandler

        console = Console(stderr=True)
        handler = RichHandler(
            console=console, show_path=False, highlighter=None, log_time_format="%X"
        )
    else:
        handler = logging.StreamHandler()
        plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
        handler.setFormatter(_JsonLines() if form == "json" else plain)
    log = logging.getLogger("dask_gmm")
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
