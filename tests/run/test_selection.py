"""Several candidates in one run: read together, compared, one of them kept, all of it said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dask_gmm import GaussianMixture

from .conftest import blobs

LISTS = {"n_components": [1, 2, 3, 4], "covariance_type": ["full", "spherical"], "n_init": 2}


@pytest.fixture
def table(project):
    project.array(blobs((60, 80)), (20, 40, 3))
    return project


def test_the_best_of_several_is_kept_and_all_are_compared(table, dask_gmm):
    # In a process of their own, where what returns from a task is a copy.
    workers = {"kind": "local", "n_workers": 1, "memory_limit": None}
    code, _, err = dask_gmm("run", table.config(model=LISTS, cluster=workers), "--json")
    assert code == 0, err
    manifest = table.manifest()
    compared, passes = manifest["selection"], manifest["fit"]["passes"]
    assert len(compared["candidates"]) == 8
    assert (manifest["model"]["n_components"], manifest["model"]["covariance_type"]) in [
        (3, "full"),
        (3, "spherical"),
    ]
    (chosen,) = [each for each in compared["candidates"] if each["chosen"]]
    sound = [each for each in compared["candidates"] if each["objection"] is None]
    assert chosen["bic"] == min(each["bic"] for each in sound)
    assert chosen["bic"] == pytest.approx(manifest["model"]["bic"])
    assert chosen["icl"] == pytest.approx(manifest["model"]["icl"])
    assert passes["total"] == sum(passes[each] for each in ("survey", "em", "select", "predict"))
    assert passes["select"] == 1
    # All start from the sample's optimum, and read together.
    assert passes["em"] < 8 * manifest["fit"]["n_iter"]
    labels = table.output("labels")
    model = GaussianMixture.load(table.run_dir)
    np.testing.assert_array_equal(
        labels.ravel(), model.predict(table.values.reshape(-1, 3).astype(float)) + 1
    )
    report = (table.run_dir / "report.html").read_text()
    assert "How the model was chosen" in report
    assert "✓ chosen" in report


def test_select_compares_as_run_does_and_writes_nothing(table, dask_gmm):
    config = table.config(model=LISTS)
    code, out, err = dask_gmm("select", config, "--json")
    assert code == 0, err
    compared = json.loads(out)
    assert not table.run_dir.exists()
    assert dask_gmm("run", config)[0] == 0
    assert table.manifest()["selection"] == {k: v for k, v in compared.items() if k != "passes"}
    code, out, _ = dask_gmm("select", config)
    assert code == 0
    assert "chosen" in out
    assert f"{compared['passes']} readings of the data" in out


def test_one_candidate_is_nothing_to_select_from(table, dask_gmm):
    code, _, err = dask_gmm("select", table.config())
    assert code == 2
    assert "nothing to choose from" in err


@pytest.mark.parametrize("halving", [True, False])
def test_halving_drops_starts_only_where_it_is_allowed(table, dask_gmm, halving):
    config = table.config(
        model={"n_components": 3, "n_init": 4, "init": "random_from_data"},
        fit={"sample_rows": 1000, "halving": halving},
    )
    assert dask_gmm("run", config)[0] == 0
    starts = table.manifest()["fit"]["starts"]
    assert len(starts) == 4
    assert sum(each["went_on"] for each in starts) <= (3 if halving else 4)
    assert halving or all(each["went_on"] for each in starts)


def test_heldout_rows_are_those_outside_the_sample(table, dask_gmm):
    config = table.config(
        model={"n_components": [2, 3, 5], "n_init": 2},
        fit={"sample_rows": 100_000},
        select={"criterion": "heldout"},
    )
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    manifest = table.manifest()
    assert manifest["fit"]["sample_rows"] <= table.values[..., 0].size // 2
    assert manifest["model"]["n_components"] == 3
    gap = manifest["fit"]["heldout"]
    assert gap["low"] < gap["gap"] < gap["high"]
