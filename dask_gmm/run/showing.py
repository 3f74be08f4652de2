"""A run's progress as people see it: a line on a terminal, in a notebook, or now and then in a log.

>>> from dask_gmm.run.config import load_config
>>> from dask_gmm.run.job import run_configured
>>> with live_progress() as progress:  # doctest: +SKIP
...     run_configured(load_config("job.yaml"), progress=progress)
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dask_gmm.run.logs import on_terminal, printable, terminal
from dask_gmm.run.progress import Callback, Progress

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

#: What programs of users may rely on.
__all__ = ["live_progress"]

log = logging.getLogger(__name__)

#: Seconds between two lines of a log, and between two looks of a notebook.
LOG_EVERY, NOTEBOOK_EVERY = 30.0, 0.25
#: Columns of a bar, at least and at most.
SHORTEST, LONGEST = 8, 40


@contextmanager
def live_progress() -> Iterator[Callback]:
    """Show the progress of runs while inside: in a notebook, on a terminal, or in the log.

    Yields
    ------
    callable
        What :func:`dask_gmm.run.job.run_configured` takes as ``progress``.
    """
    if _in_notebook():
        yield InNotebook()
    elif sys.stderr.isatty():
        with OnTerminal().shown() as view:
            yield view
    else:
        yield InLog()


@contextmanager
def command_progress(*, quiet: bool) -> Iterator[Callback | None]:
    """Show progress as a command's log lines ask for."""
    if quiet:
        yield None
    elif on_terminal():
        with OnTerminal().shown() as view:
            yield view
    else:
        yield InLog()


class OnTerminal:
    """One line below the log lines, that is drawn again in its place and leaves nothing behind."""

    def __init__(self) -> None:
        self._progress = Progress("")
        self._live: Any = None

    @contextmanager
    def shown(self) -> Iterator[OnTerminal]:
        """Show the line while inside."""
        from rich.live import Live

        # No thread draws: what is told comes often enough, and nothing is left to be ended.
        live = Live(
            self,
            console=terminal(),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live:
            self._live = live
            yield self

    def __call__(self, progress: Progress) -> None:
        """Draw the line again."""
        self._progress = progress
        if self._live is not None:
            self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the line, as wide as the terminal."""
        from rich.text import Text

        if self._progress.step:
            width = options.max_width - 1
            yield Text(line(self._progress, width), no_wrap=True, overflow="crop", end="")


class InLog:
    """A line of the log every half minute of a reading; what is quicker needs none."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Write a line, if it is time."""
        now = time.monotonic()
        if not progress.reading or progress.finished or progress.seconds < LOG_EVERY:
            return
        if now - self._said >= LOG_EVERY:
            self._said = now
            log.info("%s", ", ".join(words(progress)))


class InNotebook:
    """An output of a notebook's cell that is drawn again in its place."""

    def __init__(self) -> None:
        self._display = import_module("IPython.display")
        self._handle: Any = None
        self._drawn = 0.0

    def __call__(self, progress: Progress) -> None:
        """Draw it again, if it is time."""
        now = time.monotonic()
        if now - self._drawn < NOTEBOOK_EVERY and not progress.finished:
            return
        self._drawn = now
        shown = self._display.HTML(as_html(progress))
        if self._handle is None:
            self._handle = self._display.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def words(progress: Progress) -> list[str]:
    """Return what there is to say, the most important first."""
    p = progress
    said = [label(p)]
    if p.n_leaves:
        said.append(f"{p.share:.0%}")
    if p.left is not None:
        said.append(f"about {duration(p.left)} left")
    if p.bytes:
        said.append(f"{p.bytes_per_second / 1e6:,.0f} MB/s")
    if p.n_rows:
        said.append(f"{p.rows:,} of {p.n_rows:,} rows")
    if p.change is not None:
        said.append(f"likelihood {p.change:+.2g}")
    return said


def label(progress: Progress) -> str:
    """Return the step, and which reading of EM it is."""
    if progress.number is None:
        return printable(progress.step)
    expected = f" of about {progress.expected}" if progress.expected else ""
    return f"{printable(progress.step)}, pass {progress.number}{expected}"


def line(progress: Progress, width: int) -> str:
    """Return a line that fits a width: with a bar, and as much beside it as there is room for.

    Every part has a place as wide as it may become, so that nothing moves but what it tells.
    """
    p, first = progress, label(progress)
    if not p.n_leaves:
        return first[:width]
    left = "" if p.left is None else f"{duration(p.left)} left"
    change = "" if p.change is None else f"likelihood {p.change:+.2g}"
    of_all = short(p.n_rows)
    parts = (
        f"{p.share:4.0%}",
        f"{left:<15}",
        f"{p.bytes_per_second / 1e6:6,.0f} MB/s",
        f"{short(p.rows):>{len(of_all)}} of {of_all} rows",
        f"{change:<18}",
    )
    rest = ""
    for each in parts:
        if len(first) + len(rest) + len(each) + SHORTEST + 4 > width:
            break
        rest += f"  {each}"
    room = min(width - len(first) - len(rest) - 2, LONGEST)
    drawn = f"  {bar(p.share, room)}" if room >= SHORTEST else ""
    return f"{first}{drawn}{rest}"[:width].rstrip()


def short(n: int) -> str:
    """Write a number of rows in few characters: ``8.0 M``."""
    for unit, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if n >= unit:
            return f"{n / unit:.1f}{name}"
    return str(n)


def bar(share: float, width: int) -> str:
    """Return a bar of so many columns."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return "━" * full + "─" * (width - full)


def duration(seconds: float) -> str:
    """Write a time as people say it: ``8 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours < 48 else f"{hours / 24:,.1f} days"


def as_html(progress: Progress) -> str:
    """Return a bar and the words, for a notebook of any colours."""
    from html import escape

    first, *others = map(escape, words(progress))
    value = f' value="{progress.share:.3f}"' if progress.n_leaves else ""
    return (
        f'<div role="status">{first} <progress max="1"{value} aria-label="{first}"></progress> '
        f"{', '.join(others)}</div>"
    )
