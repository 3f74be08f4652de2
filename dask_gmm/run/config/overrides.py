"""``--set key.path=value``: a value put over the file's, parsed as YAML."""

from __future__ import annotations

import copy
from typing import Any

from dask_gmm.run.config.document import Document, KeyPath, Place, dotted, fail
from dask_gmm.run.config.secrets import HIDDEN
from dask_gmm.run.config.yaml_reader import MAX_DEPTH, parse_yaml

#: Sections and keys whose values nobody else is to see.
_WITH_SECRETS = ("options", "environment", "kwargs", "password", "token")


def apply_override(document: Document, argument: str) -> Document:
    """Return the document with one ``key.path=value`` put in; missing or null mappings are made.

    Raises
    ------
    ConfigurationError
        The argument has no ``=``, an empty key, a value that is not YAML, or a path through
        something that is not a mapping.
    """
    key, equals, text = argument.partition("=")
    path = tuple(key.split("."))
    place = Place(f"--set {_shown(argument)}")
    if not equals or not all(path) or len(path) > MAX_DEPTH:
        fail(place, "found no key and value", "write it as key.path=value")
    given = parse_yaml(text, place.source, numbered=False)

    value = copy.deepcopy(document.value)
    _parent(value, path, place)[path[-1]] = given.value

    def kept(places: Any) -> dict[KeyPath, Place]:
        return {old: at for old, at in places.items() if old[: len(path)] != path}

    prefixes: dict[KeyPath, Place] = {path[:n]: place for n in range(1, len(path) + 1)}
    return Document(
        value,
        keys={**prefixes, **kept(document.keys), **_below(path, given.keys), path: place},
        values={**prefixes, **kept(document.values), **_below(path, given.values)},
        plain=frozenset(p for p in document.plain if p[: len(path)] != path)
        | frozenset((*path, *p) for p in given.plain),
    )


def _parent(value: dict[str, Any], path: tuple[str, ...], place: Place) -> dict[str, Any]:
    """Return the mapping that holds the last key of ``path``, made where it was missing or null."""
    for depth, step in enumerate(path[:-1], start=1):
        if value.get(step) is None:
            value[step] = {}
        inner = value[step]
        if not isinstance(inner, dict):
            above = dotted(path[:depth])
            fail(place, f"found a single value or list at {above}", f"set {above} as a whole")
        value = inner
    return value


def _below(path: KeyPath, places: Any) -> dict[KeyPath, Place]:
    return {(*path, *inner): place for inner, place in places.items()}


def _shown(argument: str) -> str:
    """Return the argument as it may appear in a message: on one short line, without credentials."""
    if any(word in argument for word in _WITH_SECRETS):
        argument = f"{argument.partition('=')[0]}={HIDDEN}"
    short = argument if len(argument) <= 80 else f"{argument[:76]} ..."
    return short if short.isprintable() else ascii(short)[1:-1]
