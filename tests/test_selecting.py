"""Choosing K and the family: what is found is right, what is said is true, data are read seldom."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Peer

from benchmarks.bench_starts import known_mixture
from dask_gmm import select_components
from dask_gmm.fit.selection import Assessed, choose
from tests.real_tables import table


def groups(K, D=2, n=800, seed=0, apart=6.0):
    rng = np.random.default_rng(seed)
    means = apart * rng.permutation(np.stack(np.meshgrid(*[range(3)] * D), -1).reshape(-1, D))[:K]
    return means[rng.integers(0, K, n)] + rng.normal(size=(n, D))


@pytest.mark.parametrize(("K", "criterion"), [(1, "bic"), (3, "heldout"), (4, "icl"), (5, "bic")])
def test_the_true_number_is_found(K, criterion):
    found = select_components(groups(K), range(1, 7), criterion=criterion, n_init=2, random_state=0)
    assert found.best.n_components == K
    assert found.best.predict(groups(K)).max() == K - 1
    assert [each.n_components for each in found.assessed] == list(range(1, 7))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("iris", 5), ("Old Faithful", 6)])
def test_the_curve_is_at_least_scikit_learns_best_of_fifty_starts(name, most):
    X = table(name)
    found = select_components(X, range(1, most), ["full", "diag"], n_init=10, random_state=0)
    for each in found.assessed:
        peer = Peer(
            each.n_components, covariance_type=each.covariance_type, n_init=50, random_state=0,
            tol=1e-6, max_iter=1000,
        ).fit(X)  # fmt: skip
        # An optimum with a component at scikit-learn's own floor is no mixture of these rows.
        narrowest = min(np.linalg.eigvalsh(np.atleast_2d(c)).min() for c in _matrices(peer))
        collapsed = narrowest < 2 * peer.reg_covar
        assert each.bic <= peer.bic(X) + 1e-3 or each.objection or collapsed, each.name
    assert (found.best.n_components, found.best.covariance_type) == (2, "full")


def _matrices(peer):
    covariances = peer.covariances_
    return covariances if covariances.ndim == 3 else [np.diag(each) for each in covariances]


@pytest.mark.slow
@pytest.mark.parametrize(("D", "K", "apart", "seed"), [(3, 8, 2.0, 1), (6, 16, 2.0, 2)])
def test_the_true_number_of_overlapping_components_is_found(D, K, apart, seed):
    """Those mixtures whose readings benchmarks/bench_passes.py counts."""
    X = known_mixture(D, K, apart, seed, 100_000)
    found = select_components(X, range(K - 2, K + 3), n_init=2, random_state=0)
    assert found.best.n_components == K
    assert found.best.converged_


def test_the_table_says_what_the_estimator_says():
    X = groups(3)
    found = select_components(X, [2, 3], ["full", "tied", "diag", "spherical"], random_state=1)
    chosen = [each for each in found.assessed if each.n_components == found.best.n_components]
    chosen = [each for each in chosen if each.covariance_type == found.best.covariance_type]
    assert chosen[0].bic == pytest.approx(found.best.bic(X))
    assert chosen[0].icl == pytest.approx(found.best.icl(X))
    assert chosen[0].aic == pytest.approx(found.best.aic(X))
    assert len(found.table["bic"]) == 8
    assert min(found.table["bic"]) == chosen[0].bic


def test_lazy_data_are_read_as_often_as_by_the_slowest_candidate():
    X = groups(3, n=20_000)
    lazy = da.from_array(X, chunks=(5000, 2))
    options = {"n_init": 1, "random_state": 0}
    found = select_components(lazy, range(2, 5), ["full", "diag"], **options)
    assert (found.best.n_components, found.best.n_features_in_) == (3, 2)
    alone = [
        select_components(lazy, [each.n_components], each.covariance_type, **options).best
        for each in found.assessed
    ]
    assert found.best.n_passes_ <= 1.5 * max(each.n_passes_ for each in alone)
    assert found.best.n_passes_ < sum(each.n_passes_ for each in alone) / 2


def test_weights_count_as_rows():
    X = groups(2, n=400)
    w = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    weighted = select_components(X, [1, 2], sample_weight=w, random_state=0)
    repeated = select_components(np.repeat(X, w.astype(int), axis=0), [1, 2], random_state=0)
    for a, b in zip(weighted.assessed, repeated.assessed, strict=True):
        assert a.weight == b.weight == w.sum()
        assert a.bic == pytest.approx(b.bic, rel=1e-4)


def test_a_collapsed_component_does_not_win():
    X = np.vstack([groups(2, n=500), np.zeros((200, 2))])
    found = select_components(X, [1, 3, 4], n_init=2, random_state=0)
    narrow = [each for each in found.assessed if each.n_narrow]
    assert narrow, "a component has found the repeated row"
    assert {each.n_components for each in narrow} == {3, 4}
    assert found.best.n_components == 1
    assert found.assessed[0].bic > max(each.bic for each in narrow), "the criterion alone errs"
    assert any("as narrow as the floor" in remark for remark in found.remarks)


def assessed(K, log_likelihood, *, smallest=100.0, n_narrow=0, heldout=None):
    return Assessed("full", K, 2, log_likelihood, 0.0, 1000.0, heldout, smallest, n_narrow, True)


def test_ties_and_the_end_of_the_range_are_said():
    log_n = 3 * np.log(1000.0)  # BIC's price of a component is twice this
    tied = [assessed(1, -5000.0), assessed(2, -5000.0 + log_n + 0.9)]
    choice = choose(tied, "bic")
    assert choice.best == 1
    assert any(
        "As good as K=2 full, by this criterion: K=1 full" in each for each in choice.remarks
    )
    assert any("largest K" in each for each in choice.remarks)


def test_too_small_a_component_is_an_objection_unless_all_have_one():
    few = assessed(2, 0.0, smallest=4.0)
    assert choose([assessed(1, -5000.0), few], "bic").best == 0
    choice = choose([few, assessed(3, 100.0, smallest=2.0)], "bic")
    assert choice.best == 1
    assert "Something speaks against every candidate" in choice.remarks[0]


def test_equal_values_choose_the_smaller_mixture():
    assert (
        choose([assessed(3, 0.0, heldout=-1.0), assessed(2, 0.0, heldout=-1.0)], "heldout").best
        == 1
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_components": []}, "at least one value"),
        ({"n_components": [0]}, "n_components=0"),
        ({"covariance_type": "round"}, "covariance_type='round'"),
        ({"criterion": "cv"}, "allowed: bic, aic, icl, heldout"),
        ({"tol": 1e-3}, "tol has no meaning"),
        ({"n_components": [500]}, "n_components = 500, n_samples = 100"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        select_components(groups(1, n=100), **arguments)
