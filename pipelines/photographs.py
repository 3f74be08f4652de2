"""One model for a folder of photographs: ``python -m pipelines.photographs CONFIG [PICTURE ...]``.

Pictures (by default the two that come with scikit-learn) are ingested into the folder that CONFIG
reads; then one model is fitted to all of them, and each gets a map of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from dask_gmm.data.ingest import ingest_image
from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured


def main(arguments: Sequence[str]) -> int:
    """Ingest and segment; return the exit code, whatever the end."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return exit_code(lambda: segment(*arguments))


def segment(path: str, *pictures: str) -> None:
    """Ingest pictures, fit one model, and print what each picture consists of."""
    config = load_config(path)
    folder = Path(str(config.source.path))
    own = files("sklearn.datasets") / "images"
    for picture in pictures or [str(own / name) for name in ("china.jpg", "flower.jpg")]:
        ingest_image(picture, folder / f"{Path(picture).stem}.zarr")
    outcome = run_configured(config)
    for each in outcome.manifest["inputs"]:
        print(f"{each['name']}: {each['rows']['used']:,} of {each['rows']['total']:,} pixels used")
    print(outcome.run_dir / "report.html")
    outcome.require_every_input()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
