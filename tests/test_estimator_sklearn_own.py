"""scikit-learn's own tests of its GaussianMixture, run on ours: each passes, or is explained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn import mixture

THEIRS = Path(mixture.__file__).parent / "tests" / "test_gaussian_mixture.py"
IMPORT = "from sklearn.mixture import GaussianMixture\n"
#: What their own conftest.py, which is not installed, gives to tests.
CONFTEST = """
import numpy as np
import pytest

@pytest.fixture(params=[np.float64, np.float32])
def global_dtype(request):
    return request.param

@pytest.fixture
def global_random_seed():
    return 42
"""

#: Test (with what its parameters begin with) -> why ours differs, as the migration page says it.
DIFFERENT = {
    "test_check_weights": "names the largest value as the largest",
    "test_regularisation": "finite parameters, and `component_status_` says what was done",
    "test_gaussian_mixture_fit_predict[float32": "computed in float64",
    "test_gaussian_mixture_fit[float32": "computed in float64",
    "test_score[float32": "computed in float64",
    "test_fitted_precision_covariance_concistency[float32": "computed in float64",
    "test_means_for_all_inits[float32": "computed in float64",
    "test_gaussian_mixture_precisions_init_diag[float32": "computed in float64",
    "test_gaussian_mixture_precisions_init[": "Private attributes",
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": "Private attributes",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run their module with our class; return outcome by test."""
    if not THEIRS.exists():
        pytest.skip("scikit-learn is installed without its tests")
    source = THEIRS.read_text(encoding="utf-8")
    if IMPORT not in source:
        pytest.skip("scikit-learn's tests import GaussianMixture in another way")
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "conftest.py").write_text(CONFTEST)
    ours = source.replace(IMPORT, "from dask_gmm import GaussianMixture\n")
    (folder / "test_theirs.py").write_text(ours, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False).stdout
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S*test_theirs\.py::(\S+)", said, re.M)
    assert found, said
    return {name: outcome for outcome, name in found}


def test_what_fails_is_explained_and_what_is_explained_fails(outcomes):
    failed = {name for name, outcome in outcomes.items() if outcome != "PASSED"}
    unexplained = [name for name in failed if not name.startswith(tuple(DIFFERENT))]
    assert unexplained == []
    known = [prefix for prefix in DIFFERENT if any(name.startswith(prefix) for name in outcomes)]
    stale = [each for each in known if not any(name.startswith(each) for name in failed)]
    assert stale == []


def test_most_of_them_pass(outcomes):
    assert sum(outcome == "PASSED" for outcome in outcomes.values()) >= 45


def test_the_pages_say_what_is_different():
    page = Path(__file__).parents[1] / "docs" / "migration" / "scikit-learn.md"
    text = page.read_text(encoding="utf-8")
    section = text.split("## What is different, and why")[1].split("\n## ")[0]
    words = " ".join(section.split())
    assert [reason for reason in DIFFERENT.values() if reason not in words] == []
