"""A run on data that repeat themselves: EM on distinct rows, the same result, and it is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dask_gmm.run.memory import USABLE

from .conftest import blobs

OUTPUTS = ("labels", "probabilities", "uncertainty", "log_density")


def coarse(shape=(80, 90), n_features=2, dtype="u1", step=24, seed=0):
    """Draw a picture of few distinct colours."""
    return (blobs(shape, n_features, seed).astype(int) // step * step).astype(dtype)


def run_both(project, dask_gmm, config, *settings):
    """Run so many steps with compression and without; return both directories."""
    folders = []
    for compress in ("auto", "never"):
        folder = project.path / "runs" / compress
        code, out, err = dask_gmm(
            "run", config, f"--set=run_dir=runs/{compress}", f"--set=fit.compress={compress}",
            "--set=model.max_iter=4", "--set=fit.acceleration=none", *settings,
        )  # fmt: skip
        assert code == 0, err
        assert ("EM ran on" in out) == (compress == "auto")
        folders.append(folder)
    return folders


def assert_same_results(project, one, other):
    models = [json.loads((folder / "model.json").read_text()) for folder in (one, other)]
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(models[0][name], models[1][name], rtol=1e-9, atol=1e-9)
    for name in OUTPUTS:
        found, expected = (project.output(name, folder) for folder in (one, other))
        if name == "labels":
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    first, second = project.manifest(one), project.manifest(other)
    for criterion in ("mean_log_likelihood", "aic", "bic", "icl"):
        assert first["model"][criterion] == pytest.approx(second["model"][criterion], rel=1e-9)
    for name in ("label", "rows", "at_floor"):
        assert [c[name] for c in first["classes"]] == [c[name] for c in second["classes"]]
    assert first["fit"]["n_iter"] == second["fit"]["n_iter"]


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_a_run_on_distinct_rows_comes_to_the_same_result(project, dask_gmm, family):
    values = coarse(dtype="f4" if family == "diag" else "u1")
    if family == "diag":
        values[3:9, 5] = np.nan
    project.array(values, (30, 40, 2))
    config = project.config(model={"covariance_type": family}, standardize=family == "full")
    counted, plain = run_both(project, dask_gmm, config)
    assert_same_results(project, counted, plain)
    said = project.manifest(counted)["fit"]
    rows = values.reshape(-1, 2)
    rows = rows[np.isfinite(rows.astype(float)).all(axis=1)]
    distinct = len(np.unique(rows, axis=0))
    assert said["compression"] == {
        "used": True,
        "distinct_rows": distinct,
        "factor": len(rows) / distinct,
        "prediction_by_look_up": True,
        "why_not": None,
    }
    assert said["passes"] == {"survey": 1, "em": 0, "select": 0, "predict": 1, "total": 2}
    other = project.manifest(plain)["fit"]
    assert other["compression"]["why_not"] == "fit.compress is never"
    assert other["passes"]["em"] == other["n_iter"]
    page = (counted / "report.html").read_text()
    assert f"{distinct:,}, on which EM ran" in page
    assert "not used: fit.compress is never" in (plain / "report.html").read_text()


def test_worker_processes_look_up_too(project, dask_gmm):
    project.array(coarse(n_features=5, dtype="f4", step=60), (30, 40, 5))  # hashed keys
    config = project.config()
    cluster = ("--set=cluster.kind=local", "--set=cluster.n_workers=2")
    counted, plain = run_both(project, dask_gmm, config, *cluster)
    assert_same_results(project, counted, plain)


def test_too_many_distinct_rows_change_nothing_and_are_told(project, dask_gmm):
    project.array(blobs((40, 60)), (20, 24, 3))
    config = project.config()
    for compress in ("auto", "never"):
        settings = (f"--set=run_dir=runs/{compress}", f"--set=fit.compress={compress}")
        assert dask_gmm("run", config, *settings)[0] == 0
    one, other = (project.path / "runs" / name for name in ("auto", "never"))
    assert (one / "model.safetensors").read_bytes()[-400:] == (
        other / "model.safetensors"
    ).read_bytes()[-400:]
    for name in OUTPUTS:
        np.testing.assert_array_equal(project.output(name, one), project.output(name, other))
    said = project.manifest(one)["fit"]["compression"]
    assert not said["used"]
    assert said["why_not"] == "too little repetition: more than 300 distinct rows"


def test_steps_on_distinct_rows_do_not_count_as_readings(project, dask_gmm):
    project.array(coarse(), (30, 40, 2))
    config = project.config()
    assert dask_gmm("run", config, "--set=fit.max_passes=3")[0] == 0
    fit = project.manifest()["fit"]
    assert fit["n_iter"] > 1
    assert fit["stopped_by"] != "the limit of fit.max_passes=3 was reached"
    assert fit["passes"]["total"] == 2


def planned(project, dask_gmm, *settings):
    code, out, _ = dask_gmm("plan", project.config(), "--json", *(f"--set={s}" for s in settings))
    assert code == 0
    return json.loads(out)


def test_the_plan_says_whether_it_can_pay(project, dask_gmm):
    project.array(coarse((800, 900)), (300, 400, 2))
    plain = planned(project, dask_gmm, "fit.compress=never")
    assert plain["count_compression"] == "no: fit.compress is never"
    counted = planned(project, dask_gmm)
    assert counted["count_compression"] == "if at most 90,000 rows are distinct; 18 bytes each"
    assert counted["worker_bytes"] > plain["worker_bytes"]
    # A worker that has room for the plain run alone: it is not refused, it does without.
    limit = int(plain["worker_bytes"] / USABLE) + 1000
    tight = planned(project, dask_gmm, "cluster.kind=local", f"cluster.memory_limit={limit}")
    assert tight["count_compression"] == "no: cluster.memory_limit leaves no room for it"
    assert tight["worker_bytes"] == plain["worker_bytes"]
