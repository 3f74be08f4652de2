"""Features of images in memory: what a run's ``features`` makes, for Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.features.computing import Features
from dask_gmm.data.features.quantiles import UNSCORED, knots_of
from dask_gmm.data.features.resolving import Bands, resolve
from dask_gmm.data.grid import Block
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.model_file import Model
from dask_gmm.recipes import Recipe, UnfitError, recipes_of
from dask_gmm.recipes.stored import kept_of


def make_features(
    image: npt.ArrayLike,
    features: Sequence[Any] | str | os.PathLike[str],
    *,
    bands: Sequence[str] | None = None,
    mask: npt.ArrayLike | None = None,
) -> npt.NDArray[np.floating[Any]]:
    """Compute features of an image that is in memory.

    Parameters
    ----------
    image : array-like, shape (..., D)
        Bands last; the axes before them are those along which pixels are neighbours.
    features : list, or path
        As under ``features`` in a configuration; or a model's file, or its run's directory: the
        features that it was fitted to, with the same quantiles.
    bands : sequence of str, optional
        Names of the bands; by default those that the model knows, or band0, band1, ...
    mask : array-like of bool, shape (...), optional
        Which pixels take part; the others have NaN, and are nobody's neighbours.

    Returns
    -------
    ndarray, shape (..., F)
        float32, or float64 where the image has more digits; NaN where a feature has no value.

    Raises
    ------
    ConfigurationError
        A ValueError: if a feature does not fit the image, or is none.
    InputDataError
        If the model cannot be read, or knows of no features.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[[1.0, 3.0], [2.0, 2.0]]])
    >>> make_features(image, [{"ndvi": "(nir - red) / (nir + red)"}], bands=["red", "nir"])
    array([[[0.5],
            [0. ]]])
    """
    array = np.asarray(image)
    if array.ndim < 2 or array.dtype.kind not in "iuf":
        raise ConfigurationError(
            f"image: found shape {array.shape} and dtype {array.dtype}; allowed are real numbers, "
            "with an axis of bands behind at least one other"
        )
    recipes, known = _recipes(features)
    usual = [f"band{i}" for i in range(array.shape[-1])]
    names = tuple(bands if bands is not None else known or usual)
    leading = array.shape[:-1]
    if len(names) != array.shape[-1]:
        raise ConfigurationError(
            f"bands: found {len(names)} names ({', '.join(names)}), but the image has "
            f"{array.shape[-1]} bands"
        )
    valid = None if mask is None else np.asarray(mask, dtype=bool)
    if valid is not None and valid.shape != leading:
        raise ConfigurationError(f"mask: found shape {valid.shape}; allowed {leading}")
    none = (None,) * len(leading)
    given = Bands("the image", names, array.dtype, leading, none, none)
    block = Block(array.reshape(-1, len(names)), valid=None if valid is None else valid.ravel())
    if any(_is_unknown(each) for each in recipes):
        raw = _computed([_unscored(each) for each in recipes], given, block)
        recipes = [
            replace(each, knots=_knots(raw[name], each)) if _is_unknown(each) else each
            for each, name in zip(recipes, _first_names(recipes, given), strict=True)
        ]
    found = np.stack([*_computed(recipes, given, block).values()], axis=-1)
    if valid is not None:
        found[~valid] = np.nan
    return found


def _recipes(
    features: Sequence[Any] | str | os.PathLike[str],
) -> tuple[list[Recipe], tuple[str, ...] | None]:
    """Return recipes, and the names of the bands that a model was fitted to."""
    if not isinstance(features, str | os.PathLike):
        try:
            return list(recipes_of(features)), None
        except UnfitError as error:
            place = ".".join(map(str, ("features", *error.path)))
            raise ConfigurationError(f"{place}: allowed {error.allowed}") from None
    said = Model.load(features).information.get("features")
    if said is None:
        raise InputDataError(f"{features}: is a model of bands as they are; it has no features")
    try:
        kept = kept_of(said)
    except ValueError as error:
        raise InputDataError(f"{features}: its features cannot be read ({error})") from error
    return list(kept.recipes), kept.bands


def _computed(
    recipes: Sequence[Recipe], given: Bands, block: Block
) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """Return every feature by name, of the leading shape."""
    dtype = np.dtype(np.result_type(given.dtype, np.float32))
    made = Features(given.names, resolve(recipes, given), dtype)
    whole = tuple(slice(0, n) for n in given.shape)
    planes = made.of(block, whole, whole).values.T
    return {name: each.reshape(given.shape) for name, each in zip(made.names, planes, strict=True)}


def _first_names(recipes: Sequence[Recipe], given: Bands) -> list[str]:
    steps = resolve([_unscored(each) for each in recipes], given)
    return [step.names[0] for step in steps]


def _knots(plane: npt.NDArray[Any], recipe: Recipe) -> Any:
    values = plane[np.isfinite(plane)]
    if not len(values):
        raise InputDataError("no pixel has a value, so that there are no quantiles")
    return knots_of(values, recipe.to)


def _is_unknown(recipe: Recipe) -> bool:
    return recipe.kind == "quantile" and recipe.knots is None


def _unscored(recipe: Recipe) -> Recipe:
    return replace(recipe, knots=UNSCORED) if _is_unknown(recipe) else recipe
