"""The command as a user meets it: what it prints, where, and the code it ends with."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import click
import numpy as np
import pytest

from dask_gmm import __version__
from dask_gmm.run import cli, job

from .conftest import blobs

HEAD = """\
version: 1
name: toy
run_dir: runs/{name}
source: {kind: zarr, path: data/toy.zarr}
"""
MODEL = "model: {n_components: 3}\n"

#: What is wrong, the configuration, and what the one line says of it: place, key, words.
BROKEN = {
    "unknown key": (
        HEAD + "model: {n_component: 3, n_components: 3}\n",
        r"run\.yaml:5:9: model\.n_component: found an unknown key; .*did you mean n_components\?",
    ),
    "duplicate key": (HEAD + MODEL + MODEL, r"run\.yaml:6:1: .*model.*twice|duplicate"),
    "wrong type": (
        HEAD + "model: {n_components: six}\n",
        r"run\.yaml:5:23: model\.n_components: found 'six'; allowed an integer >= 1",
    ),
    "K = 0": (
        HEAD + "model: {n_components: 0}\n",
        r"run\.yaml:5:23: model\.n_components: found 0; allowed an integer >= 1",
    ),
    "unknown covariance type": (
        HEAD + "model: {n_components: 3, covariance_type: ful}\n",
        r"run\.yaml:5:43: model\.covariance_type: found 'ful'; .*did you mean full\?",
    ),
    "negative memory limit": (
        HEAD + MODEL + "cluster: {kind: local, memory_limit: -2GiB}\n",
        r"run\.yaml:6:38: cluster\.memory_limit: found '-2GiB'; allowed bytes above 0",
    ),
    "output that escapes": (
        HEAD + MODEL + "outputs:\n  labels: {path: ../labels.zarr}\n",
        r"run\.yaml:7:18: outputs\.labels\.path: found '\.\./labels\.zarr'; allowed a path inside",
    ),
    "unset variable": (
        HEAD.replace("data/toy.zarr", "'${NOWHERE}/toy.zarr'") + MODEL,
        r"run\.yaml:4:28: source\.path: found \$\{NOWHERE\}, which is not set",
    ),
    "alias bomb": (
        HEAD + MODEL + "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        r"run\.yaml:\d+:\d+: .*(alias|anchor)",
    ),
    "tab": (HEAD + "model:\n\tn_components: 3\n", r"run\.yaml:6:1: .*tab"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_configuration_is_told_by_the_real_command(project, case):
    text, expected = case
    (project.path / "run.yaml").write_text(text)
    code, out, err = project.command("validate", "run.yaml")
    assert code == 2
    assert not out
    (line,) = err.splitlines()
    assert re.match(f"error: {expected}", line), line


def test_a_missing_configuration(project, dask_gmm):
    code, _, err = dask_gmm("validate", "nowhere.yaml")
    assert code == 2
    assert err == "error: nowhere.yaml: found no such file; correct the path\n"


def test_a_missing_input(project, dask_gmm):
    config = project.config()
    for verb in ("validate", "plan", "run"):
        code, _, err = dask_gmm(verb, config)
        assert code == 3
        said = f"error: {project.path}/data/toy.zarr: does not exist; source.path must be the dir"
        assert said in err


def test_every_problem_has_its_line(project, dask_gmm):
    path = project.config(model={"n_components": 0, "covariance_type": "round"}, standardize="yes")
    code, _, err = dask_gmm("validate", path)
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == 3
    assert all(re.match(r"error: .*run\.yaml:\d+:\d+: ", line) for line in lines)


def test_validate_says_what_it_has_seen(picture, dask_gmm):
    path = picture.config()
    code, out, err = dask_gmm("validate", path)
    assert (code, err) == (0, "")
    first, *warned = out.splitlines()
    assert first == f"{path}: valid; the input has 2,400 rows in 3 features"
    assert len(warned) == 1
    assert warned[0].startswith("warning: source.path: the input is stored without checksums")
    said = json.loads(dask_gmm("validate", path, "--json")[1])
    assert said["valid"] is True
    assert [f"warning: {each}" for each in said["warnings"]] == warned
    assert not (picture.path / "runs").exists()


def test_plan_tells_the_numbers_and_reads_nothing(picture, dask_gmm):
    for chunk in (picture.path / "data/toy.zarr/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not a chunk")  # whoever decoded it would notice
    code, out, err = dask_gmm("plan", picture.config(), "--json")
    assert (code, err) == (0, "")
    numbers = json.loads(out)
    assert numbers.pop("worker_bytes") > 0
    assert numbers == {
        "input": f"{picture.path}/data/toy.zarr",
        "rows": 2400,
        "features": 3,
        "dtype": "uint8",
        "chunks": 6,
        "leaves": 1,
        "checksums": False,
        "stored_bytes": 66,
        "decoded_bytes_per_pass": 7200,
        "sample_rows": 1000,
        "count_compression": "if at most 300 rows are distinct; 19 bytes each",
        "worker_memory_limit": None,
        "fits": True,
        "smoothing": None,
    }
    assert not (picture.path / "runs").exists()


def test_paths_are_relative_to_the_directory_given(picture, dask_gmm, monkeypatch):
    config = picture.config()
    (picture.path / "elsewhere").mkdir()
    monkeypatch.chdir(picture.path / "elsewhere")
    assert dask_gmm("validate", config)[0] == 3
    code, out, err = dask_gmm("run", config, "-C", picture.path)
    assert code == 0, err
    assert f"{picture.run_dir}/report.html" in out
    assert not list((picture.path / "elsewhere").iterdir())


def test_settings_are_put_over_the_configuration(picture, dask_gmm):
    settings = ("--set", "model.n_components=2", "--set", "run_dir=runs/other")
    code, _, err = dask_gmm("run", picture.config(), *settings)
    assert code == 0, err
    assert len(picture.manifest(picture.path / "runs/other")["classes"]) == 2


def test_help_and_version(dask_gmm):
    assert dask_gmm("--version")[:2] == (0, f"dask-gmm, version {__version__}\n")
    for arguments in (["--help"], ["run", "--help"], ["plan", "-h"]):
        code, out, err = dask_gmm(*arguments)
        assert (code, err) == (0, "")
        assert "Usage" in out


@pytest.mark.parametrize("arguments", [[], ["run"], ["runn"], ["run", "a", "--no"]])
def test_wrong_usage(arguments, dask_gmm):
    assert dask_gmm(*arguments)[0] == 2


# --- what is printed where -----------------------------------------------------------------------


def test_logs_as_json_carry_the_run_id(picture):
    config = picture.config(cluster={"kind": "local", "n_workers": 1})
    code, out, err = picture.command("run", config, "--log-format", "json", "--json")
    assert code == 0, err
    lines = [json.loads(line) for line in err.splitlines()]
    run_id = json.loads(out)["run_id"]
    assert {line["run_id"] for line in lines} == {run_id}
    assert {line["level"] for line in lines} == {"info"}
    messages = [line["message"] for line in lines]
    assert any(re.match(r"pass 1: mean log-likelihood -?\d", message) for message in messages)
    # A run that is skipped names the run that it found.
    code, _, err = picture.command("run", config, "--log-format", "json")
    assert {json.loads(line)["run_id"] for line in err.splitlines()} == {run_id}


def test_errors_are_lines_of_json_too(picture, dask_gmm):
    config = picture.config()
    (picture.path / "data/toy.zarr/c/0/0/0").write_bytes(b"broken")
    code, _, err = dask_gmm("run", config, "--log-format", "json")
    assert code == 3
    *_, last = [json.loads(line) for line in err.splitlines()]
    assert last["level"] == "error"
    assert last["run_id"]
    assert last["message"].startswith(f"{picture.path}/data/toy.zarr: chunk c/0/0/0")


def test_plain_logs(picture, dask_gmm):
    code, out, err = dask_gmm("run", picture.config(), "--log-format", "plain")
    assert code == 0
    for line in err.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\[\w{16}\] )?(INFO|WARNING) \S", line)
    assert "INFO" not in out
    # Where stderr is no terminal, the format for terminals is the plain one.
    assert dask_gmm("run", picture.config(if_exists="overwrite"))[2].startswith("20")


def test_warnings_of_python_are_log_lines(picture, dask_gmm, monkeypatch):
    import warnings

    opened = job.open_configured

    def warning(*arguments):
        warnings.warn("something\nis odd", UserWarning, stacklevel=1)
        return opened(*arguments)

    monkeypatch.setattr(job, "open_configured", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = dask_gmm("run", picture.config(), "--log-format", "plain")
    assert code == 0
    (line,) = [line for line in err.splitlines() if "something" in line]
    assert re.search(r"WARNING UserWarning: something$", line)


def on_a_terminal(project, columns, *arguments):
    """Call the command on a terminal so wide; return all that appears on it."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "dask_gmm", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, cwd=project.path, env=environment, stdout=slave, stderr=slave, stdin=slave
    )
    os.close(slave)
    seen = []

    def read():
        try:
            while chunk := os.read(master, 65536):
                seen.append(chunk)
        except OSError:  # Linux's way to say that nobody writes any more
            pass

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(timeout=60) == 0
    reader.join()
    os.close(master)
    return re.sub(r"\x1b\[[0-9;]*m", "", b"".join(seen).decode())


