"""Recipes: what features are made of, as frozen values that configuration and model file share.

A recipe knows of no data: whether there are such bands is seen when it meets a source
(`dask_gmm.data.features`). It is read from plain values, those of YAML or JSON, and says what is
not allowed in them and where.
"""

from __future__ import annotations

from dask_gmm.recipes.expressions import Expression
from dask_gmm.recipes.kinds import KINDS
from dask_gmm.recipes.recipe import Recipe, UnfitError, recipes_of

__all__ = ["KINDS", "Expression", "Recipe", "UnfitError", "recipes_of"]
