"""What a configuration may hold, in words, read from its JSON schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dask_gmm.run.config.document import KeyPath, dotted

_SIMPLE_WORDS = {
    "boolean": "true or false",
    "null": "null",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}
_SCALAR_TYPES = {
    str: ["string"],
    bool: ["boolean"],
    int: ["integer", "number"],
    float: ["number"],
    type(None): ["null"],
}
# Upper limits that only keep integers within 64 bits (exclusiveMaximum) go without saying.
_BOUNDS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
}


class Allowed:
    """Answers for every key path of a JSON schema what may stand there.

    Parameters
    ----------
    schema
        A JSON schema as pydantic writes it: ``$ref``, ``anyOf``, ``const``, ``enum``, bounds, and
        ``oneOf`` for mappings told apart by their ``kind``. The keyword ``x-allowed`` replaces the
        words that would be made from the others.
    value
        The configuration's plain values, which say what kind each mapping is.
    """

    def __init__(self, schema: Mapping[str, Any], value: Any = None) -> None:
        self._schema = schema
        self._value = value

    def words(self, path: KeyPath) -> str:
        """Return what may stand at ``path``: ``auto or a number > 0``."""
        words = [_words(each) for each in self._alternatives(path)]
        last = (", or " if "," in "".join(words) else " or ").join(words[-2:])
        return ", ".join([*words[:-2], last])

    def keys(self, path: KeyPath) -> list[str]:
        """Return the keys that the mapping at ``path`` may hold."""
        return [key for each in self._alternatives(path) for key in each.get("properties", ())]

    def choices(self, path: KeyPath) -> list[str]:
        """Return the words that may stand at ``path``."""
        choices = [_choices(each) for each in self._alternatives(path)]
        return [word for words in choices for word in words if isinstance(word, str)]

    def takes(self, path: KeyPath, value: str | float | None) -> bool:
        """Tell whether a scalar of this type (bounds aside) may stand at ``path``."""
        types = _SCALAR_TYPES[type(value)]
        return any(each.get("type") in types for each in self._alternatives(path))

    def kinds(self, path: KeyPath) -> list[str]:
        """Return the kinds that the mapping at ``path`` may have; none where it has no choice."""
        fragment = self._fragment(path)
        return [_kind(self._followed(each)) for each in fragment.get("oneOf", ())]

    def example(self, path: KeyPath) -> str:
        """Return ``key: value`` for a key that has an example, else the key."""
        fragment = self._fragment(path)
        examples = fragment.get("examples")
        return f"{path[-1]}: {examples[0]}" if examples else str(path[-1])

    def similar_key(self, path: KeyPath) -> str:
        """Return a remedy for the unknown key at ``path``: its place, or its likeness."""
        known = list(self.all_keys(()))
        above = [dotted(other[:-1]) or "the top level" for other in known if other[-1] == path[-1]]
        if above:
            return f"it belongs under {', '.join(above[:3])}"
        name = str(path[-1]).lower()
        near = difflib.get_close_matches(name, self.keys(path[:-1]), 1)
        if near:
            return f"did you mean {near[0]}?"
        near = difflib.get_close_matches(name, [str(other[-1]) for other in known], 1, 0.8)
        there = [dotted(other) for other in known if other[-1] in near]
        return f"did you mean {there[0]}?" if there else "remove it"

    def all_keys(self, path: KeyPath = ()) -> Iterator[KeyPath]:
        """Yield the paths of all keys below ``path``, each before those below it."""
        for key in self.keys(path):
            yield (*path, key)
            yield from self.all_keys((*path, key))

    def _fragment(self, path: KeyPath) -> Mapping[str, Any]:
        if not path:
            return self._schema
        if path[-1] == "kind" and self.kinds(path[:-1]):
            return {"enum": self.kinds(path[:-1])}
        for each in self._alternatives(path[:-1]):
            if path[-1] in each.get("properties", {}):
                fragment: Mapping[str, Any] = each["properties"][path[-1]]
                return fragment
            if isinstance(path[-1], int) and "items" in each:
                return dict(each["items"])
        return {}

    def _alternatives(self, path: KeyPath) -> list[Mapping[str, Any]]:
        """Return the schemas of which one must hold at ``path``, references followed."""
        waiting, found = [self._fragment(path)], []
        while waiting:
            each = waiting.pop(0)
            if "$ref" in each:
                waiting.insert(0, self._followed(each))
            elif "oneOf" in each:
                waiting.insert(0, self._of_kind(each["oneOf"], path))
            elif "anyOf" in each and "x-allowed" not in each:
                waiting = [*each["anyOf"], *waiting]
            else:
                found.append(each)
        return found

    def _of_kind(self, branches: Sequence[Mapping[str, Any]], path: KeyPath) -> Mapping[str, Any]:
        """Return the branch of the kind that the mapping at ``path`` says it is, else the first."""
        value = self._value
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        said = value.get("kind") if isinstance(value, dict) else None
        sections = [self._followed(each) for each in branches]
        return next((each for each in sections if _kind(each) == said), sections[0])

    def _followed(self, fragment: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = fragment.get("$ref")
        if reference is None:
            return fragment
        section: Mapping[str, Any] = self._schema["$defs"][reference.rpartition("/")[2]]
        return section


def _kind(section: Mapping[str, Any]) -> str:
    return str(section["properties"]["kind"]["const"])


def _choices(fragment: Mapping[str, Any]) -> list[Any]:
    return [fragment["const"]] if "const" in fragment else list(fragment.get("enum", ()))


def _words(fragment: Mapping[str, Any]) -> str:
    if "x-allowed" in fragment:
        return str(fragment["x-allowed"])
    choices = [word if isinstance(word, str) else json.dumps(word) for word in _choices(fragment)]
    if choices:
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    kind = fragment.get("type")
    if kind in ("integer", "number"):
        return _number_words(fragment)
    if "properties" in fragment:
        return f"a mapping with the keys {', '.join(fragment['properties'])}"
    return _SIMPLE_WORDS.get(str(kind), "a value")


def _number_words(fragment: Mapping[str, Any]) -> str:
    if "minimum" in fragment and fragment["minimum"] == fragment.get("maximum"):
        return str(fragment["minimum"])
    noun = "an integer" if fragment["type"] == "integer" else "a number"
    limits = [f"{sign} {fragment[bound]}" for bound, sign in _BOUNDS.items() if bound in fragment]
    return " ".join([noun, " and ".join(limits)]).strip()
