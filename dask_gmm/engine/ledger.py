"""What passes ask of whoever keeps their results over the end of the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Call(Protocol):
    """What a ledger knows of one call of :class:`Passes`, and is told of it."""

    @property
    def result(self) -> tuple[Any] | None:
        """The result in a tuple, where the call was finished earlier."""

    @property
    def parts(self) -> Mapping[int, Any]:
        """The parts that were finished earlier."""

    def part(self, index: int, value: Any) -> Any:
        """Take note of a part, and return what to go on with in its place."""

    def finish(self, value: Any) -> Any:
        """Take note of the result, and return what to go on with in its place."""

    def abandon(self) -> None:
        """Bring what was noted to safety: the call does not come to its end."""


class Ledger(Protocol):
    """Remembers what calls came to. A program that does the same calls again gets them again."""

    def call(self, name: str, n_parts: int, *, writes: bool = False) -> Call:
        """Begin the next call; ``writes`` tells that its parts leave something on a disk."""


class NoLedger:
    """Remembers nothing: a ledger, and its calls."""

    result: tuple[Any] | None = None
    parts: Mapping[int, Any] = {}

    def call(self, name: str, n_parts: int, *, writes: bool = False) -> Call:
        """Begin the next call."""
        return self

    def part(self, index: int, value: Any) -> Any:
        """Return the value."""
        return value

    def finish(self, value: Any) -> Any:
        """Return the value."""
        return value

    def abandon(self) -> None:
        """Do nothing."""
