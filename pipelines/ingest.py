"""Bring pictures into Zarr: ``python -m pipelines.ingest FOLDER PICTURE [PICTURE ...]``.

Every picture becomes FOLDER/NAME.zarr, ready for a configuration's ``source.path``; one that cannot
be read is named, and the others go on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dask_gmm.data.ingest import ingest_image
from dask_gmm.errors import DaskGmmError


def main(arguments: Sequence[str]) -> int:
    """Ingest pictures; return the exit code of the last one that failed, or 0."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder, *pictures = (Path(argument) for argument in arguments)
    code = 0
    for picture in pictures:
        target = folder / f"{picture.stem}.zarr"
        try:
            manifest = ingest_image(picture, target)
        except DaskGmmError as error:
            print(f"error: {error}", file=sys.stderr)
            code = error.exit_code
            continue
        shape = " x ".join(str(n) for n in manifest.shape)
        print(f"{target}: {shape}, {manifest.n_cells} chunks")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
