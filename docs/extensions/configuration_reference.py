"""The reference of the configuration, made from its JSON schema: ``{configuration}``.

What stands there are the sentences, limits and defaults that the program itself goes by; a key
cannot be missing, and none is listed that the program does not take.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from dask_gmm.run.config import config_schema
from dask_gmm.run.config.allowed import Allowed

Schema = Mapping[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """One key of a section: what may stand there, what does by default, what it is for."""

    name: str
    allowed: str
    default: str | None
    sentence: str


@dataclass(frozen=True)
class Part:
    """One section, or one kind of a section that has kinds."""

    title: str
    sentence: str
    keys: tuple[Key, ...]


def parts(schema: Schema) -> Iterator[Part]:
    """Yield the top level, then every section in the order of the keys, kind by kind."""
    yield Part("the top level", "", _keys(schema, schema, (), {}))
    seen = set[str]()  # what several kinds have in common is told once
    for part in _below(schema, schema, (), {}):
        if part.title not in seen:
            yield part
        seen.add(part.title)


def _below(schema: Schema, section: Schema, path: Path, value: Any) -> Iterator[Part]:
    """Yield the sections that stand at a section's keys, and theirs."""
    for name, fragment in section["properties"].items():
        there, inner = (*path, name), _sections(schema, fragment)
        for each in inner:
            kind = each["properties"].get("kind", {}).get("const")
            known = {name: {"kind": kind}} if kind else value
            which = f"kind: {kind}" if kind else f"with {next(iter(each['properties']))}"
            title = ".".join(there) + (f", {which}" if len(inner) > 1 else "")
            yield Part(title, each.get("description", ""), _keys(schema, each, there, known))
            yield from _below(schema, each, there, known)


def _sections(schema: Schema, fragment: Schema) -> list[Schema]:
    """Return the mappings with known keys that may stand somewhere, references followed."""
    if "$ref" in fragment:
        return _sections(schema, schema["$defs"][fragment["$ref"].rpartition("/")[2]])
    branches = [*fragment.get("oneOf", ()), *fragment.get("anyOf", ())]
    branches += [fragment["items"]] if "items" in fragment else []
    if "properties" in fragment:
        return [fragment]
    return [section for each in branches for section in _sections(schema, each)]


def _keys(schema: Schema, section: Schema, path: Path, value: Any) -> tuple[Key, ...]:
    allowed = Allowed(schema, value)
    required = section.get("required", ())
    return tuple(
        Key(
            name,
            each.get("x-allowed") or allowed.words((*path, name)),
            None if name in required else _default(each),
            _sentence(schema, each),
        )
        for name, each in section["properties"].items()
    )


def _sentence(schema: Schema, fragment: Schema) -> str:
    """Return what a key is for, by its own words or those of the section that stands there."""
    sections = _sections(schema, fragment)
    own = sections[0].get("description", "") if len(sections) == 1 else ""
    return str(fragment.get("description", own))


def _default(fragment: Schema) -> str:
    default = fragment.get("default")
    if isinstance(default, dict):  # a section's defaults stand at its own keys
        return "{}"
    return default if isinstance(default, str) else json.dumps(default)


class Configuration(SphinxDirective):
    """``{configuration}``: a section of the page for every section of the configuration."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [self._section(part) for part in parts(config_schema())]

    def _section(self, part: Part) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(part.title)], names=[part.title])
        section += nodes.title("", "", nodes.Text(part.title))
        if part.sentence:
            section += nodes.paragraph("", "", *self._inline(part.sentence))
        listed = nodes.definition_list(classes=["keys"])
        for key in part.keys:
            listed += self._item(key)
        section += listed
        self.state.document.note_explicit_target(section)
        return section

    def _item(self, key: Key) -> nodes.definition_list_item:
        default = "required" if key.default is None else f"default: {key.default}"
        term = nodes.term("", "", nodes.literal("", key.name), nodes.Text(f"  {default}"))
        said = nodes.paragraph("", "", *self._inline(key.sentence))
        allowed = nodes.paragraph("", f"Allowed: {key.allowed}", classes=["allowed"])
        return nodes.definition_list_item("", term, nodes.definition("", said, allowed))

    def _inline(self, text: str) -> list[nodes.Node]:
        found, problems = self.parse_inline(" ".join(text.split()), lineno=self.lineno)
        return [*found, *problems]


def setup(app: Sphinx) -> dict[str, Any]:
    """Give Sphinx the directive."""
    app.add_directive("configuration", Configuration)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
