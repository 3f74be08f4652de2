"""The profile of rows: exact under the truth, a monoid, and what it says of what is no Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.profile import Profile, distance_edges
from dask_gmm.mixture.profiling import profile
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.views import MANY, SPARSE, telling_pairs, views_of

from .problems import FAMILIES, draw, random_mixture

SIZES = [(1, 3), (2, 2), (3, 5), (6, 4)]


def by_hand(mixture, rows, w):
    """Return distances (n, K) and responsibilities times weights (n, K), from the definitions."""
    dense = mixture.family.dense(mixture.covariances, mixture.K, mixture.D)
    d = rows[:, None, :] - mixture.means
    squares = np.einsum("nki,kij,nkj->nk", d, np.linalg.inv(dense), d)
    log = np.log(mixture.weights) - 0.5 * (squares + np.linalg.slogdet(dense)[1])
    r = np.exp(log - log.max(axis=1, keepdims=True))
    return np.sqrt(squares), w[:, None] * r / r.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize(("D", "K"), SIZES)
def test_distances_and_counts_are_those_of_their_definitions(covariance_type, D, K):
    rng = np.random.default_rng(D * 10 + K)
    mixture = random_mixture(covariance_type, K, D, rng)
    rows, w = draw(mixture, 3000, rng), rng.uniform(0, 2, 3000)
    views = views_of(mixture)
    found = profile([Rows(rows, w)], mixture, views)
    distances, shares = by_hand(mixture, rows, w)
    for k in range(K):
        edges = np.append(distance_edges(D), np.inf)
        matters = shares[:, k] / w > 0.01 * mixture.weights[k]
        expected, _ = np.histogram(distances[matters, k], edges, weights=shares[matters, k])
        # Rounding may take a row over an edge of a bin, or of what matters.
        np.testing.assert_allclose(found.distances[k], expected, atol=2e-9 + 2 * w.max() * 0.011)
        assert found.distances[k].sum() == pytest.approx(shares[:, k].sum(), rel=0.02)
    assert found.weight == pytest.approx(w.sum())
    for number, (a, b) in enumerate(views.pairs):
        edges = [np.r_[-np.inf, views.edges(place), np.inf] for place in (a, b)]
        of = rows[:, views.features[[a, b]]]
        expected, *_ = np.histogram2d(*of.T, bins=edges, weights=w)
        np.testing.assert_allclose(found.counts[number], expected, atol=1e-9)
    if D == 1:
        edges = np.r_[-np.inf, views.edges(0), np.inf]
        expected, _ = np.histogram(rows[:, 0], edges, weights=w)
        np.testing.assert_allclose(found.counts[0], expected, atol=1e-9)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_rows_of_the_mixture_are_gaussian_however_classes_overlap(covariance_type):
    rng = np.random.default_rng(4)
    mixture = random_mixture(covariance_type, 4, 3, rng)
    rows = draw(mixture, 60_000, rng)
    found = profile([Rows(rows)], mixture, views_of(mixture))
    for k in range(4):
        shape = found.shape(k)
        assert shape.gap < 0.025
        assert shape.inside_half == pytest.approx(0.5, abs=0.025)
        assert shape.outside_99 == pytest.approx(0.01, abs=0.004)
    assert all(found.outside(number) < 0.008 for number in range(3))


def test_what_is_no_gaussian_is_told_with_its_size():
    rng = np.random.default_rng(5)
    n, D = 50_000, 2
    one = Parameters.of("full", [1.0], np.zeros((1, D)), np.eye(D)[None])
    views = views_of(one)

    def shape(rows):
        rows = rows / np.sqrt((rows**2).sum(axis=1).mean() / D)  # what EM would find: variance 1
        return profile([Rows(rows)], one, views).shape(0)

    tails = shape(rng.standard_t(3, (n, D)))
    assert tails.inside_half > 0.55
    assert tails.outside_99 > 0.015
    disc = rng.normal(size=(n, D))
    flat = shape(disc / np.linalg.norm(disc, axis=1)[:, None] * np.sqrt(rng.random(n))[:, None])
    assert flat.inside_half < 0.45
    assert flat.outside_99 == 0.0
    ring = shape(disc / np.linalg.norm(disc, axis=1)[:, None])
    assert ring.gap > 0.5


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 700), max_size=4), seed=st.integers(0, 99))
def test_profiles_of_parts_add_up_to_that_of_the_whole(covariance_type, cuts, seed):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    rows = draw(mixture, 700, rng)
    views = views_of(mixture)
    whole = profile([Rows(rows)], mixture, views)
    parts = [profile([Rows(part)], mixture, views) for part in np.split(rows, sorted(cuts))]
    total = sum(parts, Profile.zero(views, 3, 2))
    np.testing.assert_array_equal(total.counts, whole.counts)
    np.testing.assert_allclose(total.distances, whole.distances, atol=1e-9)


def test_profiles_of_other_views_are_not_added():
    mixture = random_mixture("full", 2, 2, np.random.default_rng(0))
    a, b = views_of(mixture), views_of(mixture, steps=[0.25, 0.25])
    with pytest.raises(ValueError, match="different views"):
        _ = Profile.zero(a, 2, 2) + Profile.zero(b, 2, 2)


def test_rows_that_take_no_part_are_not_in_it():
    rng = np.random.default_rng(6)
    mixture = random_mixture("full", 3, 3, rng)
    rows = draw(mixture, 500, rng)
    views = views_of(mixture)
    plain = profile([Rows(rows)], mixture, views)
    spoilt = np.vstack([rows, np.full((3, 3), np.nan), rows[:2]])
    valid = np.r_[np.ones(503, bool), np.zeros(2, bool)]
    masked = profile([Rows(spoilt, None, valid)], mixture, views)
    np.testing.assert_array_equal(masked.counts, plain.counts)
    np.testing.assert_allclose(masked.distances, plain.distances, atol=1e-9)


def test_taking_the_profile_changes_no_prediction():
    from dask_gmm.mixture.profiling import Profiler

    rng = np.random.default_rng(7)
    mixture = random_mixture("tied", 3, 4, rng)
    rows, kernel = Rows(draw(mixture, 900, rng)), Kernel.in_own_frame(mixture)
    wanted = Wanted(True, True, True, True)
    alone = predict(kernel, rows, wanted)
    watched = predict(kernel, rows, wanted, Profiler(kernel, views_of(mixture)))
    for name in ("labels", "probabilities", "uncertainty", "log_density", "valid"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(watched, name))


def test_of_many_rows_distances_are_taken_of_some():
    rng = np.random.default_rng(8)
    mixture = random_mixture("full", 3, 3, rng)
    rows = Rows(draw(mixture, 20_000, rng))
    assert views_of(mixture, n_rows=MANY).every == 1
    views = views_of(mixture, n_rows=100 * MANY)
    assert views.every == SPARSE
    found = profile([rows], mixture, views)
    assert found.weight == 20_000
    assert found.distances.sum() == pytest.approx(20_000 / SPARSE, rel=0.01)


def test_bins_hold_whole_steps():
    mixture = Parameters.of("diag", [1.0], [[100.0, 0.5]], [[400.0, 0.01]])
    low, high = np.array([3.0, 0.0]), np.array([250.0, 1.0])
    views = views_of(mixture, [1.0, 0.0], (low, high))
    assert views.width[0] == np.rint(views.width[0])
    edges = views.edges(0)
    np.testing.assert_allclose(edges - np.floor(edges), 0.5)
    assert edges[0] < 100 - 50
    assert edges[-1] > 100 + 50


def test_a_constant_feature_has_bins_too():
    mixture = Parameters.of("diag", [1.0], [[1e9, 5.0]], [[1e-6, 1.0]])
    constant = (np.array([1e9, 2.0]), np.array([1e9, 8.0]))
    views = views_of(mixture, None, constant)
    found = profile([Rows(np.column_stack([np.full(9, 1e9), np.arange(9)]))], mixture, views)
    assert found.counts[0, 1:-1].sum() == 9


def test_one_outlier_does_not_widen_the_window():
    weights, means = [1 - 1e-6, 1e-6], [[0.0, 0.0], [1e9, 1e9]]
    mixture = Parameters.of("diag", weights, means, np.ones((2, 2)))
    views = views_of(mixture)
    assert views.edges(0)[-1] < 10


def test_the_pairs_that_tell_classes_apart_are_chosen():
    rng = np.random.default_rng(9)
    means = rng.normal(scale=0.05, size=(4, 10))
    means[:, 2] += [0, 9, 0, 9]  # two features alone part the classes
    means[:, 7] += [0, 0, 9, 9]
    mixture = Parameters.of("diag", np.full(4, 0.25), means, np.ones((4, 10)))
    pairs = telling_pairs(mixture)
    assert (2, 7) in pairs
    assert len(pairs) == len(set(pairs)) == 6
    assert telling_pairs(random_mixture("full", 3, 4, rng)) == [
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)
    ]  # fmt: skip
    assert telling_pairs(random_mixture("full", 3, 1, rng)) == []
    assert len(telling_pairs(random_mixture("full", 1, 8, rng))) == 6
    assert len(telling_pairs(random_mixture("spherical", 3, 100, rng))) == 6
