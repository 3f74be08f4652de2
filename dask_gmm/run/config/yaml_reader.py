"""Read a configuration's YAML into plain values that remember where they stood.

Only the events of ruamel.yaml's pure-Python parser are used, never its constructors: no tag can
make an object, no alias can multiply a node, and every value knows its line and column.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config.document import Document, KeyPath, Place, dotted, fail, plain_scalar

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 20_000

# What to do about ruamel.yaml's complaints: the first row whose text occurs in the complaint.
_REMEDIES = (
    ("mapping values are not allowed", "put the value in quotes, or correct the indentation"),
    ("scanning a quoted scalar", "close the quotes"),
    ("<stream end>", "close the bracket or brace"),
    ("got '{'", "put a value that holds braces in quotes"),
    ("cannot start any token", "put the value in quotes"),
    ("scanning an alias", "put a value that begins with * in quotes"),
    ("", "correct the indentation, brackets or quotes here"),
)


def read_yaml(path: Path) -> Document:
    """Read one configuration file, whose top must be a mapping.

    Raises
    ------
    ConfigurationError
        ``FILE:LINE:COL: what was found; what to do``, in one line: the file is missing, unreadable,
        too large, not UTF-8, not YAML, or uses what a configuration may not (see `parse_yaml`).
    """
    source = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigurationError(f"{source}: {_unreadable(path, error)}") from None
    if len(data) > MAX_BYTES:
        fail(Place(source, 1, 1), f"found more than {MAX_BYTES} bytes", "shorten the file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _end(data[: error.start].decode("utf-8-sig", errors="replace"))
        place = Place(source, line + 1, column + 1)
        fail(place, "found bytes that are not UTF-8", "save it as UTF-8")
    document = parse_yaml(text, source)
    if document.value is None:
        fail(Place(source, 1, 1), "found an empty file", "start from one of the files in configs/")
    if not isinstance(document.value, dict):
        fail(document.place(()), "found no mapping at the top", "write `key: value` lines")
    return document


def parse_yaml(text: str, source: str, *, numbered: bool = True) -> Document:
    """Parse one YAML 1.2 document (core schema), refusing what a configuration has no use for.

    Refused are anchors, aliases, tags, duplicate keys, keys that are not strings, several
    documents, a nesting deeper than `MAX_DEPTH` and more than `MAX_NODES` values.

    Parameters
    ----------
    text, source
        The YAML, and the name under which its places are reported.
    numbered
        Whether places carry line and column (a ``--set`` value has none worth telling).

    Raises
    ------
    ConfigurationError
        As `read_yaml`.
    """
    return _Builder(text, source, numbered).document()


class _Builder:
    """Turns the parser's events into a `Document`, one value at a time, within the limits."""

    def __init__(self, text: str, source: str, numbered: bool) -> None:
        self._text = text
        self._source = source
        self._numbered = numbered
        self._last = self._place(0, 0)
        self._events = self._parse()
        self._keys: dict[KeyPath, Place] = {}
        self._values: dict[KeyPath, Place] = {}
        self._plain: set[KeyPath] = set()

    def document(self) -> Document:
        next(self._events)  # the stream's start
        value = None
        self._values[()] = self._last
        event = next(self._events)
        if isinstance(event, DocumentStartEvent):
            if event.version not in (None, (1, 2)):
                self._fail("found another version of YAML", "remove the %YAML line (1.2 is meant)")
            value = self._node(next(self._events), ())
            next(self._events)  # the document's end
            if not isinstance(next(self._events), StreamEndEvent):
                self._fail("found a second document", "keep one document per file")
        return Document(value, self._keys, self._values, frozenset(self._plain))

    def _parse(self) -> Iterator[Event]:
        parser = YAML(typ="safe", pure=True)
        try:
            for event in parser.parse(self._text):
                self._last = self._place(event.start_mark.line, event.start_mark.column)
                yield event
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self._place(mark.line, mark.column) if mark else self._last
            complaint = " ".join(f"{error.context or ''} {error.problem or ''}".split())
            remedy = next(remedy for part, remedy in _REMEDIES if part in complaint)
            if r"'\t'" in complaint:
                fail(place, "found a tab", "replace it by spaces")
            fail(place, complaint[:200], remedy)
        except ReaderError as error:
            line, column = _end(self._text[: error.position])
            fail(self._place(line, column), "found a control character", "remove it")
        except (ValueError, OverflowError):  # ruamel.yaml lets chr() complain about "\UFFFFFFFF"
            self._fail("found an escape for a character that does not exist", "correct it")

    def _node(self, event: Event, path: KeyPath) -> Any:
        self._refuse_indirection(event)
        if len(path) > MAX_DEPTH:
            self._fail(f"found more than {MAX_DEPTH} levels of nesting", "flatten it")
        if len(self._values) >= MAX_NODES:
            self._fail(f"found more than {MAX_NODES} values", "shorten it")
        self._values[path] = self._last
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Any:
        text = self._encodable(event.value)
        if event.style:
            return text
        self._plain.add(path)
        if not text:  # an empty value's mark lies on the next line; its key is the better place
            self._values[path] = self._keys.get(path, self._last)
        return plain_scalar(text)

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            self._refuse_indirection(event)
            key = self._key(event)
            below = (*path, key)
            if key in items:
                first = self._keys[below]
                where = f", first given in line {first.line}" if first.line else ""
                self._fail(f"{dotted(below)}: found the key twice{where}", "remove one of the two")
            self._keys[below] = self._last
            items[key] = self._node(next(self._events), below)
        return items

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent) or not (
            event.style or isinstance(plain_scalar(event.value), str)
        ):
            self._fail("found a key that is not a string", "put it in quotes, or correct it")
        return self._encodable(event.value)

    def _refuse_indirection(self, event: Event) -> None:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            self._fail("found an anchor or alias (& or *)", "write the value out, or quote it")
        if getattr(event, "tag", None) is not None:
            self._fail("found a tag (!)", "write the plain value, or quote it")

    def _encodable(self, text: str) -> str:
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._fail("found half of a surrogate pair", "write the character itself")
        return text

    def _place(self, line: int, column: int) -> Place:
        return Place(self._source, line + 1, column + 1) if self._numbered else Place(self._source)

    def _fail(self, found: str, remedy: str) -> NoReturn:
        fail(self._last, found, remedy)


def _end(text: str) -> tuple[int, int]:
    """Return line and column, from 0, of the character that would follow ``text``."""
    return text.count("\n"), len(text) - text.rfind("\n") - 1


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, IsADirectoryError):
        return "found a directory; give the YAML file itself"
    if isinstance(error, FileNotFoundError):
        siblings = {other.name: other for other in path.parent.glob("*.y*ml")}
        near = difflib.get_close_matches(path.name, siblings, 1)
        remedy = f"did you mean {siblings[near[0]]}?" if near else "correct the path"
        return f"found no such file; {remedy}"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be read ({reason}); correct the path or its permissions"
