"""The ways a run can fail, each with the exit code that the command line ends with."""

from __future__ import annotations

from typing import ClassVar


class DaskGmmError(Exception):
    """Base of every error that this package raises on purpose; its text is meant for the user."""

    exit_code: ClassVar[int] = 1


class RunFailedError(DaskGmmError):
    """The run could not go on for another reason: disk full, unwritable output, poison leaf."""

    exit_code = 1


class ConfigurationError(DaskGmmError, ValueError):
    """The configuration is invalid, would not fit the memory, or contradicts an existing run."""

    exit_code = 2


class InputDataError(DaskGmmError, ValueError):
    """The input data are missing, unreadable, corrupt or not what the configuration says."""

    exit_code = 3


class NotConvergedError(DaskGmmError):
    """EM reached its limit of iterations and convergence was required."""

    exit_code = 4


class TemporaryFailureError(DaskGmmError):
    """Starting the same command again may succeed: the lock was held, the scheduler was lost."""

    exit_code = 75
