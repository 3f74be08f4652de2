"""The verbs after a run, and those that need none: what they write, say, and refuse."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Theirs

from dask_gmm import GaussianMixture
from dask_gmm.run.cli import cli
from dask_gmm.run.comparing import agreement

from .conftest import Project, blobs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with three finished runs of one picture, which tests do not change."""
    project = Project(tmp_path_factory.mktemp("finished"))
    project.array(blobs((40, 60)), (20, 24, 3))
    before = Path.cwd()
    os.chdir(project.path)
    try:
        for name, K in (("one", 3), ("two", 3), ("four", 4)):
            more = {"n_components": K, "random_state": 7 * (name == "two")}
            config = project.config(name=f"{name}.yaml", run_dir=f"runs/{name}", model=more)
            done = CliRunner().invoke(cli, ["run", str(config), "--quiet"])
            assert done.exit_code == 0, done.output
            assert done.stdout == ""
    finally:
        os.chdir(before)
    return project


@pytest.fixture
def there(finished, monkeypatch):
    monkeypatch.chdir(finished.path)
    return finished


# --- what is refused, by all of them -------------------------------------------------------------

BAD = {
    "no directory": ("nowhere", 2),
    "no run": ("data", 2),
    "a file": ("one.yaml", 2),
    "unfinished": ("runs/unfinished", 2),
}


