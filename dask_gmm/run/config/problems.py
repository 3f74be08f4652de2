"""What is wrong with a configuration, in lines that a user can act on.

pydantic finds the problems; every one is told in the same words: what was found, what is allowed
there (from the JSON schema), what was probably meant. None of pydantic's own words get through.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dask_gmm.run.config.allowed import Allowed
from dask_gmm.run.config.document import Document, KeyPath, dotted, plain_scalar
from dask_gmm.run.config.secrets import text_without_secrets


@dataclass(frozen=True)
class Problem:
    """One thing to correct: the path of its key, and what was found, allowed and to be done.

    Attributes
    ----------
    path, text
        The key and the words.
    at_key
        Whether the key itself is wrong, not its value.
    """

    path: KeyPath
    text: str
    at_key: bool = False


def report(problems: Iterable[Problem], document: Document) -> str:
    """Return one line per problem, the file's in the order of lines, those of ``--set`` after."""
    lines = []
    for problem in problems:
        place = document.place(problem.path, of_key=problem.at_key)
        words = f"{place}: {dotted(problem.path) or 'top'}: {problem.text}"
        lines.append(((not place.line, place.line, place.column), words))
    return "\n".join(words for _, words in sorted(lines, key=lambda line: line[0]))


class Judge:
    """Finds words for the problems of one document.

    Parameters
    ----------
    document
        The values, with environment variables put in.
    templates
        What was written where a variable was put in: shown instead of the value.
    schema
        The JSON schema of a configuration.
    """

    def __init__(
        self, document: Document, templates: Mapping[KeyPath, str], schema: Mapping[str, Any]
    ) -> None:
        self._document = document
        self._templates = templates
        self._allowed = Allowed(schema, document.value)

    def invalid(self, error: ValidationError, known: Sequence[Problem]) -> Iterator[Problem]:
        """Yield pydantic's findings in our words, except where ``known`` problems explain them."""
        hidden = [problem.path for problem in known]
        for details in error.errors(include_url=False, include_input=False):
            path = self._path(details)
            # A union reports once for each of its branches: one line is enough.
            if not any(path[: len(other)] == other for other in hidden):
                hidden.append(path)
                yield self._problem(path, details)

    def refused(self, path: KeyPath, allowed: str) -> Problem:
        """Return the problem that the value at ``path`` is not what is allowed there."""
        return Problem(path, f"found {self._found(path)}; allowed {allowed}{self._remedy(path)}")

    def _problem(self, path: KeyPath, details: ErrorDetails) -> Problem:
        if details["type"] == "extra_forbidden":
            keys = ", ".join(self._allowed.keys(path[:-1]))
            remedy = self._allowed.similar_key(path)
            return Problem(path, f"found an unknown key; allowed {keys}; {remedy}", at_key=True)
        words = self._allowed.words(path)
        if details["type"] == "missing":
            example = self._allowed.example(path)
            return Problem(path, f"found no such key; allowed {words}; add `{example}`")
        if details["type"] == "less_than":
            words += " that fits 64 bits"
        return self.refused(path, details.get("ctx", {}).get("allowed") or words)

    def _path(self, details: ErrorDetails) -> KeyPath:
        """Return where an error lies, without the names that pydantic gives to union branches."""
        value = self._document.value
        path: list[str | int] = []
        untold: Sequence[str] = ()
        for step in details["loc"]:
            if step in untold:  # the kind of the mapping that was just entered
                untold = ()
            elif _holds(value, step):
                value = value[step]
                path.append(step)
                untold = self._allowed.kinds(tuple(path))
        if details["type"] == "missing":
            path.append(details["loc"][-1])
        if details["type"] == "union_tag_invalid":
            path.append("kind")
        return (*path, *details.get("ctx", {}).get("below", ()))

    def _found(self, path: KeyPath) -> str:
        if path in self._templates:
            return f"the value of {self._templates[path]!r}"[:80]
        if path[:2] == ("source", "storage_options"):
            return "a value that is not shown"
        value = self._value(path)
        if isinstance(value, dict | list):
            noun = "a mapping" if isinstance(value, dict) else "a list"
            return f"{noun} of length {len(value)}"
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        shown = repr(text_without_secrets(value) if isinstance(value, str) else value)
        shown = shown if len(shown) <= 60 else shown[:56] + " ..."
        misread = isinstance(value, str) and value and not isinstance(plain_scalar(value), str)
        return f"{shown} (a text)" if misread else shown

    def _remedy(self, path: KeyPath) -> str:
        value = self._value(path)
        if isinstance(value, dict | list):
            return ""
        if value is None:
            return "; give it keys, or remove it" if self._allowed.keys(path) else ""
        if not isinstance(value, str):
            quotable = self._allowed.takes(path, "") and not self._allowed.takes(path, value)
            return "; put it in quotes if a text is meant" if quotable else ""
        meaning = plain_scalar(value)
        if value and not isinstance(meaning, str) and self._allowed.takes(path, meaning):
            return "; write it without quotes"
        words = list(self._allowed.choices(path))
        near = [
            word for word in difflib.get_close_matches(value.lower(), words, 1) if word != value
        ]
        return f"; did you mean {near[0]}?" if near and path not in self._templates else ""

    def _value(self, path: KeyPath) -> Any:
        value = self._document.value
        for step in path:
            value = value[step]
        return value


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)
