"""Class colours that people of every kind of colour vision can tell apart; NumPy alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MASKED_COLOR = (0, 0, 0)  # Okabe and Ito's eighth colour: no class has it

# Okabe and Ito's colours for every kind of colour vision (jfly.uni-koeln.de/color, 2008) without
# their black; the wine red keeps 23 or more Lab units from each of them in every kind.
_FIRST_COLORS = (
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (86, 180, 233),  # sky blue
    (213, 94, 0),  # vermilion
    (240, 228, 66),  # yellow
    (136, 34, 85),  # wine red
)
_MOST_SPREAD = 256  # beyond this no eye tells the classes apart, only distinctness is kept

# Colours as protanopes, deuteranopes and tritanopes see them, in linear RGB: Machado, Oliveira
# and Fernandes 2009, IEEE TVCG 15(6), severity 1.0.
_COLOR_VISION = np.array(
    [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
)
_RGB_TO_XYZ = np.array(  # linear sRGB to XYZ relative to the D65 white point (IEC 61966-2-1)
    [
        [0.4339, 0.3762, 0.1899],
        [0.2126, 0.7152, 0.0722],
        [0.0178, 0.1095, 0.8727],
    ]
)


def class_colors(n_classes: int) -> NDArray[np.uint8]:
    """Colours for classes 1..K that people of every colour vision can tell apart.

    The first eight are Okabe and Ito's (without black, which marks masked pixels); each later one
    is the colour farthest from all before it, in CIELAB, in the worst of four colour visions. So
    the colour of a class does not depend on how many classes there are.

    Parameters
    ----------
    n_classes : int
        K, at least 1. Above 256 the colours are merely distinct.

    Returns
    -------
    ndarray of shape (K, 3), uint8
        Red, green, blue; row k - 1 belongs to label k. The same for every call.

    Raises
    ------
    ValueError
        If `n_classes` is below 1.
    """
    if n_classes < 1:
        raise ValueError(f"n_classes={n_classes}; at least 1 class is needed for a colour")
    if n_classes <= len(_FIRST_COLORS):
        return np.array(_FIRST_COLORS[:n_classes], dtype=np.uint8)
    spread = _spread_colors()
    if n_classes <= _MOST_SPREAD:
        return spread[:n_classes].copy()
    return np.concatenate([spread, _further_colors(n_classes - _MOST_SPREAD, spread)])


def luminance(color: NDArray[Any] | tuple[int, ...]) -> float:
    """Return the relative luminance, 0 to 1, of red, green and blue (WCAG 2.2)."""
    share = np.asarray(color)[:3] / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def ink_on(color: NDArray[Any] | tuple[int, ...]) -> str:
    """Return black or white, whichever reads better on a colour: at least 4.5 to 1."""
    return "#000000" if luminance(color) > 0.179 else "#ffffff"


def _lab(colors: NDArray[Any]) -> NDArray[np.float64]:
    """CIELAB of sRGB colours (n, 3) in the four colour visions: (4, n, 3)."""
    share = colors / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ _COLOR_VISION.transpose(0, 2, 1), 0.0, 1.0)
    xyz = seen @ _RGB_TO_XYZ.T
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    lab: NDArray[np.float64] = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return lab


@cache
def _spread_colors() -> NDArray[np.uint8]:
    """256 colours, each the farthest from those before it among a lattice of 12 levels."""
    level = np.linspace(0, 255, 12).astype(np.uint8)
    lattice = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(lattice)
    # Neither so dark that it passes for masked, nor so light that it passes for paper.
    lattice = lattice[(lab[0, :, 0] > 25) & (lab[0, :, 0] < 92)]
    lab = _lab(lattice)
    colors = [np.array(color, dtype=np.uint8) for color in _FIRST_COLORS]
    taken = _lab(np.array([MASKED_COLOR, *_FIRST_COLORS]))
    distance = np.min(
        np.linalg.norm(lab[:, :, None] - taken[:, None], axis=-1), axis=(0, 2)
    )  # to the nearest colour taken, in the worst colour vision
    while len(colors) < _MOST_SPREAD:
        farthest = int(np.argmax(distance))
        colors.append(lattice[farthest])
        step = np.linalg.norm(lab - lab[:, farthest : farthest + 1], axis=-1).min(axis=0)
        distance = np.minimum(distance, step)
    return np.array(colors)


def _further_colors(count: int, used: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`count` distinct colours that are neither `used` nor the masked colour."""
    # An odd factor permutes the 2^24 colours, so no two indices share one.
    code = np.arange(count + len(used) + 1, dtype=np.uint64) * np.uint64(0x9E3779) % (1 << 24)
    colors = np.stack([code >> 16 & 255, code >> 8 & 255, code & 255], axis=-1).astype(np.uint8)
    known = np.concatenate([used, np.array([MASKED_COLOR], np.uint8)]).astype(np.uint64)
    taken = np.isin(code, known @ np.array([1 << 16, 1 << 8, 1], np.uint64))
    return colors[~taken][:count]
