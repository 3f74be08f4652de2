"""Overrides, environment variables, and what a loaded configuration tells about itself."""

from __future__ import annotations

import pickle
from datetime import datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config import Config, load_config

MINIMAL = """\
version: 1
name: test
run_dir: runs/{name}-{date}T{time}
source: {kind: zarr, path: data/picture.zarr}
model:
  n_components: 3
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(MINIMAL)
    return path


def refusal(path, *overrides):
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, overrides=overrides)
    return str(caught.value)


def test_overrides_are_yaml_and_the_last_one_wins(path):
    config = load_config(
        path,
        overrides=[
            "model.n_components=4",
            "model={n_components: 5, tol: 1e-4}",
            "model.n_init=2",
            "outputs.labels.path=labels.zarr",
            "source.path=a=b.zarr",
        ],
    )
    assert (config.model.n_components, config.model.tol, config.model.n_init) == (5, 1e-4, 2)
    assert config.outputs.labels is not None
    assert config.outputs.labels.path == "labels.zarr"
    assert config.source.path == "a=b.zarr"


def test_an_override_mends_a_null_section(path):
    path.write_text(MINIMAL + "fit:\n")
    assert load_config(path, overrides=["fit.max_passes=3"]).fit.max_passes == 3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.tol", "--set model.tol: found no key and value; write it as key.path=value"),
        ("=3", "found no key and value"),
        ("model..tol=3", "found no key and value"),
        ("model.n_init.x=3", "found a mapping of length 1; allowed an integer >= 1"),
        ("model.tol=[1", "close the bracket or brace"),
        ("model.tol=*x", "--set model.tol=*x: found an anchor or alias"),
        ("name=\x07", r"--set name=\x07: found a control character; remove it"),
        (
            "source.kind.x=3",
            "found a single value or list at source.kind; set source.kind as a whole",
        ),
        ("modle.n_init=2", "--set modle.n_init=2: modle: found an unknown key; "),
        (
            "model.n_init={x: 1}",
            "model.n_init: found a mapping of length 1; allowed an integer >= 1",
        ),
        (".".join("x" * 50) + "=1", "found no key and value"),
    ],
)
def test_overrides_that_are_refused(path, override, expected):
    message = refusal(path, override)
    assert message.startswith("--set ")
    assert "\n" not in message
    assert expected in message


def test_an_override_never_shows_credentials(path):
    for override in (
        "source.storage_options=hunter2",
        "source={storage_options: {a: hunter2}}",
    ):
        assert "hunter2" not in refusal(path, override)


def test_variables_are_put_in_after_parsing(path, monkeypatch):
    monkeypatch.setenv("K", "7")
    monkeypatch.setenv("WHERE", "some: where}")
    path.write_text(
        MINIMAL.replace("n_components: 3", "n_components: ${K}")
        .replace("data/picture", "'/x/${WHERE}-${K}")
        .replace(".zarr}", ".zarr'}")
    )
    config = load_config(path)
    assert config.model.n_components == 7
    assert config.source.path == "/x/some: where}-7.zarr"
    assert config.redacted()["model"]["n_components"] == "${K}"
    assert config.redacted()["source"]["path"] == "/x/${WHERE}-${K}.zarr"
    assert "where" not in repr(config)
    assert "where" not in str(config)


def test_a_quoted_variable_stays_a_text(path, monkeypatch):
    monkeypatch.setenv("NAME", "2026")
    path.write_text(MINIMAL.replace("name: test", 'name: "${NAME}"'))
    assert load_config(path).name == "2026"
    path.write_text(MINIMAL.replace("name: test", "name: ${NAME}"))
    assert "2:7: name: found the value of '${NAME}'; allowed letters" in refusal(path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${DASK_GMM_UNSET}", "found ${DASK_GMM_UNSET}, which is not set; set DASK_GMM_UNSET, or"),
        ("a${", "found '${' without a name"),
        ("a${1}", "found '${' without a name"),
        ("${LINES_OF_TEXT}", "found ${LINES_OF_TEXT}, which holds unprintable characters"),
    ],
)
def test_variables_that_cannot_be_followed_are_placed(path, monkeypatch, value, expected):
    monkeypatch.delenv("DASK_GMM_UNSET", raising=False)
    monkeypatch.setenv("LINES_OF_TEXT", "a\nb")
    path.write_text(MINIMAL.replace("name: test", f"name: {value}"))
    assert refusal(path).startswith(f"{path}:2:7: name: {expected}")


def test_values_of_variables_never_appear_in_messages(path, monkeypatch):
    monkeypatch.setenv("HIDDEN", "hunter2")
    for override in (
        "model.n_init",
        "source.kind",
        "if_exists",
        "run_dir",
        "source.missing_chunks",
        "fit",
    ):
        line = refusal(
            path,
            f"{override}=${{HIDDEN}}{{" if override == "run_dir" else f"{override}=${{HIDDEN}}",
        )
        assert "hunter2" not in line
        assert "${HIDDEN}" in line


def test_variables_in_keys_are_not_followed(path, monkeypatch):
    monkeypatch.setenv("KEY", "n_init")
    path.write_text(MINIMAL + '  "${KEY}": 3\n')
    assert "7:3: model.'${KEY}': found an unknown key" in refusal(path)


def test_paths_are_absolute_and_filled_in(path, tmp_path):
    config = load_config(
        path, directory=tmp_path / "x" / "..", overrides=["outputs.labels.path=l.zarr"]
    )
    paths = config.paths(datetime(2026, 11, 23, 14, 5, 9))
    assert paths.run_dir == tmp_path / "runs" / "test-2026-11-23T140509"
    assert paths.sources == (str(tmp_path / "data" / "picture.zarr"),)
    assert paths.outputs == {"labels": paths.run_dir / "l.zarr"}
    assert load_config(path).directory == Path.cwd()


def test_secrets_in_storage_options_are_redacted():
    options = {"anon": False, "SECRET": "hunter2", "client": {"api_key": "hunter2", "region": "x"}}
    source = {"kind": "zarr", "path": "x", "storage_options": options}
    config = Config.model_validate(
        {"version": 1, "name": "a", "run_dir": "b", "source": source, "model": {"n_components": 1}}
    )
    assert config.redacted()["source"]["storage_options"] == {
        "anon": False,
        "SECRET": "***",
        "client": {"api_key": "***", "region": "***"},
    }
    assert "hunter2" not in repr(config) + str(config) + repr(config.source)


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "run_dir=elsewhere",
        "cluster={kind: threads, n_workers: 8}",
        "if_exists=error",
        "model.n_components=3",
        "model.tol=auto",
        "fit={}",
    ],
)
def test_the_hash_ignores_where_and_how(path, override):
    assert load_config(path, overrides=[override]).hash() == load_config(path).hash()


@pytest.mark.parametrize(
    "override",
    [
        "source.path=data/other.zarr",
        "source.feature_axis=0",
        "source.on_invalid=error",
        "standardize=false",
        "model.n_components=4",
        "model.random_state=1",
        "model.tol=1e-3",
        "fit.sample_rows=1000",
        "outputs.labels={path: labels.zarr}",
    ],
)
def test_the_hash_tells_results_apart(path, override):
    assert load_config(path, overrides=[override]).hash() != load_config(path).hash()


def test_the_hash_is_of_meaning_not_of_spelling(path, tmp_path, monkeypatch):
    monkeypatch.setenv("K", "3")
    other = tmp_path / "other.yaml"
    other.write_text(
        "# same\n" + MINIMAL.replace("n_components: 3", "tol: auto\n  n_components: ${K}")
    )
    assert load_config(other).hash() == load_config(path).hash()
    floats = [
        load_config(path, overrides=[f"model.tol={tol}"]).hash() for tol in ("1", "1.0", "1e0")
    ]
    assert len(set(floats)) == 1


def test_what_is_written_down_loads_again(path, tmp_path):
    config = load_config(path, overrides=["outputs.probabilities={path: p.zarr}", "model.tol=1e-5"])
    copy = tmp_path / "config.yaml"
    YAML(typ="safe").dump(config.redacted(), copy)
    again = load_config(copy)
    assert again == config
    assert again.hash() == config.hash()


def test_a_configuration_is_frozen_and_travels(path):
    config = load_config(path)
    with pytest.raises(ValueError, match="frozen"):
        config.model.n_components = 5
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert copy.directory == config.directory
