"""Parameters check themselves; families are one object each; labels have an order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dask_gmm.mixture.families import FAMILIES as BY_NAME
from dask_gmm.mixture.families import family
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from tests.mixture.problems import FAMILIES, draw, matrices, random_mixture


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_family_is_one_object_in_every_process(covariance_type):
    found = family(covariance_type)
    assert pickle.loads(pickle.dumps(found)) is found
    assert found is BY_NAME[covariance_type]
    assert covariance_type in repr(found)


@pytest.mark.parametrize("name", ["Full", "", None, [], 3])
def test_another_family_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match="'diag', 'full', 'spherical', 'tied'"):
        family(name)


@pytest.mark.parametrize(("D", "K"), [(1, 1), (3, 2), (7, 4)])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_numbers_of_parameters_and_features(covariance_type, D, K):
    found = family(covariance_type)
    mixture = random_mixture(covariance_type, K, D, np.random.default_rng(0))
    per_matrix = {"full": D * (D + 1) // 2, "tied": D * (D + 1) // 2, "diag": D, "spherical": 1}
    matrices_held = 1 if covariance_type == "tied" else K
    expected = K - 1 + K * D + matrices_held * per_matrix[covariance_type]
    assert found.n_parameters(K, D) == expected
    Q = {"full": (D + 1) * (D + 2) // 2, "tied": D + 1, "diag": 2 * D + 1, "spherical": D + 2}
    assert found.n_features(D) == Q[covariance_type]
    assert found.covariance_shape(K, D) == mixture.covariances.shape == mixture.factors.shape
    assert (mixture.K, mixture.D) == (K, D)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_factors_are_those_of_the_precisions(covariance_type):
    mixture = random_mixture(covariance_type, 3, 5, np.random.default_rng(1))
    P = mixture.family.precisions(mixture.factors)
    covariances, factors = mixture.family.of_precisions(P)
    np.testing.assert_allclose(covariances, mixture.covariances, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(factors, mixture.factors, rtol=1e-11, atol=1e-13)
    log_det = np.broadcast_to(mixture.family.log_det_precision(mixture.factors, 5), 3)
    np.testing.assert_allclose(log_det, -np.linalg.slogdet(matrices(mixture))[1])
    np.testing.assert_allclose(
        mixture.variances, np.diagonal(matrices(mixture), axis1=1, axis2=2), rtol=1e-14
    )


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_reordered_components_say_the_same_in_another_order(covariance_type):
    rng = np.random.default_rng(2)
    mixture = random_mixture(covariance_type, 4, 2, rng)
    X, order = draw(mixture, 200, rng), np.array([2, 0, 3, 1])
    wanted = Wanted(probabilities=True, log_density=True, labels=True)
    said = predict(Kernel.in_own_frame(mixture), Rows(X), wanted)
    again = predict(Kernel.in_own_frame(mixture.reordered(order)), Rows(X), wanted)
    np.testing.assert_allclose(again.probabilities, said.probabilities[:, order], atol=1e-13)
    np.testing.assert_allclose(again.log_density, said.log_density, rtol=1e-12)
    np.testing.assert_array_equal(order[again.labels], said.labels)


def test_labels_go_by_weight_and_among_equals_by_mean():
    means = [[3.0, 1.0], [1.0, 9.0], [0.0, 0.0], [1.0, 2.0], [5.0, 5.0]]
    mixture = Parameters.of("spherical", [0.2, 0.2, 0.1, 0.2, 0.3], means, np.ones(5))
    assert mixture.label_order().tolist() == [4, 3, 1, 0, 2]
    ordered = mixture.reordered(mixture.label_order())
    assert ordered.label_order().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("K", [1, 2, 255, 256, 300])
def test_predictions_of_any_number_of_components(K):
    mixture = Parameters.of(
        "spherical", np.full(K, 1 / K), 10.0 * np.arange(K)[:, None], np.ones(K)
    )
    X = 10.0 * np.arange(K)[:, None] + 0.3
    wanted = Wanted(labels=True, probabilities=True, uncertainty=True, dtype=np.float32)
    said = predict(Kernel.in_own_frame(mixture), Rows(X), wanted)
    np.testing.assert_array_equal(said.labels, np.arange(K))
    assert said.labels.dtype == (np.uint8 if K < 256 else np.uint16)
    assert said.probabilities.dtype == said.uncertainty.dtype == np.float32
    assert said.valid.all()
    assert ((said.uncertainty >= 0) & (said.uncertainty <= 1)).all()


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_uncertainty_is_entropy_over_log_k(covariance_type):
    rng = np.random.default_rng(3)
    mixture = random_mixture(covariance_type, 3, 2, rng, apart=0.7)
    X = draw(mixture, 300, rng)
    kernel = Kernel.in_own_frame(mixture)
    said = predict(kernel, Rows(X), Wanted(probabilities=True, uncertainty=True))
    P = said.probabilities
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(axis=1)
    np.testing.assert_allclose(said.uncertainty, entropy / np.log(3), atol=1e-12)
    same = Parameters.of("full", [0.25] * 4, np.zeros((4, 2)), np.tile(np.eye(2), (4, 1, 1)))
    doubt = predict(Kernel.in_own_frame(same), Rows(X), Wanted(uncertainty=True, labels=True))
    np.testing.assert_allclose(doubt.uncertainty, 1.0)
    np.testing.assert_array_equal(doubt.labels, 0), "the first of equals"
