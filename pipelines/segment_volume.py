"""Segment a volume: ``python -m pipelines.segment_volume CONFIG``.

Brings what a configuration reads to where it reads it, if it is one of those below and is not there
yet, and carries the configuration out. An MRI volume and an ocean's climatology come from packages
of Debian, a microscope's stack is drawn.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import zarr

from dask_gmm.errors import InputDataError
from dask_gmm.run.cli import main as dask_gmm
from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code

#: Files of Debian's packages: where they lie once installed, and the package.
FILES = {
    "ch2better.nii.gz": ("/usr/share/mricron/templates", "mricron-data"),
    "levitus_climatology.cdf": ("/usr/share/ferret-vis/data", "ferret-datasets"),
}
#: Of the stack that is drawn: channels, and its axes z, y, x.
CHANNELS, SHAPE, CHUNKS = ("nuclei", "membrane", "noise"), (16, 512, 512), (1, 8, 256, 256)


def main(arguments: Sequence[str]) -> int:
    """Bring the input and segment it; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m pipelines.segment_volume CONFIG", file=sys.stderr)
        return 2
    return exit_code(lambda: bring(arguments[0])) or dask_gmm(["run", arguments[0]])


def bring(config: str) -> None:
    """Bring what a configuration reads, where it is known and not there."""
    path = Path(str(load_config(config).source.path))
    if path.name in FILES and not path.exists():
        folder, package = FILES[path.name]
        if not Path(folder, path.name).exists():
            raise InputDataError(
                f"{folder}/{path.name}: does not exist; it comes with Debian's package {package}: "
                f"apt-get install {package}"
            )
        _appear(path, lambda way: shutil.copyfile(Path(folder, path.name), way))
    elif path.name == "cells.ome.zarr" and not path.exists():
        _appear(path, draw_cells)


def draw_cells(path: Path) -> None:
    """Draw a stack of cells with nuclei and membranes, as OME-Zarr 0.5."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in SHAPE), indexing="ij")
    distance = np.full(SHAPE, np.inf, np.float32)  # to the nearest cell's centre
    for centre in rng.uniform((2, 0, 0), (14, SHAPE[1], SHAPE[2]), size=(40, 3)):
        squares = (3 * (z - centre[0])) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        np.minimum(distance, np.sqrt(squares), out=distance)
    nucleus, membrane = distance < 14, np.abs(distance - 30) < 4
    noise = rng.normal(scale=12, size=(len(CHANNELS), *SHAPE))
    light = np.stack([20 + 150 * nucleus, 25 + 140 * membrane, np.full(SHAPE, 60)]) + noise
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.5, 0.5, 0.5]}]
    image = {
        "version": "0.5",
        "multiscales": [
            {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
        ],
        "omero": {"channels": [{"label": name} for name in CHANNELS]},
    }
    group = zarr.create_group(str(path), zarr_format=3, attributes={"ome": image})
    array = group.create_array(
        "0", shape=light.shape, chunks=CHUNKS, dtype="u1", dimension_names=list("czyx")
    )
    array[...] = np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _appear(path: Path, write: Callable[[Path], object]) -> None:
    """Let a file or folder appear under its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    way = path.with_name(f".{path.name}.partial")
    shutil.rmtree(way, ignore_errors=True)
    write(way)
    way.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
