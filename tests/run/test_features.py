"""Features through the command: fitted, kept by the model, applied to other images and chunks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from dask_gmm import GaussianMixture
from dask_gmm.run.config import load_config

from .conftest import Project, blobs

NAMES = {"attributes": {"feature_names": ["red", "green", "nir"]}}
FEATURES = [
    "nir",
    {"ndvi": "(nir - red) / (nir + red)"},
    {"smooth": {"kind": "gaussian", "of": "green", "scale": 1.5}},
    {"kind": "std", "of": "ndvi", "scale": 2},
    {"rank": {"kind": "quantile", "of": "red"}},
]
MADE = ["nir", "ndvi", "smooth", "ndvi_std_2", "rank"]


def scene(seed=0, shape=(40, 60)):
    values = blobs(shape, seed=seed)
    return np.maximum(values, 1)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A finished run with features that look around, over one chunk; a mask over a corner."""
    project = Project(tmp_path_factory.mktemp("features"))
    project.array(scene(), (40, 60, 3), **NAMES)
    mask = np.ones((40, 60), "u1")
    mask[:7, 30:44] = 0
    zarr.create_array(str(project.path / "data/mask.zarr"), data=mask, chunks=(11, 13))
    source = {"mask": {"path": "data/mask.zarr"}}
    config = project.config(source=source, features=FEATURES, standardize=True)
    code, _, err = project.command("run", config)
    assert code == 0, err
    return project


@pytest.fixture
def fitted(once, monkeypatch):
    monkeypatch.chdir(once.path)
    return once


def test_a_run_fits_features_and_the_model_keeps_them(fitted):
    manifest = fitted.manifest()
    assert manifest["feature_names"] == MADE
    assert manifest["inputs"][0]["shape"] == [40, 60, 3]
    assert manifest["fit"]["passes"]["survey"] == 2  # one for the quantiles
    assert manifest["fit"]["compression"]["why_not"].startswith("features of the neighbourhood")
    model = json.loads((fitted.run_dir / "model.json").read_text())
    assert model["feature_names"] == MADE
    kept = model["information"]["features"]
    assert kept["bands"] == ["red", "green", "nir"]
    assert kept["recipes"] == load_config(fitted.run_dir / "config.yaml").redacted()["features"]
    knots, scores = kept["knots"][4]
    assert len(knots) == len(scores) > 50
    labels, values = fitted.output("labels"), fitted.values.astype(float)
    assert (labels == 0).sum() == 7 * 14
    # Labels are what the model says of features that are computed by hand.
    ndvi = (values[..., 2] - values[..., 0]) / (values[..., 2] + values[..., 0])
    mixture = GaussianMixture.load(fitted.run_dir)
    inside = (slice(12, -5), slice(5, -5))
    means = mixture.means_[labels[inside] - 1]
    within = [np.abs(ndvi[inside] - means[..., 1]).mean(), np.abs(ndvi - ndvi.mean()).mean()]
    assert within[0] < within[1]


def test_labels_are_those_of_one_chunk_for_every_chunking(fitted, dask_gmm):
    """The image ten times, each in other chunks, as ten inputs: each has the same results."""
    seed = 20
    rng = np.random.default_rng(seed)
    for attempt in range(10):
        chunks = tuple(int(rng.integers(6, n + 1)) for n in (40, 60))
        print(f"seed {seed}, chunks {chunks}")
        fitted.array(scene(), (*chunks, 3), path=f"data/cuts/{attempt}.zarr", **NAMES)
    source = {"path": "data/cuts/*.zarr", "mask": {"path": "data/mask.zarr"}}
    config = fitted.config(name="cut.yaml", run_dir="runs/cut", source=source)
    code, _, err = dask_gmm("predict", "runs/toy", config)
    assert code == 0, err
    for name in ("labels", "probabilities", "uncertainty", "log_density"):
        for attempt in range(10):
            path = fitted.path / f"runs/cut/{name}.zarr/{attempt}.zarr"
            found = zarr.open_array(str(path), mode="r")[...]
            np.testing.assert_array_equal(found, fitted.output(name))


