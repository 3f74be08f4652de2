"""Every file in configs/ can be loaded, and asks for nothing that this version cannot do."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from zarr import create_array

from dask_gmm.run.config import load_config
from dask_gmm.run.config.yaml_writer import to_yaml
from dask_gmm.run.job import plan_configured
from pipelines.cluster_table import FILES as FILES_OF_TABLE
from pipelines.cluster_table import ROWS as ROWS_OF_FILE
from pipelines.cluster_table import draw_table
from pipelines.market_regimes import DAYS, draw_returns
from pipelines.segment_volume import SHAPE as SHAPE_OF_STACK
from pipelines.segment_volume import draw_cells
from pipelines.speech_frames import put_frames
from pipelines.star_cluster import FIELD, MEMBERS, draw_catalogue
from tests.volumes import write_nifti

FILES = sorted((Path(__file__).parents[1] / "configs").glob("*.y*ml"))


def picture(*shape):
    """Return what writes zeros in the shape and chunks of a picture, and its number of pixels."""

    def write(path):
        options = {"chunks": (512, 1024, 3), "dtype": "u1", "config": {"write_empty_chunks": True}}
        create_array(str(path), shape=(*shape, 3), **options)[...] = 0
        return shape[0] * shape[1]

    return write


def scene(path):
    rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
    size = {"count": 6, "height": 352, "width": 349, "dtype": "uint8"}
    placed = {"crs": "EPSG:31985", "transform": rasterio.Affine(28.5, 0, 0, 0, -28.5, 0)}
    path.parent.mkdir(parents=True)
    with rasterio.open(path, "w", driver="GTiff", **size, **placed):
        pass  # rows of zeros
    return 352 * 349


def table(path):
    draw_table(path)
    return FILES_OF_TABLE * ROWS_OF_FILE


def volume(*shape):
    def write(path):
        write_nifti(path, np.zeros(shape, np.uint8))
        return math.prod(shape)

    return write


def ocean(path):
    """Write two variables of one shape, empty."""
    path.parent.mkdir(exist_ok=True)
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as dataset:
        for dim, n in zip("zyx", (20, 180, 360), strict=True):
            dataset.createDimension(dim, n)
        for name in ("TEMP", "SALT"):
            dataset.createVariable(name, "f4", tuple("zyx"))
    return 20 * 180 * 360


def stack(path):
    path.parent.mkdir(exist_ok=True)
    draw_cells(path)
    return math.prod(SHAPE_OF_STACK)


def photographs(path):
    """Write zeros in the shapes of scikit-learn's two photographs."""
    return picture(427, 640)(path / "china.zarr") + picture(427, 640)(path / "flower.zarr")


def stars(path):
    draw_catalogue(path)
    return MEMBERS + FIELD


def speech(path):
    path.mkdir(parents=True)
    put_frames(path / "quiet.parquet", np.zeros(16_000))
    return 98


def returns(path):
    draw_returns(path)
    return DAYS


#: What a configuration reads: called with its path, each returns the number of rows.
INPUTS = {
    "blue-marble": picture(2700, 5400),
    "shaded-relief": picture(5400, 10800),
    "select-components": picture(2700, 5400),
    "table": table,
    "landsat": scene,
    "texture": scene,
    "mri": volume(301, 370, 316),
    "ocean": ocean,
    "microscopy": stack,
    "photographs": photographs,
    "nightly": picture(300, 400),
    "stars": stars,
    "speech": speech,
    "returns": returns,
}


def test_the_files_are_found():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_loads_and_survives_being_written(path, tmp_path):
    config = load_config(path)
    assert config.name == path.stem
    paths = config.paths(datetime(2026, 11, 23))
    assert paths.run_dir.is_relative_to(Path.cwd() / "runs")
    copy = tmp_path / "config.yaml"
    copy.write_text(to_yaml(config.redacted()))
    assert load_config(copy).hash() == config.hash()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_fits_the_workers_that_it_asks_for(path, tmp_path):
    config = load_config(path, directory=tmp_path)
    n_rows = INPUTS[path.stem](tmp_path / config.source.path)
    plan = plan_configured(config).plan
    assert plan.n_rows == n_rows
    assert plan.fits
