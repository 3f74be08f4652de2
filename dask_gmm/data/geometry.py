"""What an input knows of its place in the world, so that results can be given the same."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

Affine = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Axis:
    """One leading axis: where its pixels lie, and how far apart.

    Parameters
    ----------
    name : str or None
        As the format has it: y, x, z, t, lat.
    kind : {"space", "time", None}
    unit : str or None
        Of `step`, as a word: metre, degree, millimetre, micrometer, second.
    step : float or None
        From one pixel to the next; may be negative. None: not known, or not regular.
    start : float or None
        Where the first pixel's centre lies.
    """

    name: str | None = None
    kind: str | None = None
    unit: str | None = None
    step: float | None = None
    start: float | None = None


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of an input lie: small, frozen, hashable, and plain JSON.

    A source fills what its format knows; a sink writes what its own can say and leaves the rest.
    Shapes are the grid's, names of features the source's: neither is repeated here.

    Parameters
    ----------
    axes : tuple of Axis
        Of the leading axes, in their order.
    crs : str or None
        Coordinate reference system, as WKT.
    transform : tuple of 6 floats or None
        (a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f, of a pixel's outer
        corner (as GDAL and rasterio mean it), for the last two axes.
    affine : 4 x 4 or None
        From indices (i, j, k) of the first three axes as the file has them to millimetres (NIfTI).
    nodata : float or None
        What the input itself declares, in stored units.
    scaling : tuple of (float, float) or None
        Scale and offset of every feature that is read: value = scale * stored + offset. Rows are
        the values.
    header : str
        A JSON object of what else the format wants back: for sinks of the same format only.
    """

    axes: tuple[Axis, ...] = ()
    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    affine: Affine | None = None
    nodata: float | None = None
    scaling: tuple[tuple[float, float], ...] | None = None
    header: str = field(default="{}", repr=False)

    @property
    def pixel(self) -> tuple[float, str] | None:
        """The size of one pixel, (900.0, 'metre^2'), or of a voxel: a volume.

        None where the spatial axes are fewer than two, have no step, are measured in different
        units, or in degrees, whose length changes over the picture.
        """
        space = [axis for axis in self.axes if axis.kind == "space"]
        units = {axis.unit for axis in space}
        if len(space) < 2 or len(units) > 1 or None in units or units & {"degree", "degrees"}:
            return None
        size = self._size(space)
        return None if size is None else (size, f"{units.pop()}^{len(space)}")

    def _size(self, space: list[Axis]) -> float | None:
        if self.transform is not None and len(space) == 2:
            a, b, _, d, e, _ = self.transform
            return abs(a * e - b * d)
        if self.affine is not None and len(space) == 3:
            (a, b, c, _), (d, e, f, _), (g, h, i, _) = self.affine[:3]
            return abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
        steps = [axis.step for axis in space if axis.step is not None]
        return abs(math.prod(steps)) if len(steps) == len(space) else None

    def to_json(self) -> dict[str, Any]:
        """Return what a reader of the manifest wants to know; what is not known is left out."""
        plain = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        plain.pop("header")
        if self.pixel is not None:
            plain["pixel"] = {"size": self.pixel[0], "unit": self.pixel[1]}
        return {name: _json_value(value) for name, value in plain.items()}


def _json_value(value: Any) -> Any:
    """Return a value with texts for NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {name: _json_value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
