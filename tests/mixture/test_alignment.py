"""Distances between Gaussians against closed forms, and the matching against every other."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from dask_gmm.mixture.alignment import bhattacharyya, matching
from dask_gmm.mixture.families import FAMILIES
from dask_gmm.mixture.parameters import Parameters


def drawn(seed, K, D):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(K, D, D))
    covariances = A @ A.transpose(0, 2, 1) + np.eye(D)
    return Parameters.of("full", np.full(K, 1 / K), rng.normal(size=(K, D)) * 3, covariances)


def one(mean, variance):
    return Parameters.of("full", [1.0], [[mean]], [[[variance]]])


def test_equal_spreads_apart_and_equal_means_of_other_spreads():
    # Of two normals sigma apart by d: d^2 / (8 sigma^2); about one mean: by spreads alone.
    assert bhattacharyya(one(1.0, 4.0), one(4.0, 4.0))[0, 0] == pytest.approx(9 / 32, rel=1e-14)
    expected = 0.5 * np.log((1 + 9) / 2 / np.sqrt(1 * 9))
    assert bhattacharyya(one(0.0, 1.0), one(0.0, 9.0))[0, 0] == pytest.approx(expected, rel=1e-14)


def test_the_exponential_is_the_integral_of_the_root_of_the_product():
    x = np.linspace(-60, 60, 400_001)

    def density(mean, variance):
        return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    overlap = np.trapezoid(np.sqrt(density(1, 2) * density(-2, 7)), x)
    assert np.exp(-bhattacharyya(one(1, 2), one(-2, 7))[0, 0]) == pytest.approx(overlap, rel=1e-9)


def test_it_is_symmetric_zero_only_for_equals_and_blind_to_units():
    a, b = drawn(0, 4, 3), drawn(1, 5, 3)
    distances = bhattacharyya(a, b)
    assert distances.shape == (4, 5)
    np.testing.assert_allclose(distances, bhattacharyya(b, a).T, rtol=1e-12)
    np.testing.assert_allclose(np.diagonal(bhattacharyya(a, a)), 0.0, atol=1e-12)
    assert (distances > 0.01).all()
    units = np.array([1e-6, 1.0, 1e5])
    moved = [
        Parameters.of(
            "full", p.weights, p.means * units + 7, p.covariances * np.outer(units, units)
        )
        for p in (a, b)
    ]
    np.testing.assert_allclose(bhattacharyya(*moved), distances, rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_as_far_as_its_full_covariances(name):
    K, D = 3, 4
    rng = np.random.default_rng(3)
    kind, full = FAMILIES[name], drawn(2, K, D)
    shape = kind.covariance_shape(K, D)
    covariances = full.covariances[0] if name == "tied" else rng.uniform(1, 4, shape)
    covariances = full.covariances if name == "full" else covariances
    own = Parameters.of(name, full.weights, full.means, covariances)
    dense = Parameters.of("full", full.weights, full.means, kind.dense(own.covariances, K, D))
    np.testing.assert_allclose(own.variances, np.diagonal(dense.covariances, axis1=1, axis2=2))
    other = drawn(4, 2, D)
    np.testing.assert_allclose(bhattacharyya(own, other), bhattacharyya(dense, other), rtol=1e-10)


def test_near_singular_components_have_finite_distances():
    flat = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-13]])
    p = Parameters.of("full", [1.0], [[0.0, 0.0]], [flat])
    assert np.isfinite(bhattacharyya(p, p)).all()


@pytest.mark.parametrize("seed", range(5))
def test_no_other_matching_is_nearer(seed):
    distances = np.random.default_rng(seed).random((4, 4))
    pairs = matching(distances)
    best = min(sum(distances[i, p[i]] for i in range(4)) for p in permutations(range(4)))
    assert sum(distances[i, j] for i, j in pairs.items()) == pytest.approx(best)
    assert sorted(pairs.values()) == [0, 1, 2, 3]


def test_of_unequal_numbers_the_smaller_one_is_matched():
    pairs = matching(np.array([[9.0, 1.0, 5.0], [8.0, 2.0, 0.5]]))
    assert pairs == {0: 1, 1: 2}
    assert len(matching(np.ones((5, 2)))) == 2
