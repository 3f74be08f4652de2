"""What each kind of recipe does to planes of a region: small frozen values that travel in tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.data.features import colours
from dask_gmm.recipes.expressions import Name, Node, Number

Plane = npt.NDArray[np.float64]
Region = tuple[slice, ...]


class Operation(Protocol):
    """From the planes that a feature is made of to the planes that it is."""

    @property
    def halo(self) -> tuple[int, ...]:
        """How far it looks, along every leading axis; empty: at the pixel alone."""

    def __call__(self, inputs: Sequence[Plane], region: Region) -> list[Plane]:
        """Return the planes, float64, NaN where there is no value."""


@dataclass(frozen=True)
class Pointwise:
    """What looks at one pixel: the plane itself, its logarithm, its score, another colour space.

    Parameters
    ----------
    kind : str
    white : float
        What full intensity is.
    knots : tuple or None
        Values, and their scores.
    """

    kind: str
    white: float = 1.0
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def halo(self) -> tuple[int, ...]:
        """None."""
        return ()

    def __call__(self, inputs: Sequence[Plane], region: Region) -> list[Plane]:
        """Return the planes."""
        if self.kind == "log":
            return [np.log(inputs[0])]
        if self.kind == "quantile":
            assert self.knots is not None
            values, scores = self.knots
            if not values:
                return [inputs[0]]
            return [np.interp(inputs[0], values, scores)]
        if self.kind in ("lab", "hsv"):
            turn = colours.lab if self.kind == "lab" else colours.hsv
            return turn(*(each / self.white for each in inputs))
        return [inputs[0]]


@dataclass(frozen=True)
class Filtered:
    """What looks at a pixel's neighbours.

    Parameters
    ----------
    kind : str
    scales : tuple of float
        Per leading axis: standard deviations, or radii; 0: not along this axis.
    halo : tuple of int
    """

    kind: str
    scales: tuple[float, ...]
    halo: tuple[int, ...]

    def __call__(self, inputs: Sequence[Plane], region: Region) -> list[Plane]:
        """Return the plane."""
        from dask_gmm.data.features import filters

        functions: dict[str, Callable[..., Any]] = {
            "gaussian": filters.gaussian,
            "gradient": filters.gradient,
            "laplacian": filters.laplacian,
            "mean": filters.mean,
            "std": filters.std,
            "range": filters.value_range,
        }
        whole = self.kind in ("mean", "std", "range")
        scales = tuple(map(int, self.scales)) if whole else self.scales
        return [functions[self.kind](inputs[0], scales)]


@dataclass(frozen=True)
class Coordinates:
    """Where a pixel lies along every leading axis, from the first pixel on.

    Parameters
    ----------
    steps : tuple of float
        From one pixel to the next.
    """

    steps: tuple[float, ...]

    @property
    def halo(self) -> tuple[int, ...]:
        """None."""
        return ()

    def __call__(self, inputs: Sequence[Plane], region: Region) -> list[Plane]:
        """Return a plane per axis."""
        shape = tuple(span.stop - span.start for span in region)
        found = []
        for axis, (span, step) in enumerate(zip(region, self.steps, strict=True)):
            along = np.arange(span.start, span.stop, dtype=np.float64) * step
            places = along.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            found.append(np.broadcast_to(places, shape))
        return found


def evaluate(node: Node, planes: dict[str, Plane]) -> Plane | float:
    """Return what an expression says of planes given by name."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return planes[node.name]
    values = [evaluate(each, planes) for each in node.operands]
    if len(values) == 1:
        return -values[0] if node.sign == "-" else values[0]
    left, right = values
    if not isinstance(left, np.ndarray):
        left = np.float64(left)  # Python's own numbers raise where NumPy's say infinity
    return _SIGNS[node.sign](left, right)


_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
}
