"""Draw the README's picture from a finished run: ``python -m docs.draw_pictures RUN_DIR``.

The picture shows our own segmentation and numbers, nothing of the photograph that was segmented.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dask_gmm.plots import class_colors, label_image

OUTPUT = Path(__file__).parent / "images" / "blue-marble-classes.png"
WIDTH, DPI = 1080, 100  # pixels of the map, and of an inch


def draw(run_dir: Path) -> Figure:
    """Return the label map, every n-th pixel of it, above a legend of the classes."""
    manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    classes = manifest["classes"]
    labels: Any = zarr.open_array(run_dir / manifest["outputs"]["labels"]["path"], mode="r")
    step = max(1, round(labels.shape[1] / WIDTH))
    # Of every square the pixel in the middle: a mean of labels would mean nothing.
    painted = label_image(labels[:][step // 2 :: step, step // 2 :: step], len(classes))
    height, width = painted.shape[:2]
    band = 30
    figure = Figure(figsize=(width / DPI, (height + band) / DPI), dpi=DPI)
    legend = figure.add_axes((0, 0, 1, band / (height + band)))
    legend.set(xlim=(0, width), ylim=(band, 0))
    legend.axis("off")
    for i, each in enumerate(classes):
        _entry(legend, i * width / len(classes), each, class_colors(len(classes))[i])
    figure.figimage(painted, 0, band, origin="upper")
    return figure


def _entry(legend: Any, x: float, each: dict[str, Any], color: Any) -> None:
    """Draw a class's colour on the map, its label and weight, and its mean colour in the data."""
    mean = np.clip(np.asarray(each["mean"]) / 255, 0, 1)
    legend.add_patch(Rectangle((x + 6, 8), 22, 15, facecolor=color / 255))
    text = f"{each['label']}: {each['weight']:.0%}, mean"
    legend.text(x + 34, 15.5, text, va="center", fontsize=9)
    legend.add_patch(
        Rectangle((x + 128, 8), 22, 15, facecolor=mean, edgecolor="black", linewidth=0.5)
    )


def main(arguments: list[str] | None = None) -> int:
    """Draw the picture of the run directory that is named."""
    (run_dir,) = sys.argv[1:] if arguments is None else arguments
    file = io.BytesIO()
    draw(Path(run_dir)).savefig(file, dpi=DPI, facecolor="white")
    # The map has K colours; 64 leave room for smooth letters, at a third of the size.
    picture = Image.open(file).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    picture.save(OUTPUT, optimize=True)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
