"""The key ``features``: a list of recipes, told apart by what each item is."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from dask_gmm.recipes import KINDS, Recipe, UnfitError, recipes_of
from dask_gmm.recipes.kinds import CHOICES
from dask_gmm.recipes.recipe import ITEMS
from dask_gmm.run.config.values import refusal

MADE_OF = "a band's name or number, or arithmetic over bands"
_CHOSEN = {
    "to": "The distribution of the scores.",
    "unit": "What is counted: pixels, or the units in which the input says where they lie.",
}


def _recipes(value: Any) -> tuple[Recipe, ...] | None:
    if value is None:
        return None
    if isinstance(value, tuple) and all(isinstance(each, Recipe) for each in value):
        return value
    try:
        return recipes_of(value)
    except UnfitError as error:
        raise refusal(error.allowed, *error.path) from None


def _plain(recipes: tuple[Recipe, ...] | None) -> list[Any] | None:
    return None if recipes is None else [each.plain() for each in recipes]


def _schema() -> dict[str, Any]:
    """Return what editors, and the reference, need to know of a list of recipes."""
    band: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}
    made = [_schema_of(name, band) for name in KINDS]
    named = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": {"anyOf": [band, *made]},
    }
    items = {"anyOf": [band, *made, named]}
    return {
        "anyOf": [{"type": "array", "minItems": 1, "items": items}, {"type": "null"}],
        "x-allowed": f"null, or a list of: {ITEMS}",
    }


def _schema_of(name: str, band: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a feature of one kind."""
    kind = KINDS[name]
    several, number = kind.n_inputs > 1, {"type": "number", "exclusiveMinimum": 0}
    radius = kind.scale == "radius"
    along = {"type": "array", "items": {"type": "number", "minimum": 0}}
    keys: dict[str, dict[str, Any]] = {
        "kind": {"const": name, "description": "What is made."},
        "of": {
            **({"type": "array", "items": band} if several else band),
            "description": "Red, green and blue." if several else "What it is made of.",
            "x-allowed": f"a list of three, each {MADE_OF}" if several else MADE_OF,
        },
        "scale": {
            "anyOf": [number, along],
            "description": "How far the square reaches, in pixels."
            if radius
            else "The standard deviation, in pixels.",
            "x-allowed": f"{'a whole number' if radius else 'a number > 0'}, or a list of one for "
            "every leading axis (0: not along it)",
        },
        "white": {
            "anyOf": [number, {"type": "null"}],
            "default": None,
            "description": "Full intensity; null: the type's largest integer, or 1.",
            "x-allowed": "a number > 0 or null",
        },
    }
    for key, words in CHOICES.items():
        keys[key] = {
            "enum": [*words],
            "default": words[0],
            "description": _CHOSEN[key],
            "x-allowed": f"one of {', '.join(words)}",
        }
    return {
        "type": "object",
        "description": f"{kind.sentence[0].upper()}{kind.sentence[1:]}.",
        "properties": {key: keys[key] for key in kind.keys},
        "required": [*kind.required],
        "additionalProperties": False,
    }


Features: TypeAlias = Annotated[
    tuple[Recipe, ...] | None,
    PlainValidator(_recipes),
    PlainSerializer(_plain),
    WithJsonSchema(_schema()),
]
