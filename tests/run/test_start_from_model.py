"""`model.init: {from: MODEL}`: a fit goes on where an earlier one has ended."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dask_gmm import GaussianMixture

from .conftest import blobs

FEW_PASSES = {"fit": {"sample_rows": 2_000}}


@pytest.fixture
def project_of_days(project):
    """A first day of which a model is there, and a second one like it."""
    (project.path / "data").mkdir()
    for seed, day in enumerate(("first", "second")):
        np.save(project.path / f"data/{day}.npy", blobs((120, 150), seed=seed))
    return project


def config_of(project, day, run_dir, **sections):
    model = {"n_components": 3, **sections.pop("model", {})}
    return project.config(
        name=f"{day}-{run_dir.replace('/', '-')}.yaml",
        source={"kind": "npy", "path": f"data/{day}.npy"},
        run_dir=run_dir,
        model=model,
        outputs={"labels": {"path": "labels.npy"}},
        **sections,
    )


def run(dask_gmm, *words):
    code, _, err = dask_gmm("run", *words)
    assert code == 0, err


def test_a_fit_from_its_own_model_stays_where_it_is(project_of_days, dask_gmm):
    project = project_of_days
    run(dask_gmm, config_of(project, "first", "runs/a", **FEW_PASSES))
    again = config_of(project, "first", "runs/b", model={"init": {"from": "runs/a"}}, **FEW_PASSES)
    run(dask_gmm, again)
    before, after = (GaussianMixture.load(project.path / f"runs/{name}") for name in "ab")
    np.testing.assert_allclose(after.means_, before.means_, rtol=1e-3)
    np.testing.assert_allclose(after.weights_, before.weights_, atol=2e-3)
    fits = [json.loads((project.path / f"runs/{n}/manifest.json").read_text())["fit"] for n in "ab"]
    assert fits[1]["n_iter"] <= fits[0]["n_iter"]
    (start,) = fits[1]["starts"]  # n_init is of drawn starts
    assert start["status"] == "it is the model that was given"
    assert start["splits_and_merges"] == 0
    assert (project.path / "runs/b/report.html").exists()


def test_another_day_is_fitted_from_there_to_the_optimum_of_that_day(project_of_days, dask_gmm):
    project = project_of_days
    tight = {"tol": 1e-10}
    run(dask_gmm, config_of(project, "first", "runs/a"))
    run(dask_gmm, config_of(project, "second", "runs/alone", model=tight))
    run(
        dask_gmm,
        config_of(project, "second", "runs/on", model={**tight, "init": {"from": "runs/a"}}),
    )
    alone, on = (GaussianMixture.load(project.path / f"runs/{name}") for name in ("alone", "on"))
    np.testing.assert_allclose(on.means_, alone.means_, rtol=1e-4)
    np.testing.assert_allclose(on.covariances_, alone.covariances_, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("family", "standardize"),
    [("tied", False), ("diag", True), ("spherical", True), ("spherical", False)],
)
def test_every_family_starts_from_its_model(project_of_days, dask_gmm, family, standardize):
    project = project_of_days
    model = {"covariance_type": family, "n_init": 1}
    run(dask_gmm, config_of(project, "first", "runs/a", model=model, standardize=standardize))
    path = "runs/a/model.safetensors"
    on = config_of(
        project,
        "second",
        "runs/b",
        model={**model, "init": {"from": path}},
        standardize=standardize,
    )
    run(dask_gmm, on)
    before, after = (GaussianMixture.load(project.path / f"runs/{name}") for name in "ab")
    rows = np.load(project.path / "data/second.npy").reshape(-1, 3).astype(float)
    assert after.score(rows) >= before.score(rows) - 1e-6


def test_a_small_class_of_the_model_outlives_a_sample_that_has_none_of_it(project, dask_gmm):
    (project.path / "data").mkdir()
    values = blobs((200, 250), seed=3).astype("f4")
    spread = np.random.default_rng(0).normal(size=(30, 3))
    values[100, 100:130] = np.add(spread, [250.0, -80.0, 400.0])
    np.save(project.path / "data/rare.npy", values)
    truth = np.full(values.shape[:2], 0)
    truth[100, 100:130] = 1
    rows, of = values.reshape(-1, 3).astype(float), truth.ravel()
    common = GaussianMixture(3, random_state=0).fit(rows[of == 0])
    weights = np.append(common.weights_ * (1 - 30 / len(rows)), 30 / len(rows))
    means = np.vstack([common.means_, rows[of == 1].mean(axis=0)])
    covariances = np.concatenate([common.covariances_, np.cov(rows[of == 1].T)[None]])
    given = GaussianMixture(
        4,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
        max_iter=2,
        tol=1e9,
    ).fit(rows)
    given.save(project.path / "given.safetensors")
    config = config_of(
        project,
        "rare",
        "runs/rare",
        model={"n_components": 4, "init": {"from": "given.safetensors"}},
        fit={"sample_rows": 500},
    )
    run(dask_gmm, config)
    labels = np.load(project.path / "runs/rare/labels.npy")
    assert len(set(labels[truth == 1].tolist())) == 1
    assert (labels == labels[100, 100]).sum() == 30


def test_what_is_no_model_to_start_from_is_refused_before_anything_is_read(
    project_of_days, dask_gmm
):
    project = project_of_days
    run(dask_gmm, config_of(project, "first", "runs/a"))

    def refused(**model):
        config = config_of(project, "second", "runs/b", model=model)
        code, _, err = dask_gmm("run", config)
        return code, err.splitlines()[-1]

    init = {"from": "runs/a"}
    code, last = refused(n_components=4, init=init)
    assert code == 2
    assert "set model.n_components: 3 and model.covariance_type: full" in last
    assert refused(n_components=[3, 4], init=init)[0] == 2
    assert refused(covariance_type="diag", init=init)[0] == 2
    code, last = refused(init={"from": "runs/none"})
    assert code == 3
    assert "runs/none" in last
    code, last = refused(init={"form": "runs/a"})
    assert code == 2
    assert "model.init" in last
    code, last = refused(init={"from": "runs/b"})
    assert code == 2
    assert "a directory apart from that of model.init" in last
    np.save(project.path / "data/second.npy", blobs((20, 30), seed=0)[..., :2])
    code, last = refused(init=init)
    assert code == 2
    assert "a model of 3 features, but the input has 2" in last
    assert not (project.path / "runs/b").exists()


def test_another_model_under_the_same_name_is_another_run(project_of_days, dask_gmm):
    project = project_of_days
    run(dask_gmm, config_of(project, "first", "runs/a"))
    on = config_of(project, "second", "runs/b", model={"init": {"from": "runs/a"}})
    run(dask_gmm, on)
    assert dask_gmm("run", on)[2].endswith("nothing to do\n")
    other = config_of(project, "first", "runs/a", model={"random_state": 7}, if_exists="overwrite")
    run(dask_gmm, other)
    assert dask_gmm("run", on)[0] == 2  # a finished run of another configuration is there
