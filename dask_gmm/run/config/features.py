"""The key ``features``: a list of recipes, told apart by what each item is."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from dask_gmm.recipes import KINDS, Recipe, UnfitError, recipes_of
from dask_gmm.recipes.kinds import CHOICES
from dask_gmm.recipes.recipe import ITEMS
from dask_gmm.run.config.values import refusal


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
    """Return what editors need to know of a list of recipes."""
    band: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}
    scale = {"type": "number", "exclusiveMinimum": 0}
    each_axis = {"type": "array", "items": {"type": "number", "minimum": 0}}
    keys: dict[str, Any] = {
        "of": band,
        "scale": {"anyOf": [scale, each_axis]},
        "white": {"anyOf": [scale, {"type": "null"}]},
        **{key: {"enum": [*words]} for key, words in CHOICES.items()},
    }
    made = [
        {
            "type": "object",
            "description": kind.sentence,
            "properties": {"kind": {"const": name}}
            | {
                key: {"type": "array", "items": band} if key == "of" and kind.n_inputs > 1 else it
                for key, it in keys.items()
                if key in kind.keys
            },
            "required": [*kind.required],
            "additionalProperties": False,
        }
        for name, kind in KINDS.items()
    ]
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


Features: TypeAlias = Annotated[
    tuple[Recipe, ...] | None,
    PlainValidator(_recipes),
    PlainSerializer(_plain),
    WithJsonSchema(_schema()),
]
