"""A first configuration from a look at data: it is taken, it says what was seen, loses nothing."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dask_gmm.run import looking, starting
from dask_gmm.run.config import load_config
from dask_gmm.run.starting import name_of

from .conftest import blobs


@pytest.fixture
def init(project, dask_gmm, monkeypatch):
    """Call init, and return what it wrote as it is read, its text and what was said."""
    monkeypatch.setattr(looking, "TRIED", (1, 2, 3, 4))  # the others take their time

    def call(*arguments, name="job.yaml"):
        code, out, err = dask_gmm("init", name, *arguments)
        assert code == 0, err
        return load_config(name), (project.path / name).read_text(), out

    return call


def test_a_picture_in_zarr(picture, init, dask_gmm):
    config, text, out = init("--from", "data/toy.zarr")
    assert text.startswith("# yaml-language-server: $schema=dask-gmm.schema.json\n")
    assert config.source.kind == "zarr"
    assert config.source.feature_axis == -1
    assert 3 in config.model.n_components  # there are three groups
    assert config.outputs.labels.path == "labels.zarr"
    assert "dask-gmm run job.yaml" in out
    assert "2,400 rows in 3 features" in out
    schema = json.loads((picture.path / "dask-gmm.schema.json").read_text())
    assert "n_components" in json.dumps(schema)
    alone = ("--set", "cluster={kind: threads, n_workers: 1}", "--set", "model.n_components=3")
    assert dask_gmm("run", "job.yaml", *alone)[0] == 0
    assert (picture.path / "runs/toy/labels.zarr").exists()


def test_nothing_is_overwritten(picture, dask_gmm):
    (picture.path / "job.yaml").write_text("mine")
    code, out, err = dask_gmm("init", "--from", "data/toy.zarr")
    assert (code, out) == (2, "")
    assert err == (
        "error: job.yaml: exists, and init overwrites nothing; name another file, or move it away\n"
    )
    assert (picture.path / "job.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--from", "nowhere.zarr"), 3, "nowhere.zarr: does not exist; correct the path"),
        (("--from", "notes.txt"), 2, "say it by --kind: zarr"),
        (("--from", "data/toy.zarr", "--kind", "raster"), 2, "--kind: found 'raster'; allowed"),
        (("--from", "data/toy.zarr", "--variable", "red"), 2, "is itself an array"),
        ((), 2, "dask-gmm init --from DATA"),
    ],
)
def test_what_cannot_be_looked_at(picture, dask_gmm, arguments, code, words):
    (picture.path / "notes.txt").write_text("words")
    found, out, err = dask_gmm("init", *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (picture.path / "job.yaml").exists()


def test_formats_and_features_are_told_by_name_and_shape(project, init):
    generator = np.random.default_rng(0)
    values = blobs((64, 80))
    np.save("plane.npy", generator.normal(size=(64, 80)))
    np.save("first.npy", np.moveaxis(values, -1, 0))
    np.save("table.npy", generator.normal(size=(500, 5)))
    Image.fromarray(values).save("picture.png")
    columns = {"id": np.arange(500), "a": generator.normal(size=500), "b": np.ones(500)}
    pq.write_table(pa.table(columns), "rows.parquet")
    seen = {}
    for name in ("plane.npy", "first.npy", "table.npy", "picture.png", "rows.parquet"):
        config, text, _ = init("--from", name, name=f"{name}.yaml")
        seen[name] = config.source.kind, config.source.feature_axis
        assert config.name == name.partition(".")[0]
    assert seen == {
        "plane.npy": ("npy", None),
        "first.npy": ("npy", 0),
        "table.npy": ("npy", -1),
        "picture.png": ("image", -1),
        "rows.parquet": ("parquet", -1),
    }
    assert load_config("rows.parquet.yaml").source.columns == ("id", "a", "b")
    assert "take out what is no measurement" in text


def test_a_frame_and_a_mask_beside_the_data_are_proposed_and_not_decided(project, init):
    values = blobs((40, 60)).astype("f4")
    values[:, :10] = 0
    values[:3, 20] = np.nan
    np.save("scene.npy", values)
    np.save("scene-mask.npy", np.ones((40, 60), "u1"))
    np.save("mask-of-another.npy", np.ones((3, 3), "u1"))
    config, text, out = init("--from", "scene.npy")
    assert config.source.nodata == "auto"
    assert config.source.mask is None
    assert "  # nodata: 0\n" in text
    assert "  # mask: {path: scene-mask.npy, keep: nonzero}" in text
    assert "mask-of-another" not in text
    assert "are 0 in every feature" in out
    assert "hold NaN or infinity, and will be masked" in out


def test_what_a_worker_holds_follows_the_chunks(project, init, monkeypatch):
    monkeypatch.setattr(starting, "FIRST_LIMIT", 450 << 20)
    np.save("large.npy", np.zeros((1000, 1000, 8), "f4") + np.arange(8, dtype="f4"))
    config, _, _ = init("--from", "large.npy")
    assert config.cluster.memory_limit > 450 << 20


def test_names_are_names_and_odd_paths_are_quoted(project, init):
    assert name_of("s3://bucket/My scene: 1.zarr/") == "My-scene--1"
    assert name_of("*.tif") == "run"
    (project.path / "odd 'dir: #1").mkdir()
    np.save("odd 'dir: #1/a b.npy", blobs((20, 30)))
    config, _, _ = init("--from", "odd 'dir: #1/a b.npy")
    assert config.source.path == "odd 'dir: #1/a b.npy"
    assert config.name == "a-b"


def test_a_terminal_is_asked(picture, monkeypatch):
    answers = iter(["data/toy.zarr", "mine", 4])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(starting.click, "prompt", lambda *a, **o: next(answers))
    monkeypatch.setattr(starting.click, "confirm", lambda *a, **o: True)
    begun = starting.begin(None, picture.path / "job.yaml", starting.asked())
    config = load_config("job.yaml")
    assert begun.plan.n_rows == 2400
    assert (config.name, config.model.n_components) == ("mine", 4)
    assert config.outputs.probabilities is not None
