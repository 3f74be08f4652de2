"""The kinds of value a configuration may hold, beyond plain numbers and words.

A check refuses with `refusal`; where it gives no words of its own, what is allowed is told by
``x-allowed`` in the value's JSON schema (a keyword that other readers of the schema ignore).
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

RUN_FILES = (
    "config.yaml",
    "model.safetensors",
    "model.json",
    "history.jsonl",
    "checkpoint",
    "report.html",
    "figures",
    "manifest.json",
)
"""What a run writes into its directory itself, and no output may replace."""

_UNITS = {"B": 1} | {
    unit: base**power
    for base, units in ((1000, "kB MB GB TB"), (1024, "KiB MiB GiB TiB"))
    for power, unit in enumerate(units.split(), start=1)
}
_BYTES = re.compile(rf"([0-9]{{1,20}}(?:\.[0-9]{{1,9}})?) ?({'|'.join(_UNITS)})")
_PLACEHOLDERS = ("name", "date", "time")


def refusal(allowed: str = "", *below: str | int) -> PydanticCustomError:
    """Return the error that says what is allowed, at the value itself or at a key ``below`` it."""
    return PydanticCustomError("refused", "{allowed}", {"allowed": allowed, "below": below})


def expand_placeholders(template: str, name: str, moment: datetime) -> str:
    """Return ``template`` with ``{name}``, ``{date}`` (2026-11-23), ``{time}`` (140509)."""
    values = {"name": name, "date": f"{moment:%Y-%m-%d}", "time": f"{moment:%H%M%S}"}
    return re.sub(r"\{(name|date|time)\}", lambda match: values[match[1]], template)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise refusal()
    return value


def _run_name(value: str) -> str:
    if value in (".", ".."):
        raise refusal()
    return value


def _run_dir(value: str) -> str:
    rest = value
    for placeholder in _PLACEHOLDERS:
        rest = rest.replace(f"{{{placeholder}}}", "")
    if "{" in rest or "}" in rest:
        raise refusal()
    return value


def _output_path(value: str) -> str:
    path = PurePosixPath(value)
    hidden = any(part.startswith(".") for part in path.parts)  # ".." among them
    if path.is_absolute() or hidden or not path.parts or re.search(r"[\\:]", value):
        raise refusal()
    if path.parts[0].casefold() in RUN_FILES:
        raise refusal(f"another name than those the run itself writes ({', '.join(RUN_FILES)})")
    return str(path)


def _bytes(value: Any) -> Any:
    """Return ``"1.5GiB"`` as a number of bytes; anything else as it is, for the type check."""
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    return int(float(match[1]) * _UNITS[match[2]]) if match else value


def _allowed(words: str) -> Any:
    return Field(json_schema_extra={"x-allowed": words})


Text: TypeAlias = Annotated[
    str, Field(min_length=1), AfterValidator(_printable), _allowed("a text of printable characters")
]
"""A name or path: not empty, without control characters."""

Texts: TypeAlias = Annotated[tuple[Text, ...], Strict(False), Field(min_length=1)]
"""A list of names or paths, at least one."""

RunName: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._-]+$"),
    AfterValidator(_run_name),
    _allowed("letters, digits, '.', '_' and '-', but not '.' or '..'"),
]

RunDir: TypeAlias = Annotated[
    Text,
    AfterValidator(_run_dir),
    _allowed("a path that may hold {name}, {date} and {time}, and no other braces"),
]

OutputPath: TypeAlias = Annotated[
    Text,
    AfterValidator(_output_path),
    _allowed("a path inside run_dir: relative, without '..', ':', '\\' or hidden names"),
]

ByteSize: TypeAlias = Annotated[
    int,
    Field(ge=1, lt=2**63),
    BeforeValidator(_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": f"^{_BYTES.pattern}$"},
            ],
            "x-allowed": "bytes above 0 (2GiB, 512MB, 2147483648)",
        }
    ),
]
"""An integer, or ``NUMBER[ ]UNIT``: B; kB, MB, GB, TB (by 1000); KiB, MiB, GiB, TiB (by 1024)."""

AtLeastOne: TypeAlias = Annotated[int, Field(ge=1, lt=2**63)]

#: More processes, threads or starts than this are a slip, and one that no machine would bear.
MOST_AT_ONCE = 10_000

AFew: TypeAlias = Annotated[int, Field(ge=1, le=MOST_AT_ONCE)]
"""A number of things that are made one by one and exist at the same time."""

NumberOfClasses: TypeAlias = Annotated[int, Field(ge=1, le=100_000)]
"""Each has a name and a colour, parameters, and a share of every row."""


def _different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise refusal()
    return values


Item = TypeVar("Item")

Several: TypeAlias = Annotated[
    tuple[Item, ...],
    Strict(False),
    Field(min_length=1),
    AfterValidator(_different),
    _allowed("a list of different ones"),
]
"""A list that is not empty and holds nothing twice."""
