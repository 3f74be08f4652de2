"""``dask-gmm demo``: from an installed package to a report, with a real picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zarr

from dask_gmm.data import extras
from dask_gmm.run.cli import main as dask_gmm
from dask_gmm.run.demo import ARRAY, CONFIG, configuration

# The whole picture, in a fit of a moment.
QUICK = """
version: 1
name: mine
run_dir: runs/mine
source: {kind: zarr, path: data/blue-marble.zarr}
model: {n_components: 2, n_init: 1, max_iter: 2}
outputs: {labels: {path: labels.zarr}}
cluster: {kind: threads, n_workers: 2}
"""


def test_the_configuration_that_is_written_is_the_repositorys():
    # Two files, since a wheel holds the package alone.
    assert configuration() == (Path(__file__).parents[2] / "configs" / CONFIG).read_text()


def test_a_configuration_that_is_there_is_carried_out_as_it_is(tmp_path, capsys):
    pytest.importorskip("mpl_toolkits.basemap_data", reason="the demo extra is not installed")
    (tmp_path / CONFIG).write_text(QUICK)
    assert dask_gmm(["demo", "-C", str(tmp_path), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["name"] == "mine"
    assert (tmp_path / "runs/mine/report.html").exists()
    assert zarr.open_array(tmp_path / ARRAY, mode="r").shape == (2700, 5400, 3)
    assert (tmp_path / CONFIG).read_text() == QUICK


def test_without_its_extra_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    def absent(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(extras.importlib, "import_module", absent)
    assert dask_gmm(["demo", "-C", str(tmp_path)]) == 2
    assert "pip install 'dask-gmm[demo]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
