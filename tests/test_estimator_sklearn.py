"""Code written for scikit-learn's GaussianMixture keeps working with ours."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as SklearnMixture

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES

IRIS = load_iris().data


def fitted(**arguments):
    return GaussianMixture(**{"n_components": 3, "random_state": 0} | arguments).fit(IRIS)


# -- names, defaults, attributes -------------------------------------------------------------------


def test_signature_and_defaults_are_scikit_learns():
    theirs = inspect.signature(SklearnMixture).parameters
    ours = inspect.signature(GaussianMixture).parameters
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default, name
        assert ours[name].kind == parameter.kind, name
    more = {"standardize", "on_invalid", "feature_dim", "callback"}
    assert ours.keys() - theirs.keys() == more


def test_public_methods_are_at_least_scikit_learns():
    theirs = {name for name in dir(SklearnMixture) if not name.startswith("_")}
    assert theirs <= set(dir(GaussianMixture))


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_attributes_are_scikit_learns_in_name_shape_and_type(covariance_type):
    arguments = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    theirs, ours = SklearnMixture(**arguments).fit(IRIS), GaussianMixture(**arguments).fit(IRIS)
    names = {name for name in vars(theirs) if name.endswith("_")}
    own = {name for name in vars(ours) if name.endswith("_")}
    assert own - names == {"n_passes_", "narrow_components_", "component_status_"}
    for name in names:
        expected, found = getattr(theirs, name), getattr(ours, name)
        assert np.shape(found) == np.shape(expected), name
        assert np.asarray(found).dtype == np.asarray(expected).dtype, name
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9, err_msg=name)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(ours, name).flags.c_contiguous, name
        assert getattr(ours, name).flags.writeable, name
    P, U = ours.precisions_, ours.precisions_cholesky_
    if covariance_type in ("full", "tied"):
        np.testing.assert_allclose(
            P @ ours.covariances_, np.broadcast_to(np.eye(4), P.shape), atol=1e-9
        )
        np.testing.assert_allclose(U @ np.swapaxes(U, -1, -2), P)
        np.testing.assert_array_equal(U, np.triu(U))
    else:
        np.testing.assert_allclose(P * ours.covariances_, 1.0)
        np.testing.assert_allclose(U**2, P)


@pytest.mark.parametrize("estimator", [SklearnMixture, GaussianMixture])
def test_not_fitted(estimator):
    unfitted = estimator()
    for method in ("predict", "predict_proba", "score", "score_samples", "aic", "bic"):
        with pytest.raises(NotFittedError):
            getattr(unfitted, method)(IRIS)
    with pytest.raises(NotFittedError):
        unfitted.sample()


def test_own_methods_not_fitted(tmp_path):
    for method in ("icl", "save"):
        with pytest.raises(NotFittedError):
            getattr(GaussianMixture(), method)(tmp_path / "model")


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_components": 0},
        {"n_components": 2.0},
        {"covariance_type": "banded"},
        {"tol": -1.0},
        {"reg_covar": -1e-9},
        {"max_iter": -1},
        {"n_init": 0},
        {"init_params": "magic"},
        {"random_state": "seed"},
        {"warm_start": "yes"},
        {"verbose_interval": 0},
        {"weights_init": 3},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_when_fitting(wrong):
    for estimator in (SklearnMixture, GaussianMixture):
        with pytest.raises(ValueError):
            estimator(**wrong).fit(IRIS)


# -- warnings, warm start, words -------------------------------------------------------------------


def test_a_fit_that_did_not_converge_warns_as_scikit_learn():
    messages = []
    for estimator in (SklearnMixture, GaussianMixture):
        with pytest.warns(ConvergenceWarning) as record:
            estimator(3, max_iter=1, random_state=0).fit(IRIS)
        messages.append(str(record[0].message))
        assert record[0].filename == __file__ or estimator is SklearnMixture
    assert messages[0] == messages[1]


def test_max_iter_0_keeps_the_start_and_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fitted(max_iter=0)
    assert (found.n_iter_, found.converged_) == (0, False)
    np.testing.assert_allclose(found.predict_proba(IRIS).sum(axis=1), 1)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_warm_starts_add_up(covariance_type, standardize):
    arguments = {"covariance_type": covariance_type, "tol": 0.0, "standardize": standardize}
    with pytest.warns(ConvergenceWarning):
        at_once = fitted(max_iter=9, **arguments)
    warm = GaussianMixture(3, random_state=0, max_iter=3, warm_start=True, n_init=2, **arguments)
    with pytest.warns(ConvergenceWarning):
        warm.set_params(n_init=1).fit(IRIS)
    for _ in range(2):
        with pytest.warns(ConvergenceWarning):
            warm.set_params(n_init=5).fit(IRIS)
    assert warm.n_iter_ == 3
    assert warm.covariances_.shape == at_once.covariances_.shape
    np.testing.assert_allclose(warm.means_, at_once.means_, rtol=1e-9)
    np.testing.assert_allclose(warm.covariances_, at_once.covariances_, rtol=1e-8)
    np.testing.assert_allclose(warm.lower_bounds_, at_once.lower_bounds_[-3:], rtol=1e-10)


def test_warm_start_stops_as_scikit_learn():
    histories = []
    for estimator in (SklearnMixture, GaussianMixture):
        warm = estimator(3, random_state=0, warm_start=True, max_iter=4, tol=1e-4)
        steps = []
        for _ in range(6):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                warm.fit(IRIS)
            steps.append((warm.n_iter_, warm.converged_))
        histories.append(steps)
    assert histories[0] == histories[1]


def test_warm_start_from_another_shape_is_refused():
    found = fitted(warm_start=True)
    with pytest.raises(ValueError, match="warm_start"):
        found.set_params(n_components=4).fit(IRIS)
    with pytest.raises(ValueError, match="warm_start"):
        found.set_params(n_components=3).fit(IRIS[:, :2])
    with pytest.raises(ValueError, match="shape"):
        found.set_params(covariance_type="diag").fit(IRIS)


def test_verbose_says_what_happens(capsys):
    with pytest.warns(ConvergenceWarning):
        fitted(verbose=1, verbose_interval=2, n_init=2, max_iter=4, tol=0.0)
    said = capsys.readouterr().out
    assert said.count("Initialization ") >= 2
    assert [line.split()[1] for line in said.splitlines() if "Iteration" in line] == list("2424")
    assert "did not converge" in said
    fitted()
    assert capsys.readouterr().out == ""


# -- what the mixture says -------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [1, 7, 500])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_sample_draws_what_scikit_learn_draws(covariance_type, n_samples):
    ours = fitted(covariance_type=covariance_type)
    theirs = SklearnMixture(3, covariance_type=covariance_type, random_state=0)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "converged_"):
        setattr(theirs, name, getattr(ours, name))
    (X, y), (expected_X, expected_y) = ours.sample(n_samples), theirs.sample(n_samples)
    np.testing.assert_array_equal(X, expected_X)
    np.testing.assert_array_equal(y, expected_y)
    with pytest.raises(ValueError, match="Invalid value for 'n_samples': 0"):
        ours.sample(0)


def test_a_standardized_spherical_mixture_draws_its_own_variances():
    X = IRIS * [1, 10, 100, 1000]
    found = GaussianMixture(1, covariance_type="spherical", standardize=True, random_state=0).fit(X)
    drawn, labels = found.sample(20_000)
    np.testing.assert_allclose(drawn.var(axis=0), found.covariances_[0], rtol=0.05)
    assert not labels.any()


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_criteria(covariance_type):
    found = fitted(covariance_type=covariance_type)
    P, n = found.predict_proba(IRIS), len(IRIS)
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    assert found.score(IRIS) == pytest.approx(found.score_samples(IRIS).mean(), rel=1e-12)
    entropy = -np.sum(P * np.log(np.maximum(P, 1e-300)))
    assert found.icl(IRIS) == pytest.approx(found.bic(IRIS) + 2 * entropy, rel=1e-12)
    assert found.icl(IRIS) >= found.bic(IRIS) > found.aic(IRIS)
    twice = np.full(n, 2.0)
    assert found.score(IRIS, sample_weight=twice) == pytest.approx(found.score(IRIS), rel=1e-13)
    doubled = np.vstack([IRIS, IRIS])
    for criterion in (found.bic, found.aic, found.icl):
        assert criterion(IRIS, sample_weight=twice) == pytest.approx(criterion(doubled), rel=1e-12)
    single = fitted(n_components=1, covariance_type=covariance_type)
    assert single.icl(IRIS) == pytest.approx(single.bic(IRIS))


def test_fit_predict_is_fit_and_predict():
    labels = GaussianMixture(3, random_state=0).fit_predict(IRIS)
    np.testing.assert_array_equal(labels, fitted().predict(IRIS))
    assert labels.dtype == np.int64
