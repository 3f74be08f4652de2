"""dask-gmm predict: a model that exists, applied to other inputs with a run's outputs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from dask_gmm import GaussianMixture

from .conftest import blobs
from .test_arrays import model_bits

OUTPUTS = {"labels": {"path": "labels.npy"}, "uncertainty": None, "log_density": None}


@pytest.fixture
def fitted(project, dask_gmm):
    """A project with a finished run over data/old.npy, and three new images in new/."""
    for name in ("data", "new"):
        (project.path / name).mkdir()
    np.save(project.path / "data/old.npy", blobs((40, 60)))
    for seed, name in enumerate("xyz", start=1):
        np.save(project.path / f"new/{name}.npy", blobs((20 + seed, 33), seed=seed))
    outputs = {**OUTPUTS, "probabilities": {"path": "p.npy", "dtype": "uint8"}}
    config = project.config(source={"kind": "npy", "path": "data/old.npy"}, outputs=outputs)
    assert dask_gmm("run", config)[0] == 0
    return project


def labels_of(project, run_dir, name="labels.npy"):
    return np.load(project.path / run_dir / name)


def expected(project, path):
    values = np.load(project.path / path)
    rows = values.reshape(-1, values.shape[-1]).astype(float)
    return GaussianMixture.load(project.run_dir).predict(rows).reshape(values.shape[:-1]) + 1


def test_the_run_s_own_input_gets_the_run_s_own_labels_and_model(fitted, dask_gmm):
    code, out, err = dask_gmm(
        "predict", "runs/toy", "data/old.npy", "--run-dir", "runs/again", "--json"
    )
    assert code == 0, err
    for name in ("labels.npy", "p.npy"):
        np.testing.assert_array_equal(
            labels_of(fitted, "runs/again", name), labels_of(fitted, "runs/toy", name)
        )
    assert model_bits(fitted.path / "runs/again") == model_bits(fitted.run_dir)
    summary, run = json.loads(out), fitted.manifest()
    assert summary["fit"]["passes"]["total"] == 1
    assert summary["applied"]["model"] == "runs/toy"
    counted = [[each["rows"] for each in these["classes"]] for these in (summary, run)]
    assert counted[0] == counted[1]
    assert summary["model"]["bic"] == pytest.approx(run["model"]["bic"], rel=1e-12)
    report = (fitted.path / "runs/again/report.html").read_text()
    assert "nothing was fitted: the classes are those of runs/toy" in report
    assert dask_gmm("verify", "runs/again")[0] == 0
    again = dask_gmm("predict", "runs/toy", "data/old.npy", "--run-dir", "runs/again")
    assert again[2].endswith("nothing to do\n")


def test_a_configuration_needs_no_section_of_a_model(fitted, dask_gmm):
    (fitted.path / "new.yaml").write_text(
        "{version: 1, name: new, run_dir: 'runs/{name}', source: {kind: npy, path: new/x.npy},"
        " outputs: {labels: {path: l.npy}}, cluster: {kind: threads, n_workers: 1}}"
    )
    assert dask_gmm("predict", "runs/toy/model.safetensors", "new.yaml")[0] == 0
    np.testing.assert_array_equal(
        labels_of(fitted, "runs/new", "l.npy"), expected(fitted, "new/x.npy")
    )
    code, _, err = dask_gmm("predict", "runs/toy", "new.yaml", "--set=model.n_components=4")
    assert code == 2
    assert "which has 3 components with full covariances; remove the section" in err
    code, _, err = dask_gmm("run", "new.yaml")
    assert (code, "model: found no such key" in err) == (2, True)


def test_of_many_inputs_those_that_fail_are_named_and_the_others_finish(fitted, dask_gmm):
    new = fitted.path / "new"
    np.save(new / "four.npy", np.zeros((5, 5, 4), "u1"))
    np.save(new / "deep.npy", np.zeros((5, 5, 3), "u2"))
    content = (new / "y.npy").read_bytes()
    (new / "y.npy").write_bytes(content[:-50])
    command = ("predict", "runs/toy", "new/*.npy", "--run-dir", "runs/many")
    code, out, err = dask_gmm(*command, "--json")
    assert code == 3
    assert "error: 3 of 5 inputs have no result" in err
    manifest = json.loads(out)
    assert manifest["status"] == "incomplete"
    failed = {each["path"].rpartition("/")[2] for each in manifest["inputs"] if each["failure"]}
    assert failed == {"four.npy", "deep.npy", "y.npy"}
    for name in failed:
        assert f"error: {new}/{name}: " in err
    for name in "xz":
        np.testing.assert_array_equal(
            labels_of(fitted, "runs/many/labels.npy", f"{name}.npy"),
            expected(fitted, f"new/{name}.npy"),
        )
    assert len(list((fitted.path / "runs/many/labels.npy").iterdir())) == 2
    assert dask_gmm("verify", "runs/many")[0] == 0
    (new / "y.npy").write_bytes(content)
    (new / "four.npy").unlink()
    (new / "deep.npy").unlink()
    code, _, err = dask_gmm(*command)
    assert code == 0, err
    np.testing.assert_array_equal(
        labels_of(fitted, "runs/many/labels.npy", "y.npy"), expected(fitted, "new/y.npy")
    )


def test_other_features_another_model_and_a_missing_one_are_refused(fitted, dask_gmm):
    np.save(fitted.path / "four.npy", np.zeros((5, 5, 4), "u1"))
    code, _, err = dask_gmm("predict", "runs/toy", "four.npy", "--run-dir", "runs/four")
    assert (code, "runs/toy is a model of 3 features, but the input has 4" in err) == (2, True)
    code, _, err = dask_gmm("predict", "runs/none", "new/x.npy", "--run-dir", "runs/n")
    assert (code, "the model cannot be read" in err) == (3, True)
    code, _, err = dask_gmm("predict", "runs/toy", "new/x.npy")
    assert (code, "--run-dir: is missing" in err) == (2, True)
    assert dask_gmm("predict", "runs/toy", "new/x.npy", "--run-dir", "runs/n")[0] == 0
    shutil.copytree(fitted.run_dir, fitted.path / "runs/other")
    model = GaussianMixture.load(fitted.run_dir)
    model.means_ = model.means_ + 1
    model.save(fitted.path / "runs/other/model.safetensors")
    code, _, err = dask_gmm("predict", "runs/other", "new/x.npy", "--run-dir", "runs/n")
    assert (code, "with another configuration exists" in err) == (2, True)


def test_an_input_that_is_masked_throughout_has_labels_0_and_no_likelihood(fitted, dask_gmm):
    np.save(fitted.path / "empty.npy", np.full((3, 9, 3), np.nan))
    code, out, err = dask_gmm(
        "predict", "runs/toy", "empty.npy", "--run-dir", "runs/empty", "--json"
    )
    assert code == 0, err
    assert not labels_of(fitted, "runs/empty").any()
    assert (labels_of(fitted, "runs/empty", "p.npy") == 255).all()
    manifest = json.loads(out)
    assert manifest["rows"] == {
        "total": 27,
        "masked": 27,
        "nodata": 0,
        "invalid": 27,
        "used": 0,
    }
    assert manifest["model"]["bic"] is None


def test_a_mask_of_the_model_s_run_is_not_laid_over_other_inputs(fitted, dask_gmm):
    np.save(fitted.path / "mask.npy", np.ones((40, 60), bool))
    config = fitted.config(
        source={"kind": "npy", "path": "data/old.npy", "mask": {"path": "mask.npy"}},
        outputs={**OUTPUTS, "probabilities": None},
        run_dir="runs/masked",
    )
    assert dask_gmm("run", config)[0] == 0
    code, _, err = dask_gmm("predict", "runs/masked", "new/x.npy", "--run-dir", "runs/n")
    assert (code, "give a CONFIG in the place of inputs" in err) == (2, True)
