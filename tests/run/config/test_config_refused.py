"""What a configuration may not hold, and the words in which it is refused."""

from __future__ import annotations

import re

import pytest

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config import load_config

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


def refusals(path, *overrides):
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, overrides=overrides)
    lines = str(caught.value).split("\n")
    for line in lines:
        assert "pydantic" not in line
        assert "Input should" not in line
    return lines


def refusal(path, override):
    (line,) = refusals(path, override)
    return line.removeprefix(f"--set {override}: ")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("version=2", "version: found 2; allowed 1"),
        ("version=true", "version: found true; allowed 1"),
        ("version=1.0", "version: found 1.0; allowed 1"),
        ("name=..", "name: found '..'; allowed letters, digits, '.', '_' and '-'"),
        ("name=a/b", "name: found 'a/b'; allowed letters"),
        ('name="a\\n"', "allowed letters"),
        (
            "name=2026",
            "found 2026; allowed letters, digits, '.', '_' and '-', but not '.' or '..'; put",
        ),
        ("run_dir='runs/{nam}'", "found 'runs/{nam}'; allowed a path that may hold {name}, {date}"),
        ("run_dir='runs/{'", "and no other braces"),
        ("run_dir=", "run_dir: found null; allowed a path"),
        ("run_dir=.", "run_dir: found '.'; allowed a directory of its own"),
        ("run_dir=..", "allowed a directory of its own"),
        ("run_dir=/", "allowed a directory of its own"),
        ("run_dir=data", "run_dir: found 'data'; allowed a directory apart from source.path"),
        ("run_dir=data/picture.zarr/runs", "allowed a directory apart from source.path"),
        ("source.path=''", "source.path: found ''; allowed a text"),
        ('source.path="a\\0"', "allowed a text of printable characters"),
        (
            "source.kind=zar",
            "source.kind: found 'zar'; allowed one of zarr, geotiff, image, nifti, netcdf, "
            "ome-zarr, npy, parquet; did you mean zarr?",
        ),
        (
            "source.kind=geotif",
            "npy, parquet; did you mean geotiff?",
        ),
        (
            "source.feature_axis=1.5",
            "allowed an integer, a text of printable characters or null",
        ),
        ("source.nodata=no", "source.nodata: found 'no'; allowed auto, a number, a list or null"),
        ("standardize=yes", "standardize: found 'yes'; allowed true or false"),
        ("standardize=1", "standardize: found 1; allowed true or false"),
        ("model=3", "model: found 3; allowed a mapping with the keys n_components, "),
        ("model.n_components=0", "model.n_components: found 0; allowed an integer >= 1"),
        ("model.n_components=six", "found 'six'; allowed an integer >= 1"),
        (
            "model.n_components='6'",
            "ones; write it without quotes",
        ),
        ("model.n_components=[]", "model.n_components: found a list of length 0; allowed "),
        ("model.n_components=[2, 0]", "allowed "),
        ("model.n_components=[2, 2]", "or a list of different"),
        ("model.covariance_type=[full, round]", "allowed "),
        ("select.criterion=cv", "allowed one of bic, aic, icl, heldout"),
        ("model.n_components=true", "found true; allowed an integer >= 1"),
        ("model.n_components=6.0", "found 6.0; allowed an integer >= 1"),
        (
            "model.n_components=9223372036854775808",
            "allowed an integer >= 1 and <= 100000 or a list of different",
        ),
        (
            "model.covariance_type=Full",
            "one of full, tied, diag, spherical, or a list of different ones; did you mean full?",
        ),
        ("model.covariance_type=x", "found 'x'; allowed one of full, tied, diag, spherical"),
        ("model.init=k_means++", "did you mean k-means++?"),
        ("model.n_init=0", "allowed an integer >= 1"),
        ("model.n_init=10001", "allowed an integer >= 1 and <= 10000"),
        (
            "model={n_components: [2, 3], n_init: 5001}",
            "model.n_init: found 5001; allowed an integer <= 5000, as there are 2 candidates",
        ),
        ("model.n_components=100001", "allowed an integer >= 1 and <= 100000 or a list"),
        ("model.max_iter=-1", "allowed an integer >= 1"),
        ("model.tol=0", "model.tol: found 0; allowed auto or a number > 0"),
        ("model.tol=.nan", "allowed auto or a number > 0"),
        ("model.tol=1e999", "allowed auto or a number > 0"),
        ("model.reg_covar=-1e-6", "found -1e-06; allowed auto or a number >= 0"),
        ("model.random_state=-1", "allowed an integer >= 0"),
        ("classes.order=size", "allowed weight, a mapping with the keys band or a mapping"),
        ("classes.order={band: 1.5}", "allowed weight, a mapping with the keys band or a mapping"),
        ("classes={band: 0, align_to: runs/a}", "allowed null, as classes.band is given"),
        ("outputs.probabilities={path: p, top: 0}", "allowed an integer >= 1 or null"),
        ("outputs.probabilities={path: p, dtype: int8}", "allowed one of float32, uint8"),
        ("fit=", "fit: found null; allowed a mapping with the keys sample_rows, acceleration"),
        ("fit.sample_rows=0", "allowed auto or an integer >= 1"),
        ("fit.max_passes=0", "allowed an integer >= 3 or null"),
        ("fit.compress=always", "allowed one of auto, never"),
        ("outputs.labels=true", "found true; allowed a mapping with the keys kind, path, or null"),
        (
            "outputs.labels={}",
            "outputs.labels.path: found no such key; allowed a path inside run_dir",
        ),
        ("cluster.n_workers=0", "allowed auto or an integer >= 1"),
        ("cluster.n_workers=10001", "allowed auto or an integer >= 1 and <= 10000"),
        ("cluster.threads_per_worker=0", "allowed an integer >= 1"),
        ("cluster.memory_limit=-2GiB", "found '-2GiB'; allowed bytes above 0 (2GiB, 512MB, "),
        ("cluster.memory_limit=0GiB", "allowed bytes above 0"),
        ("cluster.memory_limit=-5", "allowed bytes above 0"),
        ("cluster.memory_limit=2 gibibytes", "allowed bytes above 0"),
        ("cluster.memory_limit=true", "found true; allowed bytes above 0"),
        ("if_exists=resum", "one of error, skip, resume, overwrite; did you mean resume?"),
    ],
)
def test_values_that_are_refused(path, override, expected):
    assert expected in refusal(path, override)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("model.n_component", "did you mean n_components?"),
        ("n_components", "it belongs under model"),
        ("n_component", "did you mean model.n_components?"),
        ("model.name", "it belongs under the top level"),
        ("outputs.label", "did you mean labels?"),
        ("outputs.labels.dtype", "it belongs under outputs.probabilities"),
        ("model.xyz", "allowed n_components, covariance_type, n_init, init, tol, max_iter, "),
        ("model.xyz", "remove it"),
        ('model."a\\nb"', "remove it"),
    ],
)
def test_unknown_keys_name_the_likely_one(path, key, remedy):
    lines = refusals(path, "outputs.labels={path: labels.zarr}", f"{key}=1")
    assert len(lines) == 1
    assert "found an unknown key; allowed " in lines[0]
    assert remedy in lines[0]


