"""The doctor: what it looks at, what it finds wrong, and the trial of a leaf that plan makes."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from dask_gmm.run import doctor
from dask_gmm.run.doctor import Finding


def test_this_machine_is_well(project, dask_gmm):
    code, out, err = dask_gmm("doctor", "--json")
    assert code == 0, err
    findings = {each["name"]: each for each in json.loads(out)["findings"]}
    assert {"dask-gmm", "Python", "packages", "BLAS", "Numba", "cores", "memory"} <= set(findings)
    assert "fails" not in {each["state"] for each in findings.values()}
    assert findings["workers (local)"]["said"].startswith("1 stood ready after")
    assert f"zarr {metadata.version('zarr')}" in findings["packages"]["said"]


def test_with_a_configuration_its_input_and_workers_are_tried(picture, dask_gmm, monkeypatch):
    monkeypatch.setattr(doctor, "_extras", lambda: iter(()))
    code, out, _ = dask_gmm("doctor", picture.config())
    assert code == 0
    said = " ".join(out.replace("│", " ").split())
    assert "2,400 rows in 3 features" in said
    assert "workers (threads)" in said
    code, _, err = dask_gmm("doctor", picture.config(source={"path": "data/absent.zarr"}))
    assert code == 1
    assert err.startswith("error: input: ")
    assert dask_gmm("doctor", "nowhere.yaml")[0] == 2
    nobody = {"kind": "scheduler-file", "path": "none.json", "timeout": 1}
    code, _, err = dask_gmm("doctor", picture.config(cluster=nobody))
    assert code == 1
    assert err.startswith("error: workers (scheduler-file): ")


def test_what_does_not_go_together_is_said_with_its_remedy(monkeypatch):
    versions = {"numpy": "1.26.4", "dask": "2025.7.0", "distributed": "2025.9.1"}
    real = metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: versions.get(name) or real(name))
    said = {(each.name, each.state): each.said for each in doctor._packages()}
    assert "python3 -m pip install 'numpy>=2.0'" in said["numpy", "fails"]
    assert "'distributed==2025.7.0'" in said["dask", "fails"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("NUMBA_DISABLE_JIT", "1", "unset it"),
        ("NUMBA_CACHE_DIR", "/proc/nowhere", "set NUMBA_CACHE_DIR"),
        ("MALLOC_TRIM_THRESHOLD_", "65536", "unset it for workers"),
    ],
)
def test_what_makes_runs_slow_is_warned_of(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    found = [*doctor._compiled(), *doctor._environment()]
    warned = [each for each in found if each.state == "warns"]
    assert len(warned) == 1
    assert words in warned[0].said


def test_findings_fit_a_terminal(capsys):
    doctor.print_findings([Finding("a", "[bold]b"), Finding("c", "d", "fails")])
    out = capsys.readouterr().out
    assert "[bold]b" in out
    assert "✗" in out


def test_a_trial_tells_a_time_and_how_it_was_made(picture, dask_gmm):
    code, out, err = dask_gmm("plan", picture.config(), "--trial", "--json")
    assert code == 0, err
    trial = json.loads(out)["trial"]
    assert trial["n_rows"] == trial["rows"] == 2400
    assert trial["passes"] == 7
    assert trial["at_a_time"] == 1
    assert trial["step"] >= 0  # of so few rows a clock sees nothing
    assert trial["seconds"] > 0
    _, out, _ = dask_gmm("plan", picture.config(), "--trial")
    assert "readings of 2,400 rows by 1 task at a time" in " ".join(out.split())
    (picture.path / "data/toy.zarr/c/0/0/0").write_bytes(b"broken")
    code, _, err = dask_gmm("plan", picture.config(), "--trial")
    assert code == 3
    assert "chunk c/0/0/0" in err


def test_a_trial_knows_quantiles_and_the_field(picture, dask_gmm):
    asked = {
        "features": [{"kind": "quantile", "of": "band0"}, "band1"],
        "smoothing": {"spatial": {"strength": 1.0, "neighbourhood": 8, "iterations": 3}},
    }
    code, out, err = dask_gmm("plan", picture.config(**asked), "--trial", "--json")
    assert code == 0, err
    trial = json.loads(out)["trial"]
    assert (trial["passes"], trial["scoring"]) == (8, 1)
    assert trial["field"] > 0
    assert f"smoothing {trial['field']:,.0f}; 8 readings" in trial["said"]
    assert "(quantiles and survey, 5 of EM" in trial["said"]
