"""Every way a command can end, as the contract's exit code and a message."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from dask_gmm.errors import DaskGmmError, TemporaryFailureError

log = logging.getLogger("dask_gmm")

_WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGALRM: "--max-runtime is over",
}


class _Signalled(BaseException):
    """A signal has arrived that asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


class _ReaderGone(Exception):  # noqa: N818  it is no error
    """Nobody reads stdout any more."""


def exit_code(command: Callable[[], Any]) -> int:
    """Carry out ``command``; say what went wrong, if anything, and return the exit code.

    Parameters
    ----------
    command : callable
        Takes nothing.

    Returns
    -------
    int
        That of the command line, whatever the end.
    """
    code = _carried_out(command)
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left in its buffer would be tried again, and complained about, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0 and not isinstance(error, BrokenPipeError):
            return _failed(_understood(error))
    return code


def _carried_out(command: Callable[[], Any]) -> int:
    arrived: list[signal.Signals] = []
    try:
        with _signals_raise(arrived):
            command()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as error:  # click's, where it has said all there is to say
        return error.code if isinstance(error.code, int) else 1
    except DaskGmmError as error:
        return _ended_by(arrived[0]) if arrived else _failed(error)
    except (KeyboardInterrupt, click.Abort):
        return _ended_by(signal.SIGINT)
    except _Signalled as signalled:
        return _ended_by(signalled.number)
    except _ReaderGone:
        return 0
    except Exception as error:
        # A module that was being imported may make an error of its own of a signal.
        return _ended_by(arrived[0]) if arrived else _failed(_understood(error))
    return 0


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Print to stdout while inside; that its reader has gone (``| head``) is no failure."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise _ReaderGone from error


def end_after(seconds: float) -> None:
    """Let this command end in good order after so many seconds, to be started again."""
    signal.setitimer(signal.ITIMER_REAL, min(seconds, 1e8))


def _ended_by(number: signal.Signals) -> int:
    _say(f"{_WORDS[number]}; start the same command again")
    return TemporaryFailureError.exit_code if number == signal.SIGALRM else 128 + number


def _failed(error: DaskGmmError) -> int:
    for line in str(error).split("\n"):
        _say(f"error: {line}")
    return error.exit_code


def _understood(error: Exception) -> DaskGmmError:
    """Return what ``error`` means to a user; if nobody knows, where its details are."""
    from dask_gmm.run.failures import explained, unforeseen

    return explained(error) or unforeseen(error)


def _say(message: str) -> None:
    """Tell the user: as a log line where logs are JSON, else as it is."""
    from dask_gmm.run.logs import are_json, printable

    if are_json():
        log.error("%s", message.removeprefix("error: "))
        return
    # A terminal is not to be told what to do by the name of a file.
    with contextlib.suppress(OSError):
        click.echo(printable(message), err=True)


@contextlib.contextmanager
def _signals_raise(first: list[signal.Signals]) -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or alarm unwind everything, closing workers and files.

    Parameters
    ----------
    first : list of Signals
        Empty; the first signal is put there.
    """

    def unwind(number: int, frame: Any) -> None:
        # A batch system may repeat itself; a second Ctrl-C means that closing takes too long.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if number != signal.SIGALRM or not first:
            first.append(signal.Signals(number))
        # Python drops what is raised while it frees objects, as imports do: then once more.
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        if not _is_unwinding():
            raise _Signalled(first[0])

    before: dict[int, Any] = {}
    report = sys.unraisablehook
    try:
        for each in _WORDS:
            before[each] = signal.signal(each, unwind)
    except ValueError:  # not the main thread: whoever started us deals with signals
        pass
    sys.unraisablehook = lambda lost: (
        None if isinstance(lost.exc_value, _Signalled) else report(lost)
    )
    try:
        yield
    finally:
        if before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = report


def _is_unwinding() -> bool:
    """Tell whether a signal's exception is on its way, or what it has met there."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, _Signalled):
        error = error.__context__
    return error is not None
