"""Code written for scikit-learn's class, run on both: the same results, words and errors."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import GridSearchCV

from dask_gmm import GaussianMixture as Ours
from tests.mixture.problems import FAMILIES

IRIS = load_iris().data
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def said_by(estimator, capsys, **arguments):
    estimator(3, random_state=0, **arguments).fit(IRIS)
    return re.sub(r"time lapse [\d.]+s", "time lapse", capsys.readouterr().out)


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("more", [{}, {"max_iter": 3, "tol": 0.0}, {"n_init": 3}], ids=str)
def test_a_fit_prints_the_same_lines(verbose, more, capsys):
    arguments = {"verbose": verbose, "verbose_interval": 2, "init_params": "random"} | more
    assert said_by(Ours, capsys, **arguments) == said_by(Theirs, capsys, **arguments)


def test_a_warm_start_prints_the_same_lines(capsys):
    said = []
    for estimator in (Theirs, Ours):
        warm = estimator(3, random_state=0, warm_start=True, max_iter=2, verbose=1).fit(IRIS)
        warm.fit(IRIS)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def words(call):
    """Return the error's class and message."""
    with pytest.raises(Exception) as raised:
        call()
    return type(raised.value), str(raised.value)


CALLS = {
    "too few rows": lambda g: g(5).fit(IRIS[:4]),
    "one row": lambda g: g().fit(IRIS[:1]),
    "one dimension": lambda g: g().fit(IRIS[0]),
    "three dimensions": lambda g: g().fit(IRIS[None]),
    "no feature": lambda g: g().fit(IRIS[:, :0]),
    "NaN": lambda g: g().fit([[np.nan], [1.0]]),
    "infinity": lambda g: g().fit([[np.inf], [1.0]]),
    "words": lambda g: g().fit([["a"], ["b"]]),
    "complex": lambda g: g().fit(IRIS + 1j),
    "weights: shape": lambda g: g(2, weights_init=[1.0]).fit(IRIS),
    "weights: sum": lambda g: g(2, weights_init=[0.5, 0.6]).fit(IRIS),
    "weights: NaN": lambda g: g(2, weights_init=[0.5, np.nan]).fit(IRIS),
    "means: shape": lambda g: g(2, means_init=IRIS[:3]).fit(IRIS),
    "precisions: full": lambda g: g(1, precisions_init=[-np.eye(4)]).fit(IRIS),
    "precisions: shape": lambda g: g(1, precisions_init=np.eye(4)).fit(IRIS),
    "precisions: tied": lambda g: g(covariance_type="tied", precisions_init=-np.eye(4)).fit(IRIS),
    "precisions: diag": lambda g: g(covariance_type="diag", precisions_init=np.zeros((1, 4))).fit(
        IRIS
    ),
    "precisions: spherical": lambda g: g(covariance_type="spherical", precisions_init=[-1.0]).fit(
        IRIS
    ),
    "n_components": lambda g: g(0).fit(IRIS),
    "covariance_type": lambda g: g(covariance_type="banded").fit(IRIS),
    "init_params": lambda g: g(init_params="magic").fit(IRIS),
    "not fitted": lambda g: g().predict(IRIS),
    "not fitted: sample": lambda g: g().sample(),
    "other features": lambda g: g().fit(IRIS).predict(IRIS[:, :2]),
    "other names": lambda g: g().fit(pd.DataFrame(IRIS)).predict(pd.DataFrame(IRIS[:, :2])),
    "unknown argument": lambda g: g(n_clusters=3),
    "set_params": lambda g: g().set_params(n_clusters=3),
}
#: Lists of allowed values are sets: their order is not one.
UNORDERED = re.compile(r"\{[^}]*\}")


@pytest.mark.parametrize("name", CALLS)
def test_errors_have_the_same_class_and_words(name):
    (their_class, theirs), (our_class, ours) = (
        words(lambda g=g: CALLS[name](g)) for g in (Theirs, Ours)
    )
    assert our_class is their_class
    if name in ("unknown argument", "set_params"):
        return  # these list the arguments, of which ours has more
    assert UNORDERED.sub("{}", ours) == UNORDERED.sub("{}", theirs)


def test_a_grid_search_in_two_processes_chooses_the_same():
    grid = {"n_components": [2, 3], "covariance_type": list(FAMILIES)}
    found = [
        GridSearchCV(g(random_state=0), grid, cv=3, n_jobs=2).fit(IRIS) for g in (Theirs, Ours)
    ]
    theirs, ours = (each.cv_results_["mean_test_score"] for each in found)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert found[0].best_params_ == found[1].best_params_
