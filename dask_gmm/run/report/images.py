"""The report's images: a quicklook painted and encoded, as files hold it and as pages show it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dask_gmm.palette import MASKED_COLOR, class_colors
from dask_gmm.plots import label_image
from dask_gmm.run.quicklook import Quicklook

LEVELS = 32  # as many as an eye tells apart; a PNG of 256 levels is twice as large


@dataclass(frozen=True)
class Image:
    """One image of the page: encoded, with its size in pixels and what it shows in words.

    Attributes
    ----------
    content : bytes
    kind : {"png", "jpeg"}
    width, height : int
    caption : str
    """

    content: bytes
    kind: str
    width: int
    height: int
    caption: str

    @property
    def src(self) -> str:
        """The image as a ``data:`` URI."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"


def picture_image(quicklook: Quicklook, true_color: bool, names: Sequence[str]) -> Image:
    """Return the picture as JPEG; see `picture_colors`."""
    colors, caption = picture_colors(quicklook, true_color, names)
    return _encode(colors, caption, "JPEG", quality=85)


def picture_colors(
    quicklook: Quicklook, true_color: bool, names: Sequence[str]
) -> tuple[NDArray[np.uint8], str]:
    """Return the picture as red, green and blue (h, w, 3), and what they are in words.

    Parameters
    ----------
    quicklook : Quicklook
    true_color : bool
        Whether the features are red, green and blue of 8 bits, which are shown as they are; others
        are stretched between the 2nd and 98th percentile of the pixels that are not masked.
    names : sequence of str
        Names of the D features, for the caption.
    """
    values = quicklook.picture.astype(np.float64)
    shown = [names[f] if f < len(names) else f"feature {f + 1}" for f in quicklook.features]
    if true_color:
        scaled, stretched = values / 255, ""
    else:
        scaled = _stretch(values, quicklook.labels > 0)
        stretched = ", each" * (len(shown) > 1) + " stretched between its 2nd and 98th percentile"
    if len(shown) == 1:
        channels, what = scaled[..., [0, 0, 0]], f"{shown[0]} in grey"
    elif len(shown) == 2:
        # Orange against blue: red against green would be lost on many readers.
        middle = scaled.mean(axis=-1)
        channels = np.stack([scaled[..., 0], middle, scaled[..., 1]], axis=-1)
        what = f"{shown[0]} in orange, {shown[1]} in blue"
    else:
        channels, what = scaled[..., :3], "{}, {}, {} as red, green, blue".format(*shown[:3])
    invalid = np.any(~np.isfinite(channels), axis=-1, keepdims=True)
    pixels = np.rint(255 * np.clip(np.where(invalid, 0, channels), 0, 1))
    colors = np.where(invalid, MASKED_COLOR, pixels).astype(np.uint8)
    return colors, f"{what}{stretched}"


def labels_image(labels: NDArray[np.integer[Any]], n_classes: int) -> Image:
    """Return the labels in their class colours as PNG (with a palette for up to 255 classes)."""
    caption = f"{n_classes} classes" if n_classes > 1 else "1 class"
    if n_classes > 255:
        return _encode(label_image(labels, n_classes), caption, "PNG", optimize=True)
    palette = np.concatenate([np.array([MASKED_COLOR], np.uint8), class_colors(n_classes)])
    return _encode(labels.astype(np.uint8), caption, "PNG", palette=palette, optimize=True)


def map_image(shares: NDArray[np.floating[Any]], caption: str) -> Image | None:
    """Return shares (h, w), 0..1 and NaN where masked, as palette PNG; None: all is masked."""
    valid = np.isfinite(shares)
    if not valid.any():
        return None
    top = LEVELS - 1
    level = np.rint(np.clip(np.where(valid, shares, 0), 0, 1) * top).astype(np.uint8)
    level[~valid] = LEVELS
    palette = np.concatenate([map_colors(), np.array([MASKED_COLOR], np.uint8)])
    return _encode(level, caption, "PNG", palette=palette, optimize=True)


def map_colors() -> NDArray[np.uint8]:
    """Colours of the levels 0..1: (32, 3), matplotlib's cividis, made for all colour visions."""
    from matplotlib import colormaps

    table = colormaps["cividis"](np.linspace(0, 1, LEVELS), bytes=True)
    return np.asarray(table[:, :3], dtype=np.uint8)


def _stretch(values: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scale each feature (h, w, F) so that its 2nd..98th percentile over `keep` is 0..1."""
    scaled = np.full(values.shape, np.nan)
    for f in range(values.shape[2]):
        feature = values[..., f]
        finite = feature[keep & np.isfinite(feature)]
        if finite.size:
            low, high = np.percentile(finite, [2, 98])
            scaled[..., f] = (feature - low) / (high - low) if high > low else 0.5
            scaled[~np.isfinite(feature), f] = np.nan
    return scaled


def _encode(
    pixels: NDArray[np.uint8],
    caption: str,
    kind: str,
    palette: NDArray[np.uint8] | None = None,
    **options: Any,
) -> Image:
    """Encode (h, w, 3) colours, or (h, w) indices into a palette, through Pillow."""
    from PIL import Image as Pillow

    image = Pillow.fromarray(np.ascontiguousarray(pixels))
    if palette is not None:
        image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image(buffer.getvalue(), kind.lower(), image.width, image.height, caption)