@pytest.mark.parametrize("columns", [40, 120])
def test_a_terminal_of_any_width(picture, columns):
    seen = on_a_terminal(picture, columns, "run", picture.config())
    assert re.search(r"\d\d:\d\d:\d\d [0-9a-f]{16} survey: \d+\.\d s", seen)
    assert f"{picture.run_dir}/report.html\r\n" in seen  # whole, to be copied
    if columns == 40:
        assert re.search(r"class 1: 51\.00%, 1,224 rows; feature 1 40\.3 ± 8\.06", seen)
    else:
        assert re.search(r"│\s+1 │ 51\.00% │ 1,224 │\s+40\.3 ± 8\.06 │", seen)
    assert "…" not in seen


def test_names_do_not_command_the_terminal(project, dask_gmm):
    names = ["[bold]red", "[/]", "\x1b[31mblue"]
    project.array(blobs((40, 60)), (20, 24, 3), attributes={"feature_names": names})
    code, out, err = dask_gmm("run", project.config())
    assert code == 0, err
    assert "[bold]red" in out
    assert "[/]" in out
    assert "\x1b" not in out + err


def test_a_reader_that_goes_away_is_no_failure(picture):
    assert picture.command("run", picture.config())[0] == 0
    for arguments in (["run", "run.yaml"], ["run", "run.yaml", "--json"], ["plan", "run.yaml"]):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run(
            [sys.executable, "-m", "dask_gmm", *arguments],
            cwd=picture.path, stdout=write, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        os.close(write)
        assert process.returncode == 0, process.stderr
        assert "error" not in process.stderr.lower()


@pytest.mark.parametrize("unbuffered", [True, False])
def test_a_full_standard_output_is_a_failure(picture, dask_gmm, unbuffered):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    for arguments in (["plan", picture.config()], ["--help"]):
        with Path("/dev/full").open("w") as full:
            process = subprocess.run(
                [sys.executable, "-m", "dask_gmm", *arguments], env=environment,
                cwd=picture.path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert process.returncode == 1
        assert process.stderr.startswith("error: No space left on device; make room")


# --- what is not told ----------------------------------------------------------------------------


def test_no_value_of_the_environment_is_left_behind(project, dask_gmm, monkeypatch):
    planted = "hunter2-planted"
    project.array(blobs((40, 60)), (20, 24, 3), path=f"data/{planted}.zarr")
    monkeypatch.setenv("PLANTED", planted)
    source = {"path": "data/${PLANTED}.zarr"}
    options = {"key": "${PLANTED}", "token": "plain-secret", "client": {"x": planted}}
    outputs = [
        dask_gmm("run", project.config(source=source), "--json"),
        dask_gmm("run", project.config(source=source)),
        dask_gmm("run", project.config(source=source, model={"n_components": 2})),
        dask_gmm("validate", project.config(source=source), "--json"),
        dask_gmm("validate", project.config(source={**source, "storage_options": options})),
        dask_gmm("validate", project.config(), "--set=name=${PLANTED}/x"),
    ]
    assert [code for code, _, _ in outputs] == [0, 0, 2, 0, 2, 2]
    for _, out, err in outputs:
        assert planted not in out + err
        assert "plain-secret" not in out + err
    found = [path for path in project.run_dir.rglob("*") if path.is_file()]
    assert len(found) > 20
    for path in found:
        content = path.read_bytes()
        assert planted.encode() not in content, path
        assert b"plain-secret" not in content, path
    assert project.manifest()["inputs"][0]["path"] == "data/${PLANTED}.zarr"


def test_what_nobody_foresaw_is_told_in_one_line(picture, dask_gmm, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(config, command, **options):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(job, "run_configured", broken)
    code, out, err = dask_gmm("run", picture.config())
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ZeroDivisionError: of all things (this was not foreseen")
    (details,) = tmp_path.glob("dask-gmm-*.traceback")
    assert str(details) in line
    assert "in broken" in details.read_text()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    code, _, err = dask_gmm("run", picture.config())
    assert code == 1
    assert "its details could not be written (No such file or directory)" in err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted; start the same command again"),
        (OSError(28, "No space left on device", "/a/b"), 1, "/a/b: No space left on device"),
        (BrokenPipeError(32, "Broken pipe"), 1, "a connection was closed (Broken pipe)"),
        (type("CommClosedError", (OSError,), {})("in <TCP>"), 75, "connection to the Dask sched"),
        (type("FutureCancelledError", (Exception,), {})("x"), 75, "connection to the Dask sched"),
        (type("NoWorkerError", (Exception,), {})("x", 3), 75, "all worker processes have ended"),
        (RuntimeError("Cluster failed to start: no"), 1, "worker processes could not be started"),
    ],
)
def test_foreseen_failures(picture, dask_gmm, monkeypatch, error, code, words):
    def broken(config, command, **options):
        raise error

    monkeypatch.setattr(job, "run_configured", broken)
    found, _, err = dask_gmm("run", picture.config())
    assert found == code, err
    assert words in err
    assert "not foreseen" not in err


def test_every_verb_is_documented():
    context = click.Context(cli.cli)
    verbs = cli.cli.list_commands(context)
    assert len(verbs) >= 13
    for name in verbs:
        command = cli.cli.get_command(context, name)
        assert command.help, name
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, (name, parameter.name)


def test_ingest(project, dask_gmm):
    from PIL import Image

    pixels = blobs((40, 60))
    Image.fromarray(pixels).save(project.path / "picture.png")
    arguments = ("ingest", "picture.png", "data/picture.zarr", "--chunk", 16, 32)
    code, out, err = dask_gmm(*arguments)
    assert code == 0, err
    assert out == "data/picture.zarr: 40 x 60 x 3 |u1, 6 chunks\n"
    code, _, err = dask_gmm(*arguments)
    assert code == 0
    assert "is already ingested" in err
    project.values = np.asarray(pixels)
    code, _, err = dask_gmm("run", project.config(source={"path": "data/picture.zarr"}))
    assert code == 0, err
    assert project.manifest()["feature_names"] == ["red", "green", "blue"]
    assert dask_gmm("ingest", "nowhere.png", "data/x.zarr")[0] == 3
