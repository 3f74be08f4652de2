"""Wheel and sdist hold what they should, and work where nothing else is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest
import sklearn
from ruamel.yaml import YAML

import dask_gmm

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SUPPORTED = ("3.11", "3.12", "3.13")
#: A first fit, as somebody would try it; its last line is looked for.
FIRST_FIT = """
import numpy as np, dask.array as da
from dask_gmm import GaussianMixture
X = np.random.default_rng(0).normal(np.array([[0, 0], [9, 9]]).repeat(500, 0), 1.0)
mixture = GaussianMixture(2, random_state=0).fit(da.from_array(X, chunks=(250, 2)))
print("means", sorted(int(mean) for mean in mixture.means_.round().ravel()))
"""


def checked(*command, **options):
    """Run a command that must succeed, and return what it has printed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the wheel and the sdist of a copy without what was not committed."""
    pytest.importorskip("build", reason="needs the extra test")
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a clone: what would be distributed is not known")
    listed = checked("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                     "--exclude-standard")  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    checked(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def test_a_wheel_holds_the_package_alone(built):
    wheel, _ = built
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"dask_gmm", f"dask_gmm-{dask_gmm.__version__}.dist-info"}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dask_gmm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here == {name for name in names if name.startswith("dask_gmm/")}
    assert {"dask_gmm/py.typed", "dask_gmm/run/blue-marble.yaml"} <= here
    assert wheel.name.endswith("py3-none-any.whl")
    assert wheel.stat().st_size < 1_000_000


def test_a_wheel_says_what_it_is(built):
    wheel, _ = built
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        said = message_from_bytes(archive.read(f"{folder}/METADATA"))
        assert archive.read(f"{folder}/licenses/LICENSE").startswith(b"BSD 3-Clause")
    assert said["Version"] == dask_gmm.__version__
    assert said["License-Expression"] == "BSD-3-Clause"
    assert said["Requires-Python"] == ">=3.11"
    assert set(said.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert "# dask-gmm" in said.get_payload()
    versions = {line.rsplit(" ", 1)[1] for line in said.get_all("Classifier") if ":: 3." in line}
    assert set(SUPPORTED) <= versions


def test_an_sdist_can_be_tested_and_documented(built):
    _, sdist = built
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile"} <= names
    assert {"tests/conftest.py", "docs/conf.py", "configs/table.yaml", "dask_gmm/py.typed"} <= names
    assert not {name for name in names if name.split("/")[0] in {"data", "runs", "build", ".venv"}}


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Return the interpreter of an environment that holds the wheel and nothing else.

    What it needs is seen through PYTHONPATH, which does not see an editable installation.
    """
    folder = tmp_path_factory.mktemp("environment")
    checked(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    quiet = ("--quiet", "--disable-pip-version-check")
    checked(sys.executable, "-m", "pip", *quiet, "--python", python, "install", "--no-index",
            "--no-deps", built[0])  # fmt: skip
    return python


def around(python):
    """Return the environment in which an installed wheel sees this one's packages, but not us."""
    packages = Path(np.__file__).parents[1]
    assert packages == Path(sklearn.__file__).parents[1]
    assert not (packages / "dask_gmm").exists(), "dask-gmm is installed here, not as editable"
    return {**os.environ, "PYTHONPATH": str(packages), "PATH": f"{python.parent}:/usr/bin:/bin"}


def test_an_installed_wheel_works(installed, tmp_path):
    environment = around(installed)
    where = "import dask_gmm; print(dask_gmm.__file__)"
    found = checked(installed, "-c", where, env=environment, cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(installed.parents[1])
    command = installed.parent / "dask-gmm"
    said = checked(command, "--version", env=environment, cwd=tmp_path)
    assert dask_gmm.__version__ in said
    assert "demo" in checked(command, "--help", env=environment, cwd=tmp_path)
    said = checked(installed, "-c", FIRST_FIT, env=environment, cwd=tmp_path)
    assert said.strip().endswith("means [0, 0, 9, 9]")


def interpreter(version):
    """Return where Python of a version is, on the path or among pyenv's."""
    found = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    others = sorted(root.glob(f"versions/{version}.*/bin/python"))
    for python in [*([found] if found else []), *others]:
        code = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return python
    pytest.skip(f"Python {version} is not on this machine")
    raise AssertionError


@pytest.mark.long
@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_into_an_empty_environment(built, version, kind, tmp_path):
    wheel, sdist = built
    checked(interpreter(version), "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    asked = subprocess.run([*pip, "download", "--no-deps", "-d", tmp_path, "click"], check=False)
    if asked.returncode:
        pytest.skip("pip has no index here")
    checked(*pip, "install", wheel if kind == "wheel" else sdist)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = python.parent / "dask-gmm"
    assert dask_gmm.__version__ in checked(command, "--version", env=environment, cwd=tmp_path)
    said = checked(python, "-c", FIRST_FIT, env=environment, cwd=tmp_path)
    assert said.strip().endswith("means [0, 0, 9, 9]")
    checked(*pip, "check")


def test_the_citation_is_of_this_version():
    cited = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "type"} <= set(cited)
    assert cited["version"] == dask_gmm.__version__
    assert cited["license"] == PROJECT["license"]
    assert [each["name"] for each in cited["authors"]] == [
        each["name"] for each in PROJECT["authors"]
    ]
