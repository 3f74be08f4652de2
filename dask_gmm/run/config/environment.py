"""``${NAME}`` in a value stands for an environment variable, put in after the YAML was parsed.

A variable can therefore never add keys or structure. A value that is nothing but an unquoted
``${NAME}`` is read as a YAML scalar, so that numbers work; every other value stays a string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dask_gmm.run.config.document import Document, KeyPath, plain_scalar
from dask_gmm.run.config.problems import Problem

_REFERENCE = re.compile(r"\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")


@dataclass
class Substitution:
    """What became of a document's references.

    Attributes
    ----------
    document
        The document with the variables' values.
    templates
        What was written where a value was substituted: it is shown instead of the value.
    problems
        References that could not be followed; they are left as they were.
    """

    document: Document
    templates: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def substitute(document: Document, environment: Mapping[str, str]) -> Substitution:
    """Replace every ``${NAME}`` in the values, never in keys, of a document."""
    result = Substitution(document)

    def visit(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: visit(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [visit(inner, (*path, i)) for i, inner in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return follow(value, path)
        return value

    def follow(template: str, path: KeyPath) -> Any:
        complaint = _complaint(template, environment)
        if complaint:
            result.problems.append(Problem(path, complaint))
            return template
        result.templates[path] = template
        text = _REFERENCE.sub(lambda match: environment[match[1]], template)
        whole = _REFERENCE.fullmatch(template) is not None
        return plain_scalar(text) if whole and path in document.plain else text

    result.document = replace(document, value=visit(document.value, ()))
    return result


def _complaint(template: str, environment: Mapping[str, str]) -> str | None:
    for match in _REFERENCE.finditer(template):
        name = match[1]
        if name is None:
            return "found '${' without a name; allowed ${NAME} with letters, digits and _"
        if name not in environment:
            return f"found ${{{name}}}, which is not set; set {name[:60]}, or write the value"
        if not environment[name].isprintable():
            return f"found ${{{name}}}, which holds unprintable characters; correct {name[:60]}"
    return None
