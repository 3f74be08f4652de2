"""The report's images: a quicklook as ``data:`` URIs, a convergence curve as inline SVG."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dask_gmm.palette import MASKED_COLOR, class_colors
from dask_gmm.plots import label_image, plot_convergence, plot_selection
from dask_gmm.run.quicklook import Quicklook

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNCERTAINTY_LEVELS = 32  # as many as an eye tells apart; a PNG of 256 levels is twice as large

# Colours that matplotlib draws with, and what the page's style sheet calls them in light and dark.
_THEME = {
    "#0072b2": "var(--accent)",
    "#969696": "var(--faint)",
    "#d55e00": "var(--alarm)",
    "#010101": "var(--soft)",
    "#020202": "var(--line)",
}


@dataclass(frozen=True)
class Image:
    """One image of the page: its ``data:`` URI, its size in pixels and what it shows in words."""

    src: str
    width: int
    height: int
    caption: str


def is_true_color(quicklook: Quicklook, dtype: str | None) -> bool:
    """Whether the source's three 8-bit features can be shown as they are: red, green, blue."""
    return quicklook.picture.shape[2] == 3 and dtype == "uint8"


def picture_image(quicklook: Quicklook, dtype: str | None, names: Sequence[str]) -> Image:
    """Return the picture as JPEG; see `picture_colors`."""
    colors, caption = picture_colors(quicklook, dtype, names)
    return _encode(colors, caption, "JPEG", quality=85)


def picture_colors(
    quicklook: Quicklook, dtype: str | None, names: Sequence[str]
) -> tuple[NDArray[np.uint8], str]:
    """Return the picture as red, green and blue (h, w, 3), and what they are in words.

    Parameters
    ----------
    quicklook : Quicklook
    dtype : str or None
        The source's; 8-bit values are shown as they are, all others stretched between the 2nd and
        98th percentile of the pixels that are not masked.
    names : sequence of str
        Names of the D features, for the caption.
    """
    values = quicklook.picture.astype(np.float64)
    shown = [names[f] if f < len(names) else f"feature {f + 1}" for f in quicklook.features]
    if dtype == "uint8" and len(shown) != 2:
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


def uncertainty_image(uncertainty: NDArray[np.float32]) -> Image | None:
    """Return the uncertainty (0..1, NaN = masked) as palette PNG; None where all is masked."""
    valid = np.isfinite(uncertainty)
    if not valid.any():
        return None
    top = UNCERTAINTY_LEVELS - 1
    level = np.rint(np.clip(np.where(valid, uncertainty, 0), 0, 1) * top).astype(np.uint8)
    level[~valid] = UNCERTAINTY_LEVELS
    palette = np.concatenate([uncertainty_colors(), np.array([MASKED_COLOR], np.uint8)])
    return _encode(level, "entropy / log K", "PNG", palette=palette, optimize=True)


def uncertainty_colors() -> NDArray[np.uint8]:
    """Colours of the levels 0..1: (32, 3), matplotlib's cividis, made for all colour visions."""
    from matplotlib import colormaps

    table = colormaps["cividis"](np.linspace(0, 1, UNCERTAINTY_LEVELS), bytes=True)
    return np.asarray(table[:, :3], dtype=np.uint8)


def convergence_svg(history: Sequence[Mapping[str, Any]], stage: str) -> str | None:
    """Return one stage's convergence as inline SVG in the page's colours; None if it is empty.

    Nothing in it comes from a name or a path: numbers and this package's own words.
    """
    if not any(entry.get("stage") == stage for entry in history):
        return None
    return _svg(lambda axes: plot_convergence(history, axes, stage=stage), stage)


def selection_svg(selection: Mapping[str, Any]) -> str | None:
    """Return how the criterion depends on K, as inline SVG; None where there is one K alone."""
    candidates = selection.get("candidates") or []
    if len({each.get("n_components") for each in candidates}) < 2:
        return None
    criterion = str(selection.get("criterion"))
    return _svg(lambda axes: plot_selection(candidates, criterion, axes), "selection")


def _svg(draw: Callable[[Axes], Any], prefix: str) -> str:
    """Draw in the page's style; no id in the SVG is another's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "axes.edgecolor": "#010101",
        "axes.labelcolor": "#010101",
        "xtick.color": "#010101",
        "ytick.color": "#010101",
        "grid.color": "#020202",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "font.size": 10.0,
        "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
        "svg.hashsalt": "dask-gmm",  # the same run gives the same bytes
    }
    with rc_context(style):  # type: ignore[arg-type]
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), prefix)


def _inline(svg: str, prefix: str) -> str:
    """Make a stand-alone SVG fit to stand inside a page beside others."""
    svg = svg[svg.index("<svg") :]
    # matplotlib's style element would style the whole page, its metadata serve no reader.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for color, name in _THEME.items():
        svg = svg.replace(color, name)
    return svg


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
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Image(f"data:image/{kind.lower()};base64,{code}", image.width, image.height, caption)
