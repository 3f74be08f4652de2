"""Recipes meet a source: names become bands, scales become halos, and what does not fit is told."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from dask_gmm.data.features.operations import Coordinates, Filtered, Operation, Pointwise
from dask_gmm.data.geometry import Geometry
from dask_gmm.errors import ConfigurationError
from dask_gmm.recipes import KINDS, Expression, Recipe
from dask_gmm.recipes.expressions import Name, Node, Number
from dask_gmm.recipes.expressions import Operation as Arithmetic
from dask_gmm.recipes.stored import Kept

#: What the planes of a feature of several are called behind its name.
_PARTS = {"lab": ("L", "a", "b"), "hsv": ("h", "s", "v")}
#: Of leading axes without names the last ones are called so.
_AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Bands:
    """What recipes need to know of a source.

    Parameters
    ----------
    where : str
        The source, in words.
    names : tuple of str
        Of its bands; band0, band1, ... where it does not name them.
    dtype : numpy.dtype
    shape : tuple of int
        Leading shape; () of a table, whose rows have no neighbours.
    axes : tuple of (str or None)
        Names of the leading axes.
    steps : tuple of (float or None)
        From one pixel to the next, where the source knows.
    """

    where: str
    names: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    steps: tuple[float | None, ...]

    @property
    def axis_names(self) -> tuple[str, ...]:
        """A name for every leading axis."""
        n = len(self.axes)
        usual = [*map(str, range(n))] if n > len(_AXES) else [*_AXES[len(_AXES) - n :]]
        return tuple(own or other for own, other in zip(self.axes, usual, strict=True))


@dataclass(frozen=True)
class Step:
    """One recipe ready to be computed.

    Parameters
    ----------
    names : tuple of str
        Of the planes that it makes.
    inputs : tuple of Node
        Their names are bands, or planes made before.
    operation : Operation
    halo : tuple of int
        How far it looks, through all that it is made of.
    """

    names: tuple[str, ...]
    inputs: tuple[Node, ...]
    operation: Operation
    halo: tuple[int, ...]


def resolve(recipes: Sequence[Recipe], bands: Bands) -> tuple[Step, ...]:
    """Return the steps that make features of a source's bands.

    Raises
    ------
    ConfigurationError
        If there is no such band, a name is given twice, or a scale does not fit the image.
    """
    resolver = _Resolver(bands)
    return tuple(resolver.step(recipe, i) for i, recipe in enumerate(recipes))


class _Resolver:
    """Goes through recipes in their order; each may use bands, and what was made before."""

    def __init__(self, bands: Bands) -> None:
        self._bands = bands
        none = (0,) * len(bands.shape)
        self._halos = dict.fromkeys(bands.names, none)
        self._made = set[str]()
        self._scored = set[str]()

    def step(self, recipe: Recipe, number: int) -> Step:
        """Return one step, and remember its names."""
        where = f"features.{number}" + (f" ({recipe.name})" if recipe.name else "")
        inputs = tuple(self._input(each, where) for each in recipe.of)
        operation = self._operation(recipe, where)
        names = self._names(recipe, inputs)
        used = {name for each in inputs for name in Expression("", each).names}
        if recipe.kind == "quantile" and used & self._scored:
            raise ConfigurationError(f"{where}: is the quantile of a quantile; name its own band")
        halo = tuple(
            max((self._halos[name][axis] for name in used), default=0)
            + (operation.halo[axis] if operation.halo else 0)
            for axis in range(len(self._bands.shape))
        )
        for name in names:
            # A band may give its name to what takes its place, but only to one.
            if name in self._made:
                raise ConfigurationError(
                    f"{where}: {name!r} is the name of a feature before it; give it another: "
                    "`NAME: ...`"
                )
            self._made.add(name)
            if name not in self._bands.names:
                self._halos[name] = halo
            if recipe.kind == "quantile" or used & self._scored:
                self._scored.add(name)
        if recipe.kind != "band" and (same := set(names) & set(self._bands.names)):
            raise ConfigurationError(
                f"{where}: {min(same)!r} is the name of a band; give the feature another"
            )
        return Step(names, inputs, operation, halo)

    def _input(self, expression: Expression, where: str) -> Node:
        """Return an expression whose names are all known."""
        if expression.text in self._halos:  # a band's name may look like arithmetic: B8-A
            return Name(expression.text)
        if not expression.names:
            raise ConfigurationError(f"{where}: {expression.text!r} names no band, it is constant")
        return self._known(expression.tree, where)

    def _known(self, node: Node, where: str) -> Node:
        if isinstance(node, Number):
            return node
        if isinstance(node, Arithmetic):
            return Arithmetic(node.sign, tuple(self._known(each, where) for each in node.operands))
        name, bands = node.name, self._bands.names
        if re.fullmatch(r"#\d+", name):
            number = int(name[1:])
            if number >= len(bands):
                raise ConfigurationError(
                    f"{where}: found band {number}, but {self._bands.where} has {len(bands)} "
                    f"bands; allowed: 0 to {len(bands) - 1}"
                )
            return Name(bands[number])
        if name not in self._halos:
            self._refuse(name, where)
        return node

    def _refuse(self, name: str, where: str) -> NoReturn:
        near = difflib.get_close_matches(name, self._halos, 1, 0.5)
        same = [each for each in self._halos if each.casefold() == name.casefold()]
        hint = f"; did you mean {(same or near)[0]!r}?" if same or near else ""
        made = [each for each in self._halos if each not in self._bands.names]
        before = f", and the features before it: {', '.join(made)}" if made else ""
        raise ConfigurationError(
            f"{where}: there is no band {name!r}; {self._bands.where} has the bands "
            f"{', '.join(self._bands.names)}{before}{hint}"
        )

    def _names(self, recipe: Recipe, inputs: Sequence[Node]) -> tuple[str, ...]:
        """Return what its planes are called."""
        of = [each.name if isinstance(each, Name) else "expression" for each in inputs]
        if recipe.kind == "band":
            return (of[0],)
        name = recipe.name
        if recipe.kind == "coordinates":
            return tuple(f"{name}_{axis}" if name else axis for axis in self._bands.axis_names)
        if recipe.kind in _PARTS:
            return tuple(f"{name}_{part}" if name else part for part in _PARTS[recipe.kind])
        if name is not None:
            return (name,)
        scale = "" if recipe.scale is None else f"_{_short(recipe.scale)}"
        return (f"{of[0]}_{recipe.kind}{scale}",)

    def _operation(self, recipe: Recipe, where: str) -> Operation:
        kind = recipe.kind
        if kind == "coordinates":
            return self._coordinates(recipe, where)
        if kind in KINDS and KINDS[kind].scale:
            return self._filtered(recipe, where)
        return Pointwise(kind, recipe.white or _white(self._bands.dtype), recipe.knots)

    def _coordinates(self, recipe: Recipe, where: str) -> Operation:
        self._require_image(recipe, where)
        steps = self._bands.steps
        if recipe.unit == "pixel":
            return Coordinates((1.0,) * len(self._bands.shape))
        known = [abs(step) for step in steps if step]
        if len(known) < len(steps):
            raise ConfigurationError(
                f"{where}: unit: geometry, but {self._bands.where} does not say how far apart its "
                "pixels are; allowed: pixel"
            )
        return Coordinates(tuple(known))

    def _filtered(self, recipe: Recipe, where: str) -> Operation:
        from dask_gmm.data.features.filters import gaussian_radius

        self._require_image(recipe, where)
        shape, scale = self._bands.shape, recipe.scale
        scales = scale if isinstance(scale, tuple) else (float(scale or 0),) * len(shape)
        axes = ", ".join(self._bands.axis_names)
        if len(scales) != len(shape):
            raise ConfigurationError(
                f"{where}: scale has {len(scales)} numbers, but {self._bands.where} has "
                f"{len(shape)} leading axes ({axes}); give one for each, 0 for none along it"
            )
        for axis, (each, n) in enumerate(zip(scales, shape, strict=True)):
            if each > n:
                raise ConfigurationError(
                    f"{where}: scale {each:g} is larger than {self._bands.where}, which has {n} "
                    f"pixels along axis {self._bands.axis_names[axis]} (shape {shape}); allowed "
                    f"are scales up to {min(shape)}, or a list of one for every axis ({axes}), 0: "
                    "not along it"
                )
        sigma = KINDS[recipe.kind].scale == "sigma"
        halo = tuple(gaussian_radius(each) if sigma else int(each) for each in scales)
        return Filtered(recipe.kind, scales, halo)

    def _require_image(self, recipe: Recipe, where: str) -> None:
        if not self._bands.shape:
            raise ConfigurationError(
                f"{where}: kind: {recipe.kind}, but {self._bands.where} is a table, whose rows "
                "have no place beside each other; allowed are expressions, log, quantile, lab and "
                "hsv"
            )


def bands_of(where: str, source: Any) -> Bands:
    """Return what recipes need to know of a source."""
    names = source.feature_names or tuple(f"band{i}" for i in range(source.n_features))
    shape: tuple[int, ...] = () if not hasattr(source, "read_region") else source.grid.shape
    geometry: Geometry | None = source.geometry
    n = len(shape)
    axes = getattr(source.grid, "names", None) or (None,) * n
    steps: tuple[float | None, ...] = (None,) * n
    if geometry is not None and len(geometry.axes) == n:
        axes = tuple(a.name or name for a, name in zip(geometry.axes, axes, strict=True))
        steps = tuple(axis.step for axis in geometry.axes)
    return Bands(where, names, source.dtype, shape, tuple(axes) if n else (), steps)


def require_bands(kept: Kept, source: Any, whose: str) -> None:
    """Refuse a source whose bands are others than those that a model's features count by number.

    Features that name their bands find them, or say that there is none.

    Raises
    ------
    ConfigurationError
    """
    names = source.feature_names or tuple(f"band{i}" for i in range(source.n_features))
    if kept.by_number and tuple(names) != kept.bands:
        raise ConfigurationError(
            f"{whose}: its features are made of bands by number, of {', '.join(kept.bands)}, but "
            f"the input has {', '.join(names)}; choose the same, in this order, by source.columns"
        )


def _white(dtype: np.dtype[Any]) -> float:
    """Return what full intensity is by a type: of integers their largest, else 1."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def _short(scale: float | tuple[float, ...]) -> str:
    each = scale if isinstance(scale, tuple) else (scale,)
    return "x".join(f"{one:g}" for one in each)
