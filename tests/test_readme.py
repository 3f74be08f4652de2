"""What the README shows does what it says; that all of it runs, `tests/docs` sees to."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from dask_gmm import GaussianMixture, errors
from dask_gmm.run.cli import main as dask_gmm

ROOT = Path(__file__).parents[1]


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def blue_marble(tmp_path, monkeypatch):
    """A small picture of six colours under the README's name, in the working directory."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(11)
    colors = np.array(
        [[6, 18, 45], [19, 51, 100], [50, 55, 26], [132, 125, 110], [200, 60, 60], [249, 252, 253]]
    )
    of = generator.choice(6, (120, 160), p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    picture = np.clip(np.rint(generator.normal(colors[of], 4.0)), 0, 255).astype("uint8")
    array = zarr.create_array(
        "data/blue-marble.zarr", shape=picture.shape, chunks=(64, 64, 3), dtype="uint8"
    )
    array[:] = picture
    return of


def test_the_python_example_of_selection(capsys):
    _, code = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("2 full [")


def test_the_python_example(blue_marble, capsys):
    code, _ = blocks(ROOT / "README.md", "python")
    assert len(code.splitlines()) <= 10
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["labels"].shape == blue_marble.shape
    assert names["labels"].chunks == names["X"].chunks[:-1]
    labels = names["labels"].compute()
    # Classes are found under other numbers: every true colour has one label nearly everywhere.
    for k in range(6):
        assert np.bincount(labels[blue_marble == k]).max() > 0.98 * (blue_marble == k).sum()
    loaded = GaussianMixture.load("mixture.safetensors")
    np.testing.assert_array_equal(loaded.means_, names["mixture"].means_)
    assert json.loads(Path("mixture.json").read_text())["n_components"] == 6
    assert capsys.readouterr().out


def test_the_yaml_example(blue_marble):
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert len(text.splitlines()) <= 10
    Path("example.yaml").write_text(text, encoding="utf-8")
    # As a process of its own: this one would count the workers' sockets as warnings.
    command = [sys.executable, "-m", "dask_gmm", "run", "example.yaml", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    run_dir = Path(json.loads(done.stdout)["run_dir"])
    labels = zarr.open_array(run_dir / "labels.zarr", mode="r")[:]
    assert labels.shape == blue_marble.shape
    assert (run_dir / "uncertainty.zarr").exists()
    assert not (run_dir / "probabilities.zarr").exists()
    pixels = zarr.open_array("data/blue-marble.zarr", mode="r")[:].reshape(-1, 3)
    predicted = GaussianMixture.load(run_dir).predict(pixels.astype(float))
    np.testing.assert_array_equal(labels.ravel(), predicted + 1)
    page = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([a-z]+\.(?:html|json|jsonl|yaml|safetensors|zarr))`", page))
    listed |= set(re.findall(r"`([a-z]+)/`", page))
    for each in run_dir.iterdir():
        assert each.name in listed or each.name.startswith("."), f"{each.name} is not on the page"


def test_the_first_two_commands_are_the_promised_ones():
    first = blocks(ROOT / "README.md", "sh")[0]
    assert [shlex.split(line, comments=True) for line in first.splitlines()] == [
        ["make", "demo"],
        ["make", "test"],
    ]


def test_from_an_installation_to_a_report_it_takes_three_commands():
    install, demo, look = blocks(ROOT / "README.md", "sh")[1].splitlines()
    assert "pip install" in install
    assert demo == "dask-gmm demo"
    assert look.startswith("python3 -m webbrowser")
    assert "report.html" in look


def test_the_exit_codes_are_those_of_the_program(blue_marble, capsys):
    page = (ROOT / "docs/reference/command.md").read_text(encoding="utf-8")
    table = page[page.index("| code |") :].split("\n\n")[0]
    documented = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.M)
                  for number in row.split(",")}  # fmt: skip
    raised = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.DaskGmmError)
    }
    assert documented == raised | {0, 130, 143}
    # Two of them as they come out of the example.
    Path("example.yaml").write_text(blocks(ROOT / "README.md", "yaml")[0], encoding="utf-8")
    assert dask_gmm(["plan", "example.yaml"]) == 0
    assert dask_gmm(["plan", "example.yaml", "--set", "model.n_components=0"]) == 2
    assert dask_gmm(["plan", "example.yaml", "--set", "source.path=absent.zarr"]) == 3
    capsys.readouterr()


def test_the_picture_is_small_enough_for_a_page():
    assert (ROOT / "docs/images/blue-marble-classes.png").stat().st_size <= 300_000