def test_missing_keys_are_shown_by_example(path):
    path.write_text("name: test\nrun_dir: runs/x\nmodel: {n_init: 2}\n")
    words = [line.removeprefix(f"{path}:") for line in refusals(path)]
    assert words[0].startswith("1:1: version: found no such key; allowed 1; add `version: 1`")
    assert words[1].startswith(
        "1:1: source: found no such key; allowed a mapping with the keys kind"
    )
    assert words[2].startswith(
        "3:8: model.n_components: found no such key; allowed an integer >= 1 and <= 100000"
    )
    assert words[2].endswith("add `n_components: 6`")


def test_all_problems_are_told_at_once_in_the_order_of_lines(path):
    path.write_text(
        MINIMAL.replace("3\n", "0\n  covariance_typ: full\n").replace("zarr\n", "sql\n", 1)
        + "fit:\nif_exists: maybe\n"
    )
    lines = refusals(path, "model.tol=-1")
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{path}:5:9", "source.kind"],
        [f"{path}:8:17", "model.n_components"],
        [f"{path}:9:3", "model.covariance_typ"],
        [f"{path}:10:1", "fit"],
        [f"{path}:11:12", "if_exists"],
        ["--set model.tol=-1", "model.tol"],
    ]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("outputs.keep=[id]", "outputs.keep"),
        ("outputs.labels={kind: parquet, path: labels}", "outputs.labels.kind"),
        ("outputs.labels={kind: nifti, path: labels.nii}", "outputs.labels.kind"),
    ],
)
def test_what_is_of_tables_is_refused_for_arrays(path, override, key):
    line = refusals(path, override)[0]
    assert re.search(rf": {re.escape(key)}: found .*; allowed .*source\.kind is ", line)


@pytest.mark.parametrize(
    "output",
    ["../labels", "a/../../b", "/tmp/labels", ".", "", ".hidden", "a/.b", "a\\b", "C:b", '"a\\nb"'],
)
def test_outputs_stay_inside_the_run_directory(path, output):
    line = refusals(path, f"outputs.labels={{path: {output or repr(output)}}}")[0]
    assert "allowed a path inside run_dir" in line


@pytest.mark.parametrize(
    "name", ["report.html", "Manifest.json", "checkpoint/labels", "config.yaml"]
)
def test_outputs_do_not_replace_what_the_run_writes(path, name):
    assert "another name than those the run itself writes" in refusal(
        path, f"outputs.labels={{path: {name}}}"
    )


@pytest.mark.parametrize("other", ["a.zarr", "A.ZARR", "a.zarr/p", "./a.zarr/"])
def test_outputs_do_not_collide(path, other):
    (line,) = refusals(
        path, "outputs.labels={path: a.zarr}", f"outputs.uncertainty={{path: {other}}}"
    )
    assert "outputs.uncertainty.path: found" in line
    assert "allowed a path apart from that of outputs.labels" in line
