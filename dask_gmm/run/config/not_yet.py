"""What the contract names and this version does not do yet: refused, never ignored.

Whoever builds a feature deletes its line here and widens its type in `sections`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dask_gmm.run.config.document import KeyPath


@dataclass(frozen=True)
class NotYet:
    """One refusal: the key, what this version takes there, and whether it refuses a value."""

    key: str
    instead: str
    refuses: Callable[[Any], bool]

    @property
    def path(self) -> KeyPath:
        """Return the key as a path."""
        return tuple(self.key.split("."))


def _given(value: Any) -> bool:
    return value is not None


NOT_YET: tuple[NotYet, ...] = ()


def not_yet_refusals(value: Any) -> Iterator[NotYet]:
    """Yield the lines of `NOT_YET` that refuse something in a configuration's plain values."""
    for line in NOT_YET:
        inner = value
        for step in line.path:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if line.refuses(inner):
            yield line
