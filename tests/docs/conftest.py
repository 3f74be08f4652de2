"""The built pages, made once for all tests that look at them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.pages import DOCS


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Return the folder of the built pages; a warning of the build is an error."""
    pytest.importorskip("sphinx", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    places = ["--nitpicky", "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")]
    done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"