@pytest.mark.parametrize("verb", ["report", "compare", "verify"])
@pytest.mark.parametrize(("path", "code"), BAD.values(), ids=BAD.keys())
def test_what_is_no_finished_run_is_refused_in_one_line(there, dask_gmm, verb, path, code):
    if path == "runs/unfinished" and not (there.path / path).exists():
        shutil.copytree(there.path / "runs/one", there.path / path)
        (there.path / path / "manifest.json").unlink()
    arguments = [path, "runs/one"] if verb == "compare" else [path]
    found, out, err = dask_gmm(verb, *arguments)
    assert (found, out) == (code, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert "no finished run is here" in line
    assert ";" in line  # and what to do


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere", "a.json"], 3, "cannot be read (No such file"),
        (["data", "a.json"], 3, "cannot be read (No such file"),
        (["damaged.safetensors", "a.json"], 3, "not a model of this program"),
        (["runs/one", "a.pickle"], 2, "allowed are .json, .npz and .csv"),
        (["runs/one", "-"], 2, "say --format"),
        (["runs/one", "-", "--format", "npz"], 2, "npz is no text"),
        (["runs/one", "one.yaml", "--format", "csv"], 2, "exists; choose another file"),
        (["runs/one", "nowhere/a.csv"], 1, "is no directory; make it"),
    ],
)
def test_export_refuses(there, dask_gmm, arguments, code, words):
    (there.path / "damaged.safetensors").write_bytes(b"\0" * 40)
    found, out, err = dask_gmm("export", *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1


# --- report --------------------------------------------------------------------------------------


def test_a_report_is_drawn_again_and_the_run_verifies(there, dask_gmm):
    page = there.path / "runs/one/report.html"
    kept = page.read_bytes()
    page.write_text("lost")
    assert dask_gmm("verify", "runs/one")[0] == 1
    code, out, err = dask_gmm("report", "runs/one")
    assert (code, err) == (0, "")
    assert out == f"{page}\n"
    assert page.read_bytes() == kept
    assert dask_gmm("verify", "runs/one", "--quiet") == (0, "", "")
    said = json.loads(dask_gmm("verify", "runs/one", "--json")[1])
    assert "report.html: unchanged" in said["unchanged"]
    assert json.loads(dask_gmm("report", "runs/one", "--json")[1]) == {"report": str(page)}


# --- export --------------------------------------------------------------------------------------


def test_exported_arrays_make_scikit_learns_mixture(there, dask_gmm):
    code, out, _ = dask_gmm("export", "runs/one", "mixture.npz", "--overwrite")
    assert code == 0
    assert out == "mixture.npz: 3 full components in 3 features\n"
    ours = GaussianMixture.load("runs/one")
    with np.load("mixture.npz", allow_pickle=False) as arrays:  # nothing in it can run code
        theirs = Theirs(3, covariance_type=str(arrays["covariance_type"]))
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
            setattr(theirs, name, arrays[name])
    rows = there.values.reshape(-1, 3).astype(float)
    np.testing.assert_array_equal(theirs.predict(rows), ours.predict(rows))


def test_exported_tables_and_documents_hold_the_classes(there, dask_gmm):
    code, out, _ = dask_gmm("export", "runs/one", "-", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    classes = there.manifest(there.path / "runs/one")["classes"]
    assert [int(row["label"]) for row in rows] == [1, 2, 3]
    assert [int(row["rows"]) for row in rows] == [each["rows"] for each in classes]
    means = [[float(row[f"mean_feature_{i}"]) for i in (1, 2, 3)] for row in rows]
    np.testing.assert_array_equal(means, [each["mean"] for each in classes])
    document = json.loads(dask_gmm("export", "runs/one", "-", "--format", "json")[1])
    assert document["means"] == means
    # A model's file knows the mixture, and nothing of rows.
    assert dask_gmm("export", "runs/one/model.safetensors", "model.csv", "--overwrite")[0] == 0
    with Path("model.csv").open() as file:
        assert [row["rows"] for row in csv.DictReader(file)] == ["", "", ""]


# --- compare -------------------------------------------------------------------------------------


def test_two_runs_of_the_same_data_find_the_same_classes(there, dask_gmm):
    code, out, err = dask_gmm("compare", "runs/one", "runs/two", "--json")
    assert (code, err) == (0, "")
    compared = json.loads(out)
    assert compared["same_input"] is True
    changed = {"name", "run_dir", "model.random_state"}
    assert set(compared["configuration"]) <= changed
    assert compared["configuration"]["model.random_state"] == [0, 7]
    matched = compared["classes"]["matched"]
    assert [(each["first"], each["second"]) for each in matched] == [(1, 1), (2, 2), (3, 3)]
    assert all(each["same"] and each["overlap"] > 0.999 for each in matched)
    labels = compared["labels"]
    assert labels["rows"] == 2400
    assert labels["agree"] > 0.999
    assert labels["adjusted_rand"] > 0.999
    assert np.trace(np.array(labels["table"])) > 2398


def test_a_run_with_a_class_more(there, dask_gmm):
    compared = json.loads(dask_gmm("compare", "runs/one", "runs/four", "--json")[1])
    assert len(compared["classes"]["new_in_second"]) == 1
    assert compared["labels"]["agree"] < 1
    one, four = (there.output("labels", there.path / f"runs/{name}") for name in ("one", "four"))
    expected = adjusted_rand_score(one.ravel(), four.ravel())
    assert compared["labels"]["adjusted_rand"] == pytest.approx(expected, abs=1e-12)
    code, out, _ = dask_gmm("compare", "runs/one", "runs/four")
    assert code == 0
    for words in ("Only in the second run: class", "2,400 rows are labelled in both runs",
                  "model.n_components: 3 -> 4", "adjusted Rand index"):  # fmt: skip
        assert words in out


def test_labels_in_other_chunks_and_of_another_format_are_compared(there, dask_gmm):
    there.array(there.values, (7, 60, 3), path="data/other.zarr")
    config = there.config(
        name="other.yaml", run_dir="runs/other", if_exists="overwrite",
        source={"path": "data/other.zarr"}, outputs={"labels": {"kind": "npy", "path": "l.npy"}},
    )  # fmt: skip
    assert dask_gmm("run", config)[0] == 0
    compared = json.loads(dask_gmm("compare", "runs/one", "runs/other", "--json")[1])
    assert compared["same_input"] is False
    assert compared["labels"]["rows"] == 2400
    assert compared["labels"]["agree"] > 0.999


def test_runs_whose_labels_cannot_be_compared_say_why(there, dask_gmm):
    config = there.config(name="fit.yaml", run_dir="runs/fit", if_exists="overwrite")
    assert dask_gmm("fit", config)[0] == 0
    compared = json.loads(dask_gmm("compare", "runs/one", "runs/fit", "--json")[1])
    assert compared["labels"] == {
        "compared": False, "reason": "not both runs have written labels",
    }  # fmt: skip
    assert compared["classes"]["compared"] is True


def test_agreement_counts_rows_that_both_have_labelled():
    table = np.array([[5, 1, 0], [2, 30, 3], [0, 4, 60]])
    found = agreement(table, {0: 0, 1: 1})
    assert found["rows"] == 97
    assert found["masked_in_both"] == 5
    assert found["masked_in_one"] == 3
    assert found["agree"] == pytest.approx(90 / 97)
    assert agreement(np.zeros((3, 3), np.int64), {})["agree"] is None


# --- fit, schema, completion ---------------------------------------------------------------------


def test_fit_writes_model_and_report_and_no_outputs(there, dask_gmm):
    config = there.config(name="fit.yaml", run_dir="runs/fit", if_exists="overwrite")
    code, _, err = dask_gmm("fit", config)
    assert code == 0, err
    run_dir = there.path / "runs/fit"
    assert (run_dir / "report.html").exists()
    assert not list(run_dir.glob("*.zarr"))
    a, b = (GaussianMixture.load(there.path / "runs" / name) for name in ("one", "fit"))
    np.testing.assert_array_equal(a.means_, b.means_)
    more = ("--run-dir", "runs/applied", "--set", "if_exists=overwrite")
    assert dask_gmm("predict", "runs/fit", there.path / "one.yaml", *more)[0] == 0
    labels = there.output("labels", there.path / "runs/applied")
    np.testing.assert_array_equal(labels, there.output("labels", there.path / "runs/one"))


def test_the_schema_takes_what_the_program_takes(dask_gmm):
    jsonschema = pytest.importorskip("jsonschema")
    from ruamel.yaml import YAML

    from tests.docs.pages import ROOT

    code, out, err = dask_gmm("schema")
    assert (code, err) == (0, "")
    check = jsonschema.Draft202012Validator(json.loads(out))
    configs = sorted((ROOT / "configs").glob("*.yaml"))
    assert len(configs) > 5
    for path in configs:
        written = YAML(typ="safe", pure=True).load(path)
        assert not list(check.iter_errors(written)), path
        assert list(check.iter_errors({**written, "modle": {}})), "a typing error is found"
        assert list(check.iter_errors({**written, "version": "1"}))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dask-gmm ver", {"verify"}),
        ("dask-gmm run --max", {"--max-runtime"}),
        ("dask-gmm run job.yaml --set model.n_c", {"model.n_components="}),
        ("dask-gmm run --log-format pl", {"plain"}),
    ],
)
def test_a_shell_completes(words, expected):
    environment = {
        **os.environ,
        "_DASK_GMM_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dask_gmm"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {line.partition(",")[2] for line in done.stdout.split()} == expected
