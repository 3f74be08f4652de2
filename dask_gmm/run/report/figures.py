"""The figures of a run as PNG files: what goes into a talk, or is looked at without a browser."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dask_gmm.palette import class_colors
from dask_gmm.plots import label_image, plot_convergence
from dask_gmm.run.logs import printable
from dask_gmm.run.quicklook import Quicklook
from dask_gmm.run.report import images, words
from dask_gmm.run.report.pictures import painted

#: Inches: of one picture's longer side, and of a line of the legend; classes in one line.
_SIDE, _LINE, _IN_LINE = 5.2, 0.26, 3
#: Beyond this a legend explains nothing.
_MOST_CLASSES = 30


def write_figures(
    folder: Path,
    record: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    quicklooks: Mapping[int, Quicklook],
) -> list[dict[str, Any]]:
    """Draw the convergence and, of an image, the classes with their legend, below ``folder``.

    The images of which a page is made are among them.

    Parameters
    ----------
    folder : Path
        Exists.
    record : mapping
        The manifest.
    history : sequence of mapping
    quicklooks : mapping of int to Quicklook
        By the number of the input.

    Returns
    -------
    list of dict
        What the manifest says of the images.
    """
    from matplotlib.figure import Figure

    if history:
        curve = Figure(figsize=(6.4, 4.0), layout="constrained")
        plot_convergence(history, curve.add_subplot(), stage="full")
        curve.savefig(folder / "convergence.png", dpi=120)
    if not quicklooks:
        return []
    first = min(quicklooks)
    true_color = words.is_true_color(record)
    _draw_quicklook(folder / "quicklook.png", record, quicklooks[first], true_color)
    pictures = [
        painted(seen, record, true_color, number) for number, seen in sorted(quicklooks.items())
    ]
    for picture in pictures:
        picture.save(folder)
    return [picture.described() for picture in pictures]


def _draw_quicklook(
    path: Path, record: Mapping[str, Any], quicklook: Quicklook, true_color: bool
) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    classes = record["classes"][:_MOST_CLASSES]
    height, width = quicklook.labels.shape
    scale = _SIDE / max(height, width)
    lines = -(-len(classes) // _IN_LINE)
    room = 0.6 + lines * _LINE
    size = (2 * max(width * scale, 2.5) + 0.3, height * scale + room)
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2)
    names = record.get("feature_names") or []
    colors, what = images.picture_colors(quicklook, true_color, names)
    K = len(record["classes"])
    left.imshow(colors, interpolation="nearest")
    right.imshow(label_image(quicklook.labels, K), interpolation="nearest")
    # Matplotlib wraps a title after the layout, and cuts off what is then too high.
    title = textwrap.fill(printable(what), int(7.5 * size[0]))
    left.set_title(title, fontsize=8, parse_math=False)
    right.set_title(f"{K} classes", fontsize=8)
    for axes in (left, right):
        axes.set_axis_off()
    pixel = words.pixel_of(record)
    figure.legend(
        handles=[
            Patch(color=color / 255, label=_told(each, record["rows"]["used"], pixel))
            for each, color in zip(classes, class_colors(K), strict=False)
        ],
        loc="outside lower center",
        ncols=_IN_LINE,
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=150)


def _told(entry: Mapping[str, Any], used: int, pixel: tuple[float, str] | None) -> str:
    """Say of a class what can be seen: its share of the pixels, rather than its weight."""
    said = f"{entry['label']}: {entry['rows'] / max(used, 1):.1%}"
    return said if pixel is None else f"{said}, {words.extent(entry['rows'], pixel)}"
