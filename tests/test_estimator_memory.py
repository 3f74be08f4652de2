"""A fit holds a block of rows and not the (n, K) responsibilities of all of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from dask_gmm import GaussianMixture

N, K, D = 400_000, 16, 3
RESPONSIBILITIES = 8 * N * K


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init_params", ["random", "random_from_data"])
def test_memory_of_a_fit_does_not_grow_to_rows_times_components(init_params):
    X = np.random.default_rng(0).normal(size=(N, D))
    mixture = GaussianMixture(K, init_params=init_params, max_iter=2, random_state=0)
    mixture.fit(X[:1000])  # what is loaded once
    tracemalloc.start()
    try:
        mixture.fit(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Drawing without replacement shuffles the rows' numbers: 8 bytes a row.
    assert peak < 0.25 * RESPONSIBILITIES
