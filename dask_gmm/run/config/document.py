"""Plain values that remember where in the configuration they stood."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from dask_gmm.errors import ConfigurationError

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top down to one value."""

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_WORDS |= {form: value for word, value in _WORDS.items() for form in (word.title(), word.upper())}
_WORDS |= {"": None, "~": None}
_NUMBERS = (
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)
_LONGEST_NUMBER = 100


@dataclass(frozen=True)
class Place:
    """Where something stands: line and column of a file (from 1), or a ``--set`` (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Document:
    """Plain values (dict, list, str, int, float, bool, None) and the places of all of them.

    Attributes
    ----------
    value
        The document itself.
    keys, values
        Where each key and each value stands.
    plain
        The paths of scalars written without quotes.
    """

    value: Any
    keys: Mapping[KeyPath, Place]
    values: Mapping[KeyPath, Place]
    plain: frozenset[KeyPath]

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """Return the place of a value (or of its key), else of the nearest mapping above it."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path not in self.values:
            path = path[:-1]
        return self.values[path]


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means in YAML 1.2's core schema (there ``no`` is a string).

    Anything longer than a hundred characters is a string.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _LONGEST_NUMBER:
        for pattern, number in _NUMBERS:
            if pattern.fullmatch(text):
                return number(text)
    return text


def dotted(path: KeyPath) -> str:
    """Return ``model.n_init`` for ``("model", "n_init")``, on one line whatever the keys hold."""
    return ".".join(
        step if isinstance(step, str) and re.fullmatch(r"[\w-]{1,60}", step) else repr(step)[:60]
        for step in path
    )


def fail(place: Place, found: str, remedy: str) -> NoReturn:
    """Raise a `ConfigurationError` of one line: the place, what was found, what to do."""
    raise ConfigurationError(f"{place}: {found}; {remedy}")
