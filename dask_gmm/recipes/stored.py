"""Recipes as a model keeps them: with what was estimated, and the bands that they were made for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from dask_gmm.recipes.recipe import Recipe, UnfitError, recipes_of


@dataclass(frozen=True)
class Kept:
    """What a model knows of its features.

    Parameters
    ----------
    recipes : tuple of Recipe
        With knots.
    bands : tuple of str
        Of the source that they were made of, in its order.
    """

    recipes: tuple[Recipe, ...]
    bands: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "bands": list(self.bands),
            "recipes": [each.plain() for each in self.recipes],
            "knots": [each.knots and [list(part) for part in each.knots] for each in self.recipes],
        }

    @property
    def by_number(self) -> bool:
        """Whether any recipe names a band by its number."""
        return any(
            name.startswith("#")
            for recipe in self.recipes
            for each in recipe.of
            for name in each.names
        )


def kept_of(value: Any) -> Kept:
    """Read what :meth:`Kept.to_json` has written.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(value, Mapping):
        raise ValueError("features are no mapping")
    bands, knots = value.get("bands"), value.get("knots")
    if not isinstance(bands, list) or not all(isinstance(each, str) for each in bands):
        raise ValueError("the bands of features are no list of names")
    try:
        recipes = recipes_of(value.get("recipes"))
    except UnfitError as error:
        raise ValueError(f"features: {error}") from None
    if not isinstance(knots, list) or len(knots) != len(recipes):
        raise ValueError("features have other knots than recipes")
    pairs = zip(recipes, knots, strict=True)
    return Kept(tuple(_knotted(each, found) for each, found in pairs), tuple(bands))


def _knotted(recipe: Recipe, knots: Any) -> Recipe:
    if recipe.kind != "quantile":
        return recipe
    if not (isinstance(knots, list) and len(knots) == 2 and all(map(_numbers, knots))):
        raise ValueError("a quantile without its knots")
    values, scores = knots
    if len(values) != len(scores) or not values or any(a >= b for a, b in pairwise(values)):
        raise ValueError("a quantile whose knots do not rise")
    return replace(recipe, knots=(tuple(map(float, values)), tuple(map(float, scores))))


def _numbers(values: Sequence[Any]) -> bool:
    return isinstance(values, list) and all(
        isinstance(each, int | float) and math.isfinite(each) for each in values
    )
