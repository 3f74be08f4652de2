"""What a run writes is what the contract says, whatever the input's shape, type and layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from dask_gmm import GaussianMixture
from dask_gmm.run.config import load_config
from dask_gmm.run.quicklook import MOST_MAPS

from .conftest import blobs


def check_outputs(project, values, mask=None):
    """Check every output against the saved model; ``values`` (..., D) as the model sees them."""
    leading, D = values.shape[:-1], values.shape[-1]
    model = GaussianMixture.load(project.run_dir)
    K = len(model.weights_)
    taken = np.ones(leading, bool) if mask is None else ~mask
    labels, probabilities, uncertainty, density = (
        project.output(name) for name in ("labels", "probabilities", "uncertainty", "log_density")
    )
    assert labels.shape == uncertainty.shape == density.shape == leading
    assert probabilities.shape == (*leading, K)
    assert labels.dtype == np.min_scalar_type(K)
    assert (probabilities.dtype, uncertainty.dtype) == (np.float32, np.float32)
    rows = values[taken].reshape(-1, D).astype(np.float64)
    np.testing.assert_array_equal(labels[taken], model.predict(rows) + 1)
    assert (labels[~taken] == 0).all()
    for array in (probabilities, uncertainty, density):
        assert np.isnan(array[~taken]).all()
        assert np.isfinite(array[taken]).all()
    p = model.predict_proba(rows)
    np.testing.assert_allclose(probabilities[taken], p, atol=1e-6)
    np.testing.assert_allclose(probabilities[taken].sum(axis=-1), 1.0, atol=1e-5)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1) / np.log(max(K, 2))
    np.testing.assert_allclose(uncertainty[taken], entropy, atol=1e-5)
    np.testing.assert_allclose(density[taken], model.score_samples(rows), rtol=1e-9, atol=1e-9)
    manifest = project.manifest()
    assert manifest["rows"]["used"] == taken.sum()
    counts = [each["rows"] for each in manifest["classes"]]
    assert counts == np.bincount(labels[taken], minlength=K + 1)[1:].tolist()
    weights = [each["weight"] for each in manifest["classes"]]
    assert weights == sorted(weights, reverse=True)
    return manifest


LAYOUTS = {
    "picture": ((40, 60, 3), (20, 24, 3), -1, {}),
    "one chunk": ((40, 60, 3), (40, 60, 3), -1, {}),
    "features first": ((3, 40, 60), (3, 20, 24), 0, {}),
    "features cut": ((40, 60, 4), (20, 24, 3), -1, {}),
    "features in the middle": ((40, 3, 60), (20, 3, 24), 1, {}),
    "table": ((2000, 3), (300, 3), -1, {}),
    "volume": ((10, 16, 20, 2), (4, 16, 7, 2), -1, {}),
    "stack of pictures": ((5, 3, 20, 30), (1, 3, 20, 30), 1, {}),
    "one feature, no axis": ((40, 60), (20, 24), None, {}),
    "one column": ((2000, 1), (300, 1), -1, {}),
    "format 2": ((40, 60, 3), (20, 24, 3), -1, {"zarr_format": 2}),
    "sharded": ((40, 60, 3), (10, 12, 3), -1, {"shards": (20, 24, 3)}),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_outputs_agree_with_the_saved_model(project, dask_gmm, layout):
    shape, chunks, axis, options = layout
    values = blobs(shape if axis is None else tuple(np.delete(shape, axis)), 1)
    if axis is not None:
        values = blobs(tuple(np.delete(shape, axis)), shape[axis])
    stored = values[..., 0] if axis is None else np.moveaxis(values, -1, axis)
    project.array(stored, chunks, **options)
    code, _, err = dask_gmm("run", project.config(source={"feature_axis": axis}))
    assert code == 0, err
    manifest = check_outputs(project, values)
    assert manifest["inputs"][0]["shape"] == list(shape)


@pytest.mark.parametrize("dtype", ["i2", "u2", "f4", "f8", ">f4", "?"])
def test_values_of_any_type(project, dask_gmm, dtype):
    values = blobs((30, 40), 2, dtype="f8") > 100 if dtype == "?" else blobs((30, 40), dtype=dtype)
    project.array(values, (15, 20, values.shape[-1]))
    code, _, err = dask_gmm("run", project.config(model={"n_components": 2}))
    assert code == 0, err
    check_outputs(project, values.astype("u1") if dtype == "?" else values)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("standardize", [True, False])
def test_all_families(picture, dask_gmm, family, standardize):
    config = picture.config(model={"covariance_type": family}, standardize=standardize)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    manifest = check_outputs(picture, picture.values)
    assert manifest["model"]["covariance_type"] == family


def test_rows_that_are_not_finite_are_masked(project, dask_gmm):
    values = blobs((40, 60), dtype="f4")
    values[3, 4, 1] = np.nan
    values[30:, 50:, 0] = np.inf
    values[:5, :24] = np.nan
    project.array(values, (5, 24, 3))  # one chunk holds nothing but NaN
    mask = ~np.isfinite(values).all(axis=-1)
    code, out, err = dask_gmm("run", project.config())
    assert code == 0, err
    manifest = check_outputs(project, np.nan_to_num(values), mask)
    assert manifest["rows"] == {
        "total": 2400,
        "used": 2400 - mask.sum(),
        "masked": mask.sum(),
        "invalid": mask.sum(),
        "nodata": 0,
    }
    said = f"{mask.sum():,} of 2,400 rows hold NaN or infinity and were masked"
    assert said in manifest["warnings"][0]
    assert said in out


def test_a_sample_is_drawn_again_where_few_rows_take_part(project, dask_gmm):
    values = np.full((200, 300, 3), np.nan, "f4")
    values[:20, :30] = blobs((20, 30), dtype="f4")
    project.array(values, (50, 100, 3))
    code, _, err = dask_gmm("run", project.config(fit={"sample_rows": 500}))
    assert code == 0, err
    manifest = check_outputs(project, np.nan_to_num(values), np.isnan(values[..., 0]))
    assert manifest["fit"]["passes"]["survey"] == 2
    assert manifest["fit"]["sample_rows"] == 500


def test_one_component(picture, dask_gmm):
    code, _, err = dask_gmm("run", picture.config(model={"n_components": 1}))
    assert code == 0, err
    check_outputs(picture, picture.values)
    model = GaussianMixture.load(picture.run_dir)
    rows = picture.values.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(model.means_[0], rows.mean(axis=0), rtol=1e-12)
    assert (picture.output("uncertainty") == 0).all()


def test_labels_of_many_components_have_a_wider_type(project, dask_gmm):
    values = np.random.default_rng(0).normal(size=(3000, 1))
    project.array(values, (1000, 1))
    model = {"n_components": 256, "covariance_type": "spherical", "max_iter": 2, "n_init": 1}
    code, _, err = dask_gmm("run", project.config(model=model))
    assert code == 0, err
    assert project.output("labels").dtype == np.uint16
    check_outputs(project, values)


def test_an_image_of_more_classes_than_the_report_maps(picture, dask_gmm):
    model = {"n_components": MOST_MAPS + 3, "max_iter": 2, "n_init": 1}
    code, _, err = dask_gmm("run", picture.config(model=model))
    assert code == 0, err
    maps = list((picture.run_dir / "figures").glob("1-p-*.png"))
    assert len(maps) == MOST_MAPS


def test_more_components_than_distinct_rows(project, dask_gmm):
    values = np.resize(np.array([[1, 2, 3], [200, 100, 50]], "u1"), (900, 3))
    project.array(values, (300, 3))
    code, out, err = dask_gmm("run", project.config(model={"n_components": 5}))
    assert code == 0, err
    model = GaussianMixture.load(project.run_dir)
    for array in (model.weights_, model.means_, model.covariances_):
        assert np.isfinite(array).all()
    assert "as narrow as the floor" in out
    manifest = check_outputs(project, values)
    status = [each["status"] for each in manifest["classes"]]
    assert status == ["at floor", "at floor", "empty", "empty", "empty"]
    assert "Class 5: no row belongs to it" in out


def test_a_constant_column_is_named(project, dask_gmm):
    values = blobs((40, 60))
    values[..., 1] = 7
    project.array(values, (20, 24, 3))
    code, out, err = dask_gmm("run", project.config())
    assert code == 0, err
    assert "Feature 2 (of 3) never changes" in out
    check_outputs(project, values)


def test_an_array_inside_a_group(project, dask_gmm):
    zarr.create_group(str(project.path / "data/group.zarr"))
    values = blobs((40, 60))
    project.array(values, (20, 24, 3), path="data/group.zarr/a/b")
    config = project.config(source={"path": "data/group.zarr", "variable": "a/b"})
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    assert check_outputs(project, values)["inputs"][0]["variable"] == "a/b"


def test_the_names_of_axes_and_features_are_kept(project, dask_gmm):
    names = {"dimension_names": ("y", "x", "band"), "attributes": {"feature_names": list("rgb")}}
    project.array(blobs((40, 60)), (20, 24, 3), **names)
    code, _, err = dask_gmm("run", project.config(source={"feature_axis": "band"}))
    assert code == 0, err
    path = str(project.run_dir / "labels.zarr")
    assert zarr.open_array(path, mode="r").metadata.dimension_names == ("y", "x")
    path = str(project.run_dir / "probabilities.zarr")
    assert zarr.open_array(path, mode="r").metadata.dimension_names == ("y", "x", None)
    assert project.manifest()["feature_names"] == list("rgb")
    assert GaussianMixture.load(project.run_dir).feature_names_in_.tolist() == list("rgb")


def test_missing_chunks_may_be_filled(picture, dask_gmm):
    (picture.path / "data/toy.zarr/c/1/1/0").unlink()
    picture.values[20:40, 24:48] = 0
    code, _, err = dask_gmm("run", picture.config(source={"missing_chunks": "fill"}))
    assert code == 0, err
    manifest = check_outputs(picture, picture.values)
    assert manifest["inputs"][0]["missing"] == ["c/1/1/0"]


def test_only_what_is_asked_for_is_written(picture, dask_gmm):
    unwanted = [f"outputs.{name}=null" for name in ("probabilities", "uncertainty", "log_density")]
    config = picture.config()
    code, _, err = dask_gmm("run", config, *(f"--set={each}" for each in unwanted))
    assert code == 0, err
    found = {path.name for path in picture.run_dir.iterdir() if not path.name.startswith(".")}
    assert found == {
        "config.yaml", "model.safetensors", "model.json", "history.jsonl", "manifest.json",
        "report.html", "labels.zarr", "checkpoint", "figures",
    }  # fmt: skip
    again = load_config(picture.run_dir / "config.yaml")
    assert again.hash() == load_config(config, overrides=unwanted).hash()


def test_outputs_may_lie_in_folders_and_may_all_be_left_out(picture, dask_gmm):
    code, _, err = dask_gmm("run", picture.config(outputs={"labels": {"path": "maps/a/l.zarr"}}))
    assert code == 0, err
    assert (picture.run_dir / "maps/a/l.zarr/zarr.json").exists()
    path = picture.config(run_dir="runs/none")
    unwanted = [f"--set=outputs.{name}=null" for name in picture.manifest()["outputs"]]
    code, _, err = dask_gmm("run", path, *unwanted)
    assert code == 0, err
    assert picture.manifest(picture.path / "runs/none")["outputs"] == {}


def test_the_files_agree_with_each_other(picture, dask_gmm):
    code, out, err = dask_gmm("run", picture.config(), "--json")
    assert code == 0, err
    manifest, summary = picture.manifest(), json.loads(out)
    assert summary == {"run_dir": str(picture.run_dir), "skipped": False, **manifest}
    history = [
        json.loads(line) for line in (picture.run_dir / "history.jsonl").read_text().splitlines()
    ]
    full = [each for each in history if each["stage"] == "full"]
    assert [each["iteration"] for each in full] == list(range(1, len(full) + 1))
    assert all(each["seconds"] > 0 for each in full)
    assert {each["start"] for each in history if each["stage"] == "sample"} == {0, 1}
    fit = manifest["fit"]
    assert fit["n_iter"] == len(full) == fit["passes"]["em"]
    em = {"em": len(full), "total": len(full) + 2}
    assert fit["passes"] == {"survey": 1, "select": 0, "predict": 1, **em}
    model = json.loads((picture.run_dir / "model.json").read_text())
    assert model["means"] == [each["mean"] for each in manifest["classes"]]
    assert model["weights"] == [each["weight"] for each in manifest["classes"]]
    total = picture.output("log_density").sum()
    assert manifest["model"]["mean_log_likelihood"] == pytest.approx(total / 2400, rel=1e-12)
    rows = picture.values.reshape(-1, 3).astype(float)
    fitted = GaussianMixture.load(picture.run_dir)
    assert manifest["model"]["bic"] == pytest.approx(fitted.bic(rows), rel=1e-9)
    assert manifest["model"]["aic"] == pytest.approx(fitted.aic(rows), rel=1e-9)
    assert manifest["model"]["icl"] == pytest.approx(fitted.icl(rows), rel=1e-6)


def test_the_steps_add_up_to_the_time_between_start_and_end(picture, dask_gmm):
    from datetime import datetime

    code, _, err = dask_gmm("run", picture.config())
    assert code == 0, err
    manifest = picture.manifest()
    steps = [each["step"] for each in manifest["timings"]]
    assert steps == [
        "look at the input", "plan", "start workers", "survey", "starts on the sample",
        "EM over all rows", "segment and write", "write model and report",
    ]  # fmt: skip
    started, finished = (datetime.fromisoformat(manifest[k]) for k in ("started", "finished"))
    total = sum(each["seconds"] for each in manifest["timings"])
    assert total == pytest.approx((finished - started).total_seconds(), abs=0.25)
    page = (picture.run_dir / "report.html").read_text()
    for step in steps[:-1]:
        assert step in page
    assert "come after these steps" in page
