"""The order of the classes: by a band's mean, or as an earlier run had them; and their drift."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dask_gmm import GaussianMixture
from dask_gmm.run.cli import main

from .conftest import MEANS, blobs

ONLY = {"labels": {"path": "labels.zarr"}, "probabilities": None}
ONLY |= {"uncertainty": None, "log_density": None}


def fit(project, values, **sections):
    """Run over values as data/toy.zarr; return the manifest."""
    project.array(values, (20, 24, values.shape[-1]), attributes={"feature_names": ["r", "g", "b"]})
    assert main(["run", str(project.config(outputs=ONLY, **sections))]) == 0
    return project.manifest(project.path / sections.get("run_dir", "runs/toy"))


def means(manifest):
    return np.array([each["mean"] for each in manifest["classes"]])


@pytest.mark.parametrize("classes", [{"band": "b"}, {"order": {"band": 2}}, {"band": -1}])
def test_by_a_band_the_lowest_mean_is_number_1(project, classes):
    values = blobs((40, 60))
    manifest = fit(project, values, classes=classes)
    assert np.argsort(MEANS[:, 2]).tolist() != [0, 1, 2], "weight would give another order"
    np.testing.assert_allclose(means(manifest), MEANS[np.argsort(MEANS[:, 2])], atol=2)
    model = GaussianMixture.load(project.run_dir)
    rows = pd.DataFrame(values.reshape(-1, 3).astype(float), columns=["r", "g", "b"])
    labels = model.predict(rows) + 1
    np.testing.assert_array_equal(project.output("labels").ravel(), labels)
    assert manifest["alignment"] is None


def test_yesterday_s_classes_are_today_s_and_their_drift_is_told(project):
    values = blobs((40, 60))
    first = fit(project, values, run_dir="runs/first", classes={"band": "g"})
    # The weights change places, and all becomes one standard deviation brighter in r.
    rng = np.random.default_rng(1)
    group = rng.choice(3, size=(40, 60), p=[0.15, 0.25, 0.6])
    today = MEANS[group] + [8.0, 0.0, 0.0] + rng.normal(scale=8.0, size=(40, 60, 3))
    values = np.clip(np.rint(today), 0, 255).astype("u1")
    second = fit(project, values, run_dir="runs/second", classes={"align_to": "runs/first"})
    np.testing.assert_allclose(means(second), means(first) + np.array([8, 0, 0]), atol=2)
    alignment = second["alignment"]
    assert [each["was"] for each in alignment["classes"]] == [1, 2, 3]
    assert alignment["gone"] == []
    for now, before, each in zip(
        second["classes"], first["classes"], alignment["classes"], strict=True
    ):
        assert each["matched"]
        # Two normals of equal spread, one standard deviation apart: an eighth.
        assert each["distance"] == pytest.approx(1 / 8, abs=0.06)
        assert each["overlap"] == pytest.approx(np.exp(-each["distance"]))
        shift = (np.array(now["mean"]) - before["mean"]) / before["std"]
        np.testing.assert_allclose(each["mean_shift"], shift, rtol=1e-9)
        assert each["weight_change"] == pytest.approx(now["weight"] - before["weight"])
    report = (project.path / "runs/second/report.html").read_text()
    assert "Drift since runs/first" in report


def test_a_class_that_is_new_and_one_that_is_gone_are_said(project):
    values = blobs((40, 60))
    fit(project, values, run_dir="runs/first")
    other = values.copy()
    brightest = values[..., 0] > 160
    other[brightest] -= np.array([160, 30, 160], "u1")
    manifest = fit(
        project, other, run_dir="runs/second", classes={"order": {"align_to": "runs/first"}}
    )
    said = " ".join(manifest["warnings"])
    assert "Class 3: matches none of runs/first well; it has the place of class 3" in said
    assert "Class 3 of runs/first: not found again." in said
    assert [each["matched"] for each in manifest["alignment"]["classes"]] == [True, True, False]


def test_with_more_classes_than_before_the_new_ones_come_last(project):
    values = blobs((40, 60))
    first = fit(project, values, run_dir="runs/first", model={"n_components": 2})
    manifest = fit(project, values, run_dir="runs/second", classes={"align_to": "runs/first"})
    was = [each["was"] for each in manifest["alignment"]["classes"]]
    assert was == [1, 2, None]
    assert any("Class 3: is new" in each for each in manifest["warnings"])
    assert len(first["classes"]) == 2


def test_what_does_not_fit_is_refused(project, dask_gmm):
    fit(project, blobs((40, 60)), run_dir="runs/first")
    project.array(blobs((40, 60), n_features=2), (20, 24, 2))

    def refused(code, **sections):
        found, _, err = dask_gmm("run", project.config(outputs=ONLY, **sections))
        assert found == code, err
        return err

    said = refused(2, classes={"align_to": "runs/first"})
    assert "runs/first is a model of 3 features, but the input has 2" in said
    assert "classes.band: found 'nir'; allowed a number" in refused(2, classes={"band": "nir"})
    assert "classes.band: found 2; allowed -2 to 1" in refused(2, classes={"band": 2})
    assert "the model cannot be read" in refused(3, classes={"align_to": "runs/none"})
    said = refused(2, classes={"align_to": "runs/first"}, run_dir="runs/first")
    assert "allowed a directory apart from that of classes.align_to" in said
    said = refused(2, classes={"band": 0, "align_to": "runs/first"})
    assert "classes.align_to: found 'runs/first'; allowed null, as classes.band is given" in said


def test_another_model_to_align_to_is_another_configuration(project, dask_gmm):
    values = blobs((40, 60))
    fit(project, values, run_dir="runs/first")
    fit(project, values, run_dir="runs/second", classes={"align_to": "runs/first"})
    model = GaussianMixture.load(project.path / "runs/first")
    model.means_ = model.means_[::-1]
    model.save(project.path / "runs/first/model.safetensors")
    config = project.config(outputs=ONLY, run_dir="runs/second", classes={"align_to": "runs/first"})
    code, _, err = dask_gmm("run", config)
    assert (code, "with another configuration exists" in err) == (2, True)
