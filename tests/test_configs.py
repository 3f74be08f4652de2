"""Every file in configs/ can be loaded, and asks for nothing that this version cannot do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from zarr import create_array

from dask_gmm.run.config import load_config
from dask_gmm.run.config.yaml_writer import to_yaml
from dask_gmm.run.job import plan_configured

FILES = sorted((Path(__file__).parents[1] / "configs").glob("*.y*ml"))
#: Shape, chunks and type of what a configuration reads.
INPUTS = {"blue-marble": ((2700, 5400, 3), (512, 1024, 3), "u1")}


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
    shape, chunks, dtype = INPUTS[path.stem]
    array = create_array(
        str(tmp_path / config.source.path), shape=shape, chunks=chunks, dtype=dtype,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    array[...] = 0
    plan = plan_configured(config).plan
    assert plan.n_rows == shape[0] * shape[1]
    assert plan.fits
