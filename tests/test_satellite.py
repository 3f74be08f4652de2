"""The satellite scene, end to end: its CRS and transform come back identical."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dask_gmm.data.sources import open_source
from pipelines import satellite

from .data.test_geotiff import rasterio, write

ROOT = Path(__file__).parents[1]
CONFIG = (ROOT / satellite.CONFIG).read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = CONFIG.replace("{kind: local, n_workers: 2, memory_limit: 2GiB}", "{kind: threads}")
    assert small != CONFIG
    (tmp_path / "small.yaml").write_text(small)
    return tmp_path


def check(run_dir, scene):
    """Compare what lies where with rasterio, and count the classes' pixels."""
    manifest = json.loads((run_dir / "manifest.json").read_text())
    with rasterio.open(scene) as given:
        for name in ("labels", "probabilities", "uncertainty"):
            with rasterio.open(run_dir / f"{name}.tif") as result:
                assert result.crs == given.crs
                assert result.crs.to_wkt() == given.crs.to_wkt()
                assert result.transform == given.transform
                assert result.bounds == given.bounds
                assert result.shape == given.shape
        with rasterio.open(run_dir / "labels.tif") as result:
            counted = np.bincount(result.read(1).ravel(), minlength=7)
    assert [each["rows"] for each in manifest["classes"]] == counted[1:].tolist()
    return manifest


def test_a_scene_is_brought_and_segmented(folder, monkeypatch, capsys):
    values = np.random.default_rng(0).normal(100, 12, (6, 60, 70))
    values += 40 * (np.arange(70) // 24)
    write(folder / "package.tif", values.astype("u1"))
    monkeypatch.setattr(satellite, "INSTALLED", folder / "package.tif")
    assert satellite.main(["small.yaml"]) == 0, capsys.readouterr().err
    check(folder / "runs/landsat", folder / "package.tif")


def test_where_there_is_no_scene_that_is_said(folder, monkeypatch, capsys):
    monkeypatch.setattr(satellite, "INSTALLED", folder / "nothing.tif")
    monkeypatch.setattr(satellite, "PACKAGE", "no-such-package-of-dask-gmm")
    assert satellite.main(["small.yaml"]) == 3
    assert "no-such-package-of-dask-gmm cannot be fetched" in capsys.readouterr().err


def test_landsat_itself(folder, capsys):
    """The sea is found: the class of least near infrared, 4 of the 6 bands dark."""
    scene = next((p for p in (satellite.INSTALLED, ROOT / satellite.SCENE) if p.exists()), None)
    if scene is None:
        pytest.skip("needs Debian's r-cran-stars, or python -m pipelines.satellite run before")
    (folder / "data").mkdir()
    shutil.copyfile(scene, folder / satellite.SCENE)
    assert satellite.main(["small.yaml"]) == 0, capsys.readouterr().err
    manifest = check(folder / "runs/landsat", scene)
    assert manifest["inputs"][0]["geometry"]["pixel"] == {
        "size": pytest.approx(28.5**2),
        "unit": "metre^2",
    }
    sea = min(manifest["classes"], key=lambda each: each["mean"][3])
    assert 0.1 < sea["weight"] < 0.2
    with rasterio.open(folder / "runs/landsat/labels.tif") as result:
        labels = result.read(1)
    assert (labels[-60:, -60:] == sea["label"]).mean() > 0.95  # the south-east is the Atlantic
    assert open_source("geotiff", str(scene)).feature_names == tuple(f"B{i}" for i in range(1, 7))
