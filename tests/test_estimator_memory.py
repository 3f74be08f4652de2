"""A fit holds a block of rows and not the (n, K) responsibilities of all of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.cluster import KMeans

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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++"])
def test_the_memory_of_a_k_means_start_is_that_of_k_means(init_params):
    """A copy of the rows and some numbers a row, whatever K: what scikit-learn starts with."""
    n, K, D = 100_000, 64, 2
    generator = np.random.default_rng(0)
    places = np.stack(np.meshgrid(range(8), range(8)), axis=-1).reshape(-1, 2) * 10.0
    X = places[generator.integers(0, K, n)] + generator.normal(size=(n, D))
    mixture = GaussianMixture(K, init_params=init_params, max_iter=2, random_state=0)
    mixture.fit(X[:1000])

    def peak_of(call):
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    of_kmeans = peak_of(lambda: KMeans(K, n_init=1, max_iter=2, random_state=0).fit(X))
    a_block = 16_384 * (2 * K + 8) * 8
    assert of_kmeans < 0.5 * 8 * n * K
    assert peak_of(lambda: mixture.fit(X)) < max(of_kmeans, a_block) + 0.2 * 8 * n * K
