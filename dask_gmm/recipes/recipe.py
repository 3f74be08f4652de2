"""One recipe, and reading a list of them from plain values."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dask_gmm.recipes.expressions import ALLOWED, Expression, NotArithmeticError, parse
from dask_gmm.recipes.kinds import CHOICES, KINDS

#: What a list may hold, for whoever wrote something else.
ITEMS = (
    "a band's name or number, `NAME: expression`, `NAME: {kind: ..., of: ...}`, "
    "or {kind: ..., of: ...}"
)
MOST = 1000

Path = tuple[str | int, ...]


class UnfitError(ValueError):
    """A value that is no recipe.

    Attributes
    ----------
    path : tuple
        Where it stands, below the list.
    allowed : str
        What is allowed there.
    """

    def __init__(self, path: Path, allowed: str) -> None:
        super().__init__(f"{path}: allowed {allowed}")
        self.path, self.allowed = path, allowed


@dataclass(frozen=True)
class Recipe:
    """What a feature is made of.

    Parameters
    ----------
    kind : str
        "band", "expression", or a key of `KINDS`.
    of : tuple of Expression
        What it is made of; none for coordinates. A band by number is a name made of digits.
    name : str or None
        As it was named; None: after what it is made of.
    scale : float, tuple of float, or None
        Of all leading axes, or of each; 0: not along this one. In pixels.
    white : float or None
        What full intensity is; None: by the type of the data.
    to : {"normal", "uniform"}
        What quantiles are turned into.
    unit : {"pixel", "geometry"}
        What coordinates are counted in.
    knots : tuple of (tuple of float, tuple of float), or None
        Of quantiles: values of the data, and their scores. None: not estimated yet.
    """

    kind: str
    of: tuple[Expression, ...] = ()
    name: str | None = None
    scale: float | tuple[float, ...] | None = None
    white: float | None = None
    to: str = "normal"
    unit: str = "pixel"
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def plain(self) -> Any:
        """Return it as it is written in YAML; knots, which nobody writes, are left out."""
        if self.kind == "band":
            text = self.of[0].text
            return int(text[1:]) if text.startswith("#") else text
        if self.kind == "expression":
            return {self.name: self.of[0].text}
        keys: dict[str, Any] = {"kind": self.kind}
        if self.of:
            texts = [_written(each) for each in self.of]
            keys["of"] = texts[0] if len(texts) == 1 else texts
        for key in KINDS[self.kind].keys[len(keys) :]:
            value = getattr(self, key)
            if value is not None:
                keys[key] = list(value) if isinstance(value, tuple) else value
        return keys if self.name is None else {self.name: keys}


def recipes_of(value: Any) -> tuple[Recipe, ...]:
    """Read a list of recipes.

    Raises
    ------
    UnfitError
        Of the first that is none.
    """
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST:
        raise UnfitError((), "a list of features, one or more: " + ITEMS)
    found = tuple(_recipe(each, (i,)) for i, each in enumerate(value))
    seen = set[str]()
    for i, recipe in enumerate(found):
        if recipe.name in seen:
            raise UnfitError((i,), "a feature of another name: this one was given before")
        seen |= set() if recipe.name is None else {recipe.name}
    return found


def _recipe(value: Any, path: Path) -> Recipe:
    if _is_name(value):
        return Recipe("band", (_band(value),))
    if not isinstance(value, dict) or not value:
        raise UnfitError(path, ITEMS)
    if "kind" in value or "of" in value:
        return _of_kind(value, path, None)
    if len(value) > 1:
        raise UnfitError(path, f"{ITEMS}: one name an item, each after a dash of its own")
    ((name, made),) = value.items()
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise UnfitError(path, "a name of printable characters")
    if isinstance(made, dict):
        return _of_kind(made, (*path, name), name)
    return Recipe("expression", (_expression(made, (*path, name)),), name)


def _of_kind(value: Mapping[Any, Any], path: Path, name: str | None) -> Recipe:
    kind = value.get("kind")
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        where = (*path, "kind") if "kind" in value else path
        raise UnfitError(where, f"kind: one of {', '.join(KINDS)}{hint}")
    known = KINDS[kind]
    for key in value:
        if key not in known.keys:
            near = difflib.get_close_matches(str(key), known.keys, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            words = f"the keys {', '.join(known.keys)}, as kind is {kind}{hint}"
            raise UnfitError((*path, key), words)
    for key in known.required:
        if value.get(key) is None:
            raise UnfitError(path, f"with the keys {', '.join(known.keys)}: {key} is missing")
    return Recipe(
        kind,
        _inputs(value.get("of"), known.n_inputs, (*path, "of")),
        name,
        _scale(value.get("scale"), known.scale, (*path, "scale")) if known.scale else None,
        _white(value.get("white"), (*path, "white")),
        _choice("to", value, path),
        _choice("unit", value, path),
    )


def _inputs(value: Any, n: int, path: Path) -> tuple[Expression, ...]:
    if n == 0:
        return ()
    if n == 1:
        return (_expression(value, path),)
    if not isinstance(value, list | tuple) or len(value) != n:
        raise UnfitError(path, f"a list of {n} bands: red, green, blue")
    return tuple(_expression(each, (*path, i)) for i, each in enumerate(value))


def _expression(value: Any, path: Path) -> Expression:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise UnfitError(path, "a band by name or by number, from 0, or " + ALLOWED)
        return _band(value)
    if not isinstance(value, str):
        raise UnfitError(path, ALLOWED)
    try:
        return parse(value)
    except NotArithmeticError as error:
        raise UnfitError(path, f"{ALLOWED}: {error}") from None


def _scale(value: Any, meaning: str, path: Path) -> float | tuple[float, ...]:
    words = "a number of pixels > 0" if meaning == "sigma" else "a whole number of pixels >= 1"
    each = value if isinstance(value, list | tuple) else [value]
    good = all(_is_number(one) and one >= 0 for one in each) and any(each)
    if meaning == "radius":
        good = good and all(one == int(one) for one in each)
    if not good or not (isinstance(value, list | tuple) or value > 0):
        raise UnfitError(path, f"{words}, or a list of one for every axis (0: not along it)")
    return tuple(map(float, each)) if isinstance(value, list | tuple) else float(value)


def _white(value: Any, path: Path) -> float | None:
    if value is not None and not (_is_number(value) and value > 0):
        raise UnfitError(path, "a number > 0, that of full intensity, or null: by the data's type")
    return None if value is None else float(value)


def _choice(key: str, value: Mapping[Any, Any], path: Path) -> str:
    said = value.get(key, CHOICES[key][0])
    if said not in CHOICES[key]:
        raise UnfitError((*path, key), f"one of {', '.join(CHOICES[key])}")
    return str(said)


def _is_name(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable() and bool(value.strip())
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _band(value: str | int) -> Expression:
    return Expression.of_name(f"#{value}" if isinstance(value, int) else value)


def _written(expression: Expression) -> str | int:
    text = expression.text
    return int(text[1:]) if text.startswith("#") and text[1:].isdigit() else text
