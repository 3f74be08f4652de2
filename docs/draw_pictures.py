"""Draw the pages' pictures of finished runs: ``python -m docs.draw_pictures RUN_DIR ...``.

A picture is called after its run, and shows our own segmentation and numbers, nothing of the image
that was segmented: its label map, or three planes through the middle of a volume, above a legend.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dask_gmm.plots import class_colors, label_image

FOLDER = Path(__file__).parent / "images"
WIDTH, DPI = 1080, 100  # pixels of the map at most, and of an inch
#: Of the legend: the height of its rows, and the width of an entry with a mean colour and without.
ROW, ENTRY, PLAIN_ENTRY = 30, 180, 90


def draw(run_dir: Path) -> Figure:
    """Return the label map, every n-th pixel of it, above a legend of the classes."""
    manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    classes = manifest["classes"]
    labels = flat(labels_of(run_dir / manifest["outputs"]["labels"]["path"]))
    step = max(1, round(labels.shape[1] / WIDTH))
    # Of every square the pixel in the middle: a mean of labels would mean nothing.
    labels = labels[step // 2 :: step, step // 2 :: step]
    times = max(1, WIDTH // 2 // labels.shape[1])
    painted = label_image(labels.repeat(times, axis=0).repeat(times, axis=1), len(classes))
    height, width = painted.shape[:2]
    # Only three bytes a row are a colour that the eye knows.
    means = [np.asarray(each["mean"]) / 255 for each in classes]
    colored = all(len(each) == 3 and (each <= 1).all() for each in means)
    in_a_row = min(len(classes), width // (ENTRY if colored else PLAIN_ENTRY))
    band = ROW * -(-len(classes) // in_a_row)
    figure = Figure(figsize=(width / DPI, (height + band) / DPI), dpi=DPI)
    legend = figure.add_axes((0, 0, 1, band / (height + band)))
    legend.set(xlim=(0, width), ylim=(band, 0))
    legend.axis("off")
    for i, each in enumerate(classes):
        row, place = divmod(i, in_a_row)
        at = (place * width / in_a_row, row * ROW)
        _entry(legend, at, each, class_colors(len(classes))[i], means[i] if colored else None)
    figure.figimage(painted, 0, band, origin="upper")
    return figure


def labels_of(path: Path) -> npt.NDArray[Any]:
    """Read a run's labels, whatever their format."""
    if path.suffix == ".tif":
        import rasterio

        with rasterio.open(path) as dataset:
            return np.asarray(dataset.read(1))
    if ".nii" in path.suffixes:
        import nibabel

        return np.asarray(nibabel.load(path).dataobj)
    array: Any = zarr.open_array(path, mode="r")
    return np.asarray(array[:])


def flat(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a map as it is; of a volume the planes through its middle, head up, side by side."""
    if labels.ndim == 2:
        return labels
    planes = [np.rot90(labels.take(n // 2, axis=axis)) for axis, n in enumerate(labels.shape)]
    height = max(plane.shape[0] for plane in planes)
    return np.hstack([np.pad(plane, ((height - len(plane), 0), (0, 0))) for plane in planes])


def _entry(
    legend: Any,
    at: tuple[float, float],
    each: dict[str, Any],
    color: Any,
    mean: npt.NDArray[np.float64] | None,
) -> None:
    """Draw a class's colour on the map, its label and weight, and its mean colour in the data."""
    x, y = at
    legend.add_patch(Rectangle((x + 6, y + 8), 22, 15, facecolor=color / 255))
    text = f"{each['label']}: {each['weight']:.0%}" + (", mean" if mean is not None else "")
    legend.text(x + 34, y + 15.5, text, va="center", fontsize=9)
    if mean is not None:
        legend.add_patch(
            Rectangle((x + 128, y + 8), 22, 15, facecolor=mean, edgecolor="black", linewidth=0.5)
        )


def main(arguments: list[str] | None = None) -> int:
    """Draw the pictures of the run directories that are named."""
    for run_dir in map(Path, sys.argv[1:] if arguments is None else arguments):
        file, output = io.BytesIO(), FOLDER / f"{run_dir.name}-classes.png"
        draw(run_dir).savefig(file, dpi=DPI, facecolor="white")
        # The map has K colours; 64 leave room for smooth letters, at a third of the size.
        picture = Image.open(file).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        FOLDER.mkdir(parents=True, exist_ok=True)
        picture.save(output, optimize=True)
        print(f"{output}: {output.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