def test_another_image_gets_the_same_features_by_the_names_of_its_bands(fitted, dask_gmm):
    other = scene(seed=4, shape=(30, 33))
    fitted.array(other, (16, 33, 3), path="data/other.zarr", **NAMES)
    more = np.concatenate([other[..., 2:], other[..., :2], other[..., :1]], axis=-1)
    names = {"attributes": {"feature_names": ["nir", "red", "green", "blue"]}}
    fitted.array(more, (9, 12, 4), path="data/more.zarr", **names)
    for name in ("other", "more"):
        config = fitted.config(
            name=f"{name}.yaml", run_dir=f"runs/{name}", source={"path": f"data/{name}.zarr"}
        )
        code, _, err = dask_gmm("predict", "runs/toy", config)
        assert code == 0, err
    found = [fitted.output("labels", fitted.path / f"runs/{name}") for name in ("other", "more")]
    np.testing.assert_array_equal(*found)
    assert set(np.unique(found[0])) == {1, 2, 3}
    code, _, err = dask_gmm("verify", "runs/other")
    assert code == 0, err


def test_an_image_without_a_band_is_refused_and_so_are_other_features(fitted, dask_gmm):
    names = {"attributes": {"feature_names": ["red", "green", "nirr"]}}
    fitted.array(scene(), (20, 20, 3), path="data/other.zarr", **names)
    config = fitted.config(name="o.yaml", run_dir="runs/o", source={"path": "data/other.zarr"})
    code, _, err = dask_gmm("predict", "runs/toy", config)
    assert code == 2
    assert "there is no band 'nir'; data/other.zarr has the bands red, green, nirr" in err
    assert "did you mean 'nirr'?" in err
    config = fitted.config(name="o.yaml", run_dir="runs/o", features=["nir"])
    code, _, err = dask_gmm("predict", "runs/toy", config)
    assert code == 2
    assert "features: runs/toy is a model of other features; remove the key" in err


def test_many_inputs_have_features_of_their_own_neighbours(project, dask_gmm):
    for seed in range(2):
        project.array(scene(seed), (16, 25, 3), path=f"data/{seed}.zarr", **NAMES)
    source = {"path": ["data/0.zarr", "data/1.zarr"]}
    config = project.config(source=source, features=FEATURES, standardize=True)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    for seed in range(2):
        one = project.config(
            name="one.yaml", run_dir=f"runs/{seed}", source={"path": f"data/{seed}.zarr"}
        )
        code, _, err = dask_gmm("predict", "runs/toy", one)
        assert code == 0, err
        alone = project.output("labels", project.path / f"runs/{seed}")
        together = zarr.open_array(str(project.run_dir / f"labels.zarr/{seed}.zarr"), mode="r")
        np.testing.assert_array_equal(alone, together[...])


def test_colours_of_a_picture_are_counted_as_its_pixels_are(project, dask_gmm):
    colors = np.array([[200, 30, 40], [20, 180, 60], [90, 90, 220]], "u1")
    image = colors[np.random.default_rng(0).integers(0, 3, (60, 50))]
    image = image + np.random.default_rng(1).integers(0, 3, (60, 50, 1)).astype("u1")
    project.array(image, (20, 50, 3))
    config = project.config(features=[{"kind": "lab", "of": [0, 1, 2]}])
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    manifest = project.manifest()
    assert manifest["feature_names"] == ["L", "a", "b"]
    assert manifest["fit"]["compression"]["used"]
    assert manifest["fit"]["compression"]["distinct_rows"] == 9


def test_a_division_by_zero_is_counted_or_refused(project, dask_gmm):
    values = scene()
    values[3, 4] = values[20, 30] = 0
    project.array(values, (20, 20, 3), **NAMES)
    features = [{"ndvi": "(nir - red) / (nir + red)"}, {"kind": "log", "of": "green + 1"}]
    config = project.config(features=features)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    manifest = project.manifest()
    assert manifest["rows"]["invalid"] == 2
    assert any("divide by 0" in each for each in manifest["warnings"])
    labels = project.output("labels")
    assert labels[3, 4] == labels[20, 30] == 0
    assert (labels == 0).sum() == 2
    config = project.config(features=features, source={"on_invalid": "error"})
    code, _, err = dask_gmm("run", config, "--set", "run_dir=runs/strict")
    assert code == 3
    assert "2 of 2,400 rows hold NaN" in err
    assert "the first at (3, 4)" in err
    assert "divide by 0" in err


