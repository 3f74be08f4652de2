"""Loading a configuration: what is taken, and the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from dask_gmm.run.config import config_schema, load_config

ROOT = Path(__file__).parents[3]

MINIMAL = """\
version: 1
name: test
run_dir: runs/{name}
source:
  kind: zarr
  path: data/picture.zarr
model:
  n_components: 3
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_configuration_loads(path):
    assert load_config(path).name == path.stem


def test_blue_marble_is_the_main_job():
    config = load_config(ROOT / "configs" / "blue-marble.yaml")
    assert config.run_dir == "runs/blue-marble"
    assert config.source.path == "data/blue-marble.zarr"
    assert (config.model.n_components, config.model.covariance_type) == (6, "full")
    assert (config.model.n_init, config.standardize) == (4, True)
    assert (config.cluster.kind, config.cluster.n_workers) == ("local", 2)
    assert config.cluster.memory_limit == 2 * 1024**3
    assert list(config.outputs.written()) == ["labels", "probabilities", "uncertainty"]


def test_defaults_are_the_contracts(path):
    assert load_config(path).redacted() == {
        "version": 1,
        "name": "test",
        "run_dir": "runs/{name}",
        "source": {
            "kind": "zarr",
            "path": "data/picture.zarr",
            "variable": None,
            "feature_axis": -1,
            "columns": None,
            "weights": None,
            "mask": None,
            "nodata": "auto",
            "on_invalid": "mask",
            "missing_chunks": "error",
            "storage_options": {},
        },
        "features": None,
        "standardize": True,
        "model": {
            "n_components": 3,
            "covariance_type": "full",
            "n_init": 4,
            "init": "kmeans",
            "tol": "auto",
            "max_iter": 200,
            "reg_covar": "auto",
            "random_state": 0,
        },
        "fit": {
            "sample_rows": "auto",
            "acceleration": "auto",
            "compress": "auto",
            "halving": True,
            "max_passes": None,
        },
        "select": {"criterion": "bic"},
        "smoothing": None,
        "classes": {"order": "weight"},
        "outputs": {
            "labels": None,
            "probabilities": None,
            "uncertainty": None,
            "log_density": None,
            "keep": [],
        },
        "cluster": {
            "kind": "local",
            "n_workers": "auto",
            "adapt": None,
            "threads_per_worker": 1,
            "memory_limit": 2 * 1024**3,
        },
        "if_exists": "resume",
    }


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("model.tol=1e-3", 1e-3),
        ("model.tol=2", 2.0),
        ("model.reg_covar=0", 0.0),
        ("model.random_state=9223372036854775807", 2**63 - 1),
        ("source.feature_axis=bands", "bands"),
        ("source.feature_axis=null", None),
        ("source.nodata=null", None),
        ("source.variable=group/array", "group/array"),
        ("fit.sample_rows=1000", 1000),
        ("fit.max_passes=7", 7),
        ("fit.compress=never", "never"),
        ("fit.acceleration=none", "none"),
        ("cluster.kind=threads", "threads"),
        ("cluster.memory_limit=512MB", 512_000_000),
        ("cluster.memory_limit=1.5 GiB", 1_610_612_736),
        ("cluster.memory_limit=123", 123),
        ("cluster.memory_limit=null", None),
        (
            "outputs.log_density={path: ./deep//log density.zarr/}",
            {"path": "deep/log density.zarr"},
        ),
        ("if_exists=overwrite", "overwrite"),
    ],
)
def test_values_that_are_taken(path, override, value):
    config = load_config(path, overrides=[override])
    for step in override.partition("=")[0].split("."):
        config = getattr(config, step)
    if isinstance(value, dict):
        assert {key: getattr(config, key) for key in value} == value
    else:
        assert config == value
        assert type(config) is type(value)


def test_the_schema_names_every_key():
    schema = config_schema()
    assert set(schema["required"]) == {"version", "name", "run_dir", "source", "model"}
    assert (
        schema["$defs"]["Model"]["properties"]["covariance_type"]["anyOf"][0]["enum"][0] == "full"
    )
    assert schema["additionalProperties"] is False
