"""Log lines on stderr: for a terminal, plain, or as JSON; Dask's and Python's warnings among them.

How they look is one mapping for :func:`logging.config.dictConfig`, so that worker processes can be
given it too.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from rich.console import Console

_settings: dict[str, Any] | None = None


class PlainLines(logging.Formatter):
    """One line per record, whatever the message holds."""

    default_msec_format = None

    def __init__(self, run_id: str | None = None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """Return time, the run's id, level and message."""
        run = f"[{self.run_id}] " if self.run_id else ""
        return f"{self.formatTime(record)} {run}{record.levelname} {_one_line(record)}"


class JsonLines(PlainLines):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run_id": self.run_id,
            "logger": record.name,
            "message": _one_line(record),
        }
        return json.dumps(line)


class TerminalLines(PlainLines):
    """The message alone: the handler writes time, run and level beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message."""
        return _one_line(record)


@cache
def terminal() -> Console:
    """Return what writes to stderr: one for all, so that lines and bars do not meet."""
    from rich.console import Console

    return Console(stderr=True)


def printable(text: str, instead: str = "?") -> str:
    """Return text without the characters that command a terminal, and that no font has."""
    return "".join(c if c.isprintable() else instead for c in text)


def _one_line(record: logging.LogRecord) -> str:
    """Return a message as one printable line; of an exception its type and text."""
    message = record.getMessage()
    if record.name == "py.warnings":
        # "file:line: Category: text", then the source line.
        message = message.split("\n", 1)[0].split(": ", 1)[-1]
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        message += f" ({type(error).__name__}: {error})"
    return printable(" ".join(message.split()), " ")


class TerminalHandler(logging.Handler):
    """Writes coloured lines to a terminal, which wraps them itself: paths stay whole."""

    STYLES: ClassVar = {"WARNING": "yellow", "ERROR": "bold red"}

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        from rich.text import Text

        style = self.STYLES.get(record.levelname, "")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        run_id = getattr(self.formatter, "run_id", None)
        time = f"{datetime.fromtimestamp(record.created):%H:%M:%S} "
        time += f"{run_id} " if run_id else ""
        line = Text.assemble((time, "dim"), (level + self.format(record), style))
        terminal().print(line, soft_wrap=True)


FORMATTERS: dict[str, type[PlainLines]] = {
    "rich": TerminalLines,
    "plain": PlainLines,
    "json": JsonLines,
}


def start_logging(form: str, run_id: str | None = None, *, quiet: bool = False) -> None:
    """Send this package's log lines, and Python's warnings, to stderr.

    Parameters
    ----------
    form : {'rich', 'plain', 'json'}
        Where stderr is no terminal, ``rich`` is ``plain``.
    run_id : str, optional
        Stands in every line.
    quiet : bool
        Whether warnings and errors alone are sent.
    """
    global _settings
    if form == "rich" and not sys.stderr.isatty():
        form = "plain"
    formatter = {"()": f"{__name__}.{FORMATTERS[form].__name__}", "run_id": run_id}
    stream = {"class": "logging.StreamHandler", "formatter": "line"}
    terminal = {"class": f"{__name__}.{TerminalHandler.__name__}", "formatter": "line"}
    logger = {"handlers": ["stderr"], "propagate": False}
    _settings = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": terminal if form == "rich" else stream},
        "loggers": {
            "dask_gmm": {**logger, "level": "WARNING" if quiet else "INFO"},
            "py.warnings": {**logger, "level": "WARNING"},
        },
    }
    logging.captureWarnings(True)
    logging.config.dictConfig(_settings)


def name_run(run_id: str) -> None:
    """Put the run's id into every log line from here on."""
    if _settings is not None:
        _settings["formatters"]["line"]["run_id"] = run_id
        logging.config.dictConfig(_settings)


def settings() -> dict[str, Any] | None:
    """Return what ``dictConfig`` was given; None where nobody started logs."""
    return _settings


def on_terminal() -> bool:
    """Tell whether log lines go to a terminal, where bars may stand below them."""
    return (
        _settings is not None
        and "class" in _settings["handlers"]["stderr"]
        and (_settings["handlers"]["stderr"]["class"] == f"{__name__}.{TerminalHandler.__name__}")
    )


def are_json() -> bool:
    """Tell whether log lines are JSON."""
    form = None if _settings is None else _settings["formatters"]["line"]["()"]
    return form == f"{__name__}.{JsonLines.__name__}"
