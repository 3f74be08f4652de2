"""A satellite scene, end to end: ``python -m pipelines.satellite [CONFIG]``.

Brings a Landsat 7 scene (Olinda in Brazil, six bands of 352 x 349 pixels) to ``data/landsat.tif``
and carries out ``configs/landsat.yaml``. It is the example of the R package stars (Apache-2),
which Debian has as ``r-cran-stars``: it is copied from there where that is installed, and else
taken out of the package, which ``apt-get download`` brings without installing it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dask_gmm.errors import InputDataError
from dask_gmm.run.cli import main as dask_gmm
from dask_gmm.run.exits import exit_code

CONFIG = "configs/landsat.yaml"
SCENE = Path("data/landsat.tif")
PACKAGE, INSTALLED = "r-cran-stars", Path("/usr/lib/R/site-library/stars/tif/L7_ETMs.tif")


def main(arguments: Sequence[str]) -> int:
    """Bring the scene and segment it; return the exit code."""
    config = arguments[0] if arguments else CONFIG
    return exit_code(bring) or dask_gmm(["run", config])


def bring() -> None:
    """Put the scene at its place, unless it is there.

    Raises
    ------
    InputDataError
        If the package is not installed and cannot be fetched.
    """
    if SCENE.exists():
        return
    SCENE.parent.mkdir(parents=True, exist_ok=True)
    if INSTALLED.exists():
        _put(INSTALLED)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            _run("apt-get", "download", PACKAGE, folder=folder)
            (package,) = Path(folder).glob("*.deb")
            _run("dpkg-deb", "-x", str(package), ".", folder=folder)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise InputDataError(
                f"{INSTALLED}: is not there, and Debian's package {PACKAGE} cannot be fetched "
                f"({error}); install it, or copy a GeoTIFF of yours to {SCENE}"
            ) from error
        _put(Path(folder, *INSTALLED.parts[1:]))


def _run(*command: str, folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _put(scene: Path) -> None:
    beside = SCENE.with_suffix(".partial")
    shutil.copyfile(scene, beside)
    beside.replace(SCENE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
