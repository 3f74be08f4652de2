"""What a fit tells a callback: every iteration, with the number scikit-learn reports at its end."""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris

from dask_gmm import GaussianMixture, select_components

IRIS = load_iris().data


def test_every_iteration_of_every_start_is_told():
    told = []
    mixture = GaussianMixture(3, n_init=2, random_state=0, callback=told.append).fit(IRIS)
    assert {each.start for each in told} == {0, 1}
    best = [each for each in told if each.mean_log_likelihood == mixture.lower_bound_]
    assert best[-1].iteration == mixture.n_iter_
    first, second = [each for each in told if each.start == 0][:2]
    assert math.isinf(first.change)
    gained = second.mean_log_likelihood - first.mean_log_likelihood
    assert second.change == pytest.approx(gained)
    assert clone(mixture).callback.__self__ is told


def test_over_lazy_rows_the_best_start_goes_on():
    told = []
    X = da.from_array(np.tile(IRIS, (4, 1)), chunks=(100, 4))
    mixture = GaussianMixture(2, random_state=0, callback=told.append).fit(X)
    over_all = [each for each in told if each.start is None]
    assert [each.iteration for each in over_all] == list(range(1, mixture.n_iter_ + 1))
    means = [each.mean_log_likelihood for each in over_all]
    np.testing.assert_array_equal(means, mixture.lower_bounds_)


def test_selection_tells_of_shared_readings():
    told = []
    found = select_components(IRIS, [2, 3], random_state=0, callback=told.append)
    assert [each.iteration for each in told] == list(range(1, len(told) + 1))
    assert len(told) >= found.best.n_iter_


def test_what_a_callback_raises_ends_the_fit():
    class EnoughError(Exception):
        pass

    def enough(iteration):
        if iteration.iteration == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        GaussianMixture(3, random_state=0, callback=enough).fit(IRIS)


def test_what_is_no_callback_is_refused():
    with pytest.raises(ValueError, match="callback"):
        GaussianMixture(3, callback=3).fit(IRIS)