def test_a_table_has_features_of_single_rows(project, dask_gmm):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = scene().reshape(-1, 3)
    table = pa.table({"red": rows[:, 0], "nir": rows[:, 2], "id": np.arange(len(rows))})
    (project.path / "data").mkdir(exist_ok=True)
    pq.write_table(table, project.path / "data/t.parquet", row_group_size=700)
    config = project.config(
        source={"kind": "parquet", "path": "data/t.parquet", "columns": ["red", "nir"]},
        features=["red", {"ndvi": "(nir - red) / (nir + red)"}, {"kind": "quantile", "of": "nir"}],
        outputs={
            "labels": {"path": "out"},
            "probabilities": None,
            "uncertainty": None,
            "log_density": None,
            "keep": ["id"],
        },
        standardize=True,
    )
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    assert project.manifest()["feature_names"] == ["red", "ndvi", "nir_quantile"]
    found = pq.read_table(project.run_dir / "out")
    assert found["id"].to_pylist() == list(range(len(rows)))
    assert set(found["label"].to_pylist()) == {1, 2, 3}
    config = project.config(
        name="around.yaml",
        source={"kind": "parquet", "path": "data/t.parquet", "columns": ["red", "nir"]},
        features=[{"kind": "std", "of": "red", "scale": 2}],
        outputs=dict.fromkeys(("labels", "probabilities", "uncertainty", "log_density")),
    )
    code, _, err = dask_gmm("validate", config)
    assert code == 2
    assert "is a table, whose rows have no place beside each other" in err


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([{"a": "(nirr - red) / red"}], "features.0 (a): there is no band 'nirr'"),
        ([{"a": "NIR - red"}], "did you mean 'nir'?"),
        (["red", "blue"], "features.1: there is no band 'blue'"),
        ([3], "features.0: found band 3, but data/toy.zarr has 3 bands; allowed: 0 to 2"),
        ([{"a": "1 + 2"}], "names no band"),
        (["red", "red"], "'red' is the name of a feature before it"),
        ([{"red": "nir / 2"}], "'red' is the name of a band"),
        ([{"a": "b"}, {"b": "red"}], "features.0 (a): there is no band 'b'"),
        ([{"a": {"kind": "gaussian", "of": "red", "scale": 41}}], "scale 41 is larger than"),
        ([{"a": {"kind": "std", "of": "red", "scale": [2]}}], "scale has 1 numbers"),
        ([{"kind": "coordinates", "unit": "geometry"}], "does not say how far apart"),
        (
            [{"kind": "quantile", "of": "red"}, {"kind": "quantile", "of": "red_quantile"}],
            "the quantile of a quantile",
        ),
        ([{"a": "log(red)"}], "features.0.a: found 'log(red)'; allowed numbers, names of bands"),
        ([{"a": "red.real"}], "at column 1 stands an attribute, .real"),
        ([{"a": {"kind": "gausian", "of": "red"}}], "features.0.a.kind: found 'gausian'; allowed"),
        ([{"a": {"kind": "std", "of": "red"}}], "scale is missing"),
        ([], "features: found a list of length 0; allowed a list of features"),
        ("red", "features: found 'red'; allowed"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(project, dask_gmm, features, words):
    project.array(scene(), (20, 30, 3), **NAMES)
    config = project.config(features=features)
    code, _, err = dask_gmm("validate", config)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_an_image_may_be_smaller_than_the_halo(project, dask_gmm):
    project.array(scene(shape=(5, 300)), (3, 40, 3), **NAMES)
    features = ["red", {"kind": "gaussian", "of": "nir", "scale": 4}]
    code, _, err = dask_gmm("run", project.config(features=features))
    assert code == 0, err


def test_the_plan_counts_the_halo(project, dask_gmm):
    project.array(np.ones((600, 600, 3), "u1"), (300, 300, 3), **NAMES)
    needs = []
    for scale in (1, 100):
        features = [{"kind": "mean", "of": "red", "scale": scale}]
        code, out, err = dask_gmm("plan", project.config(features=features), "--json")
        assert code == 0, err
        needs.append(json.loads(out)["worker_bytes"])
    assert needs[1] > needs[0]
