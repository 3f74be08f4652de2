"""Colour spaces, pixel by pixel: every number by the same operations, wherever it lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float64]

#: From linear sRGB to XYZ (IEC 61966-2-1), and the white of daylight D65, 2 degrees.
_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def lab(red: Plane, green: Plane, blue: Plane) -> list[Plane]:
    """Return L* (0 to 100), a* and b* of sRGB in 0 to 1."""
    linear = [_linear(each) for each in (red, green, blue)]
    x, y, z = (
        _lightness((row[0] * linear[0] + row[1] * linear[1] + row[2] * linear[2]) / white)
        for row, white in zip(_XYZ, _WHITE, strict=True)
    )
    return [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]


def hsv(red: Plane, green: Plane, blue: Plane) -> list[Plane]:
    """Return hue (0 to 1, around), saturation and value; of greys hue and saturation are 0."""
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    some = np.where(spread > 0, spread, 1.0)
    hue = np.where(
        red == value,
        (green - blue) / some,
        np.where(green == value, 2.0 + (blue - red) / some, 4.0 + (red - green) / some),
    )
    hue = np.where(spread > 0, hue / 6.0, 0.0 * spread)  # NaN stays NaN
    return [hue - np.floor(hue), spread / np.where(value > 0, value, 1.0), value]


def _linear(each: Plane) -> Plane:
    bright = np.power(np.maximum((each + 0.055) / 1.055, 0.0), 2.4)
    return np.where(each > 0.04045, bright, each / 12.92)


def _lightness(t: Plane) -> Plane:
    return np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16.0 / 116.0)
