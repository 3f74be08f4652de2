"""Real tables that every statistician knows; none of them is kept in this repository."""

from __future__ import annotations

import csv
from importlib import metadata

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

#: Table -> components that it is usually fitted with.
N_COMPONENTS = {"iris": 3, "wine": 3, "breast cancer": 2, "digits": 10, "Old Faithful": 2}


def table(name: str) -> np.ndarray:
    """Return the rows of one of :data:`N_COMPONENTS`, or skip where the machine has not got it."""
    return _TABLES[name]()


def _digits() -> np.ndarray:
    return PCA(20, random_state=0, svd_solver="full").fit_transform(load_digits().data)


def _old_faithful() -> np.ndarray:
    """Return eruptions and waiting times, (272, 2), out of the files of the package plotnine."""
    try:
        files = metadata.files("plotnine") or []
    except metadata.PackageNotFoundError:
        files = []
    found = [each for each in files if each.name == "faithful.csv"]
    if not found:
        pytest.skip("Old Faithful comes with plotnine: pip install --no-deps plotnine")
    lines = found[0].read_text(encoding="utf-8").splitlines()
    rows = np.array([[float(value) for value in row] for row in list(csv.reader(lines))[1:]])
    assert rows.shape == (272, 2)
    return rows


_TABLES = {
    "iris": lambda: load_iris().data,
    "wine": lambda: load_wine().data,
    "breast cancer": lambda: load_breast_cancer().data,
    "digits": _digits,
    "Old Faithful": _old_faithful,
}
