"""What a command does not need, it does not import: it starts quickly, and says so quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Each takes a tenth of a second or more.
FOR_WORK_ALONE = {
    "sklearn", "dask", "distributed", "matplotlib", "PIL", "jinja2", "safetensors", "pandas",
    "pyarrow", "threadpoolctl",
}  # fmt: skip
FOR_CONFIGURATIONS = {"numpy", "zarr", "pydantic", "ruamel"}


def imported(project, *arguments):
    """Return the packages that a command has imported when it ends, and its exit code."""
    code = (
        "import sys; from dask_gmm.run.cli import main; code = main(sys.argv[1:]);"
        "print(code, *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=project.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ended, *names = done.stderr.splitlines()[-1].split()
    return int(ended), set(names)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"]])
def test_help_needs_nothing(project, arguments):
    code, names = imported(project, *arguments)
    assert code == 0
    assert not names & (FOR_WORK_ALONE | FOR_CONFIGURATIONS | {"scipy"})


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_metadata_need_little(picture, verb):
    code, names = imported(picture, verb, picture.config())
    assert code == 0
    assert not names & FOR_WORK_ALONE


def test_a_skipped_run_needs_little(picture, dask_gmm):
    assert dask_gmm("run", picture.config())[0] == 0
    code, names = imported(picture, "run", picture.config())
    assert code == 0
    assert not names & (FOR_WORK_ALONE | {"scipy"})
    code, names = imported(picture, "run", picture.config(if_exists="skip"))
    assert code == 0
    assert not names & (FOR_WORK_ALONE | {"scipy", "zarr"})
