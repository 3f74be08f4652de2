"""Units: what a user says and reads is in the model frame, whatever the frame inside."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from dask_gmm import GaussianMixture
from dask_gmm.mixture.families import FAMILIES as BY_NAME
from dask_gmm.mixture.parameters import Parameters
from tests.mixture.problems import FAMILIES, draw, random_mixture, step_error


def fitted(X, covariance_type, **arguments):
    """Fit a few steps from responsibilities that do not look at X."""
    known = {"n_components": 3, "init_params": "random", "tol": 0.0, "max_iter": 6}
    estimator = GaussianMixture(
        **known | {"covariance_type": covariance_type, "random_state": 0} | arguments
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X)


def parameters(fitted):
    covariance_type = fitted.covariance_type
    if covariance_type == "spherical" and fitted.covariances_.ndim == 2:
        covariance_type = "diag"
    return Parameters.of(covariance_type, fitted.weights_, fitted.means_, fitted.covariances_)


def sample(seed=0, D=3):
    rng = np.random.default_rng(seed)
    return draw(random_mixture("full", 3, D, rng), 400, rng)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=15, deadline=None)
@given(
    scale=st.tuples(*[st.floats(1e-6, 1e6)] * 3),
    offset=st.tuples(*[st.floats(-1e2, 1e2)] * 3),
    seed=st.integers(0, 5),
)
def test_a_change_of_units_changes_the_units_of_the_fit_and_nothing_else(
    covariance_type, scale, offset, seed
):
    X, scale = sample(seed), np.array(scale)
    if covariance_type == "spherical":
        scale[:] = scale[0]
    here = fitted(X, covariance_type, reg_covar=0.0)
    there = fitted((X + offset) * scale, covariance_type, reg_covar=0.0)
    expected = parameters(here)
    expected = Parameters.of(
        covariance_type,
        expected.weights,
        (expected.means + offset) * scale,
        expected.family.rescale(expected.covariances, scale),
    )
    assert step_error(parameters(there), expected) < 1e-9
    volume = np.log(scale).sum()
    np.testing.assert_allclose(
        there.lower_bounds_, np.array(here.lower_bounds_) - volume, rtol=1e-9
    )
    assert there.score((X + offset) * scale) == pytest.approx(here.score(X) - volume, abs=1e-9)


@pytest.mark.parametrize("as_dask", [False, True], ids=["rows", "dask"])
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_standardize_is_scikit_learn_on_z_scores(covariance_type, init_params, as_dask):
    X = load_wine().data[:, :6] * [1, 1e3, 1e-4, 1, 1, 1] + [0, 0, 0, 50, 0, 0]
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    z = (X - mean) / deviation
    arguments = {
        "init_params": init_params,
        "random_state": 1,
        "reg_covar": 0.05,
        "max_iter": 8,
        "tol": 0.0,
    }
    if as_dask:  # another order of rows draws another start: give it
        arguments |= {"weights_init": [0.2, 0.3, 0.5], "means_init": z[[0, 60, 170]]}
        arguments["precisions_init"] = {
            "full": np.tile(np.eye(6), (3, 1, 1)),
            "tied": np.eye(6),
            "diag": np.ones((3, 6)),
            "spherical": np.ones(3),
        }[covariance_type]
    with pytest.warns(ConvergenceWarning):
        theirs = SklearnMixture(3, covariance_type=covariance_type, **arguments).fit(z)
    if as_dask:
        arguments["means_init"] = z[[0, 60, 170]] * deviation + mean
        family = BY_NAME[covariance_type]
        if not family.isotropic:  # a spherical precision is one of z-scores
            arguments["precisions_init"] = family.rescale(
                arguments["precisions_init"], 1 / deviation
            )
    given_X = da.from_array(X, chunks=(50, 6)) if as_dask else X
    with dask.config.set(scheduler="synchronous"):
        ours = fitted(given_X, covariance_type, standardize=True, **arguments)

    in_z = Parameters.of(covariance_type, theirs.weights_, theirs.means_, theirs.covariances_)
    covariances, held = in_z.covariances, covariance_type
    if covariance_type == "spherical":
        covariances, held = np.tile(covariances[:, None], (1, 6)), "diag"
        assert ours.covariances_.shape == ours.precisions_.shape == (3, 6)
    expected = Parameters.of(
        held,
        in_z.weights,
        in_z.means * deviation + mean,
        BY_NAME[held].rescale(covariances, deviation),
    )
    assert step_error(parameters(ours), expected) < 1e-8
    volume = np.log(deviation).sum()
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(z), atol=1e-8)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(z) - volume, rtol=1e-8)
    # BIC counts the declared family's parameters, and the volume is no parameter's doing.
    assert ours.bic(X) == pytest.approx(theirs.bic(z) + 2 * len(X) * volume, rel=1e-9)
    assert ours.aic(X) == pytest.approx(theirs.aic(z) + 2 * len(X) * volume, rel=1e-9)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_standardized_fits_do_not_depend_on_any_units(covariance_type):
    X = sample(3)
    scale, offset = np.array([1e-3, 7.0, 1e5]), np.array([1.0, -2e3, 5e7])
    here = fitted(X, covariance_type, standardize=True, reg_covar=0.1)
    there = fitted(X * scale + offset, covariance_type, standardize=True, reg_covar=0.1)
    np.testing.assert_allclose(
        there.predict_proba(X * scale + offset), here.predict_proba(X), atol=1e-7
    )
    np.testing.assert_allclose(there.means_, here.means_ * scale + offset, rtol=1e-7)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_reg_covar_is_meant_in_the_model_frame(covariance_type, standardize):
    """A column without variance shows reg_covar alone; one with variance is scaled by it."""
    X = np.column_stack([sample(0, 2) * [1.0, 1000.0], np.full(400, 7.0)])
    found = fitted(X, covariance_type, reg_covar=0.25, standardize=standardize)
    variances = parameters(found).variances
    np.testing.assert_allclose(variances[:, 2], 0.25, rtol=1e-12)
    np.testing.assert_allclose(found.means_[:, 2], 7.0)
    bare = fitted(
        X[:, :2], covariance_type, reg_covar=0.25, standardize=standardize, n_components=1
    )
    unit = X[:, :2].var(axis=0) if standardize else np.ones(2)
    np.testing.assert_allclose(parameters(bare).variances[0], X[:, :2].var(axis=0) + 0.25 * unit)


def test_a_spherical_floor_is_one_variance_in_the_model_frame():
    X = sample(0, 2) * [1.0, 1000.0]
    plain = fitted(X, "spherical", reg_covar=0.25, n_components=1)
    assert plain.covariances_[0] == pytest.approx(X.var(axis=0).mean() + 0.25)
    scored = fitted(X, "spherical", reg_covar=0.25, n_components=1, standardize=True)
    np.testing.assert_allclose(scored.covariances_[0], 1.25 * X.var(axis=0))


def test_spherical_is_not_invariant_under_scaling_by_rights():
    X = load_wine().data[:, :4]
    plain, scored = (fitted(X, "spherical", standardize=each).score(X) for each in (False, True))
    assert abs(plain - scored) > 0.1


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_one_outlier_at_1e12_costs_the_others_nothing(covariance_type):
    """With a component of its own the outlier leaves the fit of the other rows as it was."""
    X = sample(1)
    far = np.full((1, 3), 1e12)
    means, weights = np.vstack([X[:3], far]), np.array([0.4, 0.4, 0.1999, 0.0001])
    precisions = np.ones(BY_NAME[covariance_type].covariance_shape(4, 3))
    if covariance_type == "full":
        precisions = precisions * np.eye(3)
    found = fitted(
        np.vstack([X, far]),
        covariance_type,
        n_components=4,
        weights_init=weights,
        means_init=means,
        precisions_init=precisions,
    )
    without = fitted(
        X,
        covariance_type,
        weights_init=weights[:3] / weights[:3].sum(),
        means_init=means[:3],
        precisions_init=precisions[:3],
    )
    np.testing.assert_allclose(found.means_[:3], without.means_, rtol=1e-8)
    np.testing.assert_allclose(found.covariances_[:3], without.covariances_, rtol=1e-8)
    np.testing.assert_array_equal(found.means_[3], far[0])
    assert found.narrow_components_ == (3,)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("standardize", [False, True])
def test_bic_counts_the_parameters_of_the_declared_family(covariance_type, standardize):
    X, K, D = sample(0), 3, 3
    found = fitted(X, covariance_type, standardize=standardize)
    n = (
        K
        - 1
        + K * D
        + {"full": K * D * (D + 1) // 2, "tied": 6, "diag": K * D, "spherical": K}[covariance_type]
    )
    deviance = -2 * found.score(X) * len(X)
    assert found.bic(X) == pytest.approx(deviance + n * np.log(len(X)), rel=1e-12)
    assert found.aic(X) == pytest.approx(deviance + 2 * n, rel=1e-12)
