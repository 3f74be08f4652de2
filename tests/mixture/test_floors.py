"""Where a covariance has nothing to say: floors, empty and collapsed components, their names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.families import FAMILIES as BY_NAME
from dask_gmm.mixture.families import IllConditionedError
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import SufficientStatistics, m_step, narrow_components
from tests.mixture.problems import FAMILIES, matrices, own_step, random_mixture

UNIT_FRAME = Frame(np.zeros(2), np.ones(2), np.ones(2))


def spread(covariance_type, variances):
    """Return covariances of K components with the given variances (K,) in both features."""
    variances = np.asarray(variances, float)
    return {
        "full": variances[:, None, None] * np.eye(2),
        "tied": variances.min() * np.eye(2),
        "diag": np.tile(variances[:, None], (1, 2)),
        "spherical": variances,
    }[covariance_type]


@pytest.mark.parametrize("floor", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_within_twice_its_floor_is_named(covariance_type, floor):
    variances = floor * np.array([1.0, 1.99, 2.01, 100.0])
    mixture = Parameters.of(
        covariance_type, np.full(4, 0.25), np.zeros((4, 2)), spread(covariance_type, variances)
    )
    tied = covariance_type == "tied"
    assert narrow_components(mixture, np.full(2, floor)) == ((0, 1, 2, 3) if tied else (0, 1))
    assert narrow_components(mixture, np.full(2, floor / 100)) == ()


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_the_floor_is_met_along_any_direction(covariance_type):
    """A pancake across the axes has wide marginals, and its floor in units of each feature."""
    scale = np.array([1.0, 1e3])
    across = np.array([1.0, 1.0]) / np.sqrt(2)
    thin = np.eye(2) - np.outer(across, across) * (1 - 1e-6)
    covariance = np.outer(scale, scale) * thin
    covariances = covariance if covariance_type == "tied" else covariance[None]
    mixture = Parameters.of(covariance_type, [1.0], np.zeros((1, 2)), covariances)
    assert narrow_components(mixture, 1e-6 * scale**2) == (0,)
    assert narrow_components(mixture, 1e-7 * scale**2) == ()


@pytest.mark.parametrize("distance", [0.0, 1e-15])
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_collinear_features_are_repaired_and_named(covariance_type, distance):
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    X = np.column_stack([x, 3 * x + distance * rng.normal(size=500)])
    start = Parameters.of(covariance_type, [1.0], [[0.0, 0.0]], spread(covariance_type, [1.0]))
    own, _ = own_step(X, start)
    assert narrow_components(own, np.zeros(2)) == (0,)
    np.testing.assert_allclose(matrices(own)[0], np.cov(X.T, ddof=0), rtol=1e-9)
    again, statistics = own_step(X, own)
    assert np.isfinite(statistics.log_likelihood)
    np.testing.assert_allclose(matrices(again)[0], np.cov(X.T, ddof=0), rtol=1e-9)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_without_rows_stays_where_it_was(covariance_type):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    lost = [[0.0, 0.0], [1e6, 1e6]]
    covariances = spread(covariance_type, [1.0, 1e-4])
    if covariance_type == "tied":
        covariances = np.eye(2)
    own, statistics = own_step(X, Parameters.of(covariance_type, [0.5, 0.5], lost, covariances))
    assert statistics.N[1] < 1e-290
    assert own.weights[1] < 1e-15
    np.testing.assert_allclose(own.means[1], lost[1], rtol=1e-12)
    if covariance_type != "tied":
        np.testing.assert_allclose(matrices(own)[1], 1e-4 * np.eye(2), rtol=1e-12)
    one = Parameters.of(covariance_type, [1.0], lost[:1], spread(covariance_type, [1.0]))
    alone, _ = own_step(X, one)
    np.testing.assert_allclose(own.means[0], alone.means[0], atol=1e-12)
    np.testing.assert_allclose(matrices(own)[0], matrices(alone)[0], rtol=1e-11)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_no_rows_and_no_previous_parameters_give_the_origin_and_the_floor(covariance_type):
    family = BY_NAME[covariance_type]
    origins = np.array([[1.0, 2.0], [3.0, 4.0]])
    nothing = SufficientStatistics.zero(UNIT_FRAME, family, origins)
    made = m_step(nothing, np.full(2, 0.5))
    np.testing.assert_array_equal(made.means, origins)
    np.testing.assert_array_equal(made.weights, 0.5)
    np.testing.assert_allclose(matrices(made), np.tile(0.5 * np.eye(2), (2, 1, 1)))
    assert np.isfinite(m_step(nothing, np.zeros(2)).factors).all()


@pytest.mark.parametrize("reg_covar", [0.0, 0.04])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_on_one_repeated_row_has_its_floor(covariance_type, reg_covar):
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal(size=(200, 2)) + 50, np.tile([2.0, 5.0], (100, 1))])
    start = random_mixture(covariance_type, 2, 2, rng)
    means = np.array([[50.0, 50.0], [2.0, 5.0]])
    start = Parameters.of(covariance_type, [0.5, 0.5], means, start.covariances)
    own, _ = own_step(X, start, reg_covar=reg_covar)
    np.testing.assert_allclose(own.means[1], [2.0, 5.0], atol=1e-9)
    for _ in range(3):  # and there it stays, whatever its density
        own, statistics = own_step(X, own, reg_covar=reg_covar)
        assert np.isfinite(statistics.log_likelihood)
    np.testing.assert_allclose(own.means[1], [2.0, 5.0], atol=1e-12)
    assert own.weights[1] == pytest.approx(1 / 3)
    frame = statistics.frame
    named = narrow_components(own.inside(frame), frame.floor(np.full(2, reg_covar)))
    if covariance_type == "tied":
        assert named == ()
    else:
        assert named == (1,)
        np.testing.assert_allclose(matrices(own)[1], reg_covar * np.eye(2), atol=1e-11)


@st.composite
def awkward_rows(draw):
    """Rows of few distinct values, some of them absurd, beside columns of any scale."""
    D = draw(st.integers(1, 4))
    values = st.sampled_from([0.0, 1.0, 2.0, 255.0, -1e-9, 1e12, 0.1])
    distinct = draw(st.lists(st.tuples(*[values] * D), min_size=1, max_size=8))
    rows = np.array(distinct)[draw(st.lists(st.integers(0, len(distinct) - 1), min_size=2))]
    return rows * draw(st.sampled_from([1.0, 1e-9, 1e60, 1e-170]))


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(
    X=awkward_rows(),
    K=st.integers(1, 5),
    width=st.sampled_from([1e-12, 1.0, 1e12]),
    reg_covar=st.sampled_from([0.0, 1e-6, 1.0]),
    seed=st.integers(0, 99),
)
def test_parameters_are_finite_and_definite_whatever_the_rows(
    covariance_type, X, K, width, reg_covar, seed
):
    rng = np.random.default_rng(seed)
    family = BY_NAME[covariance_type]
    frame = Frame.of_sample(X, isotropic=family.isotropic)
    R = rng.dirichlet(np.full(K, width), size=len(X)) if K > 1 else np.ones((len(X), 1))
    statistics = SufficientStatistics.of_responsibilities(X, R, family, frame=frame)
    floor = frame.floor(reg_covar)
    parameters = m_step(statistics, floor)
    for _ in range(3):
        assert np.isclose(parameters.weights.sum(), 1)
        assert np.isfinite(family.precisions(parameters.factors)).all()
        np.linalg.cholesky(matrices(parameters))
        assert set(narrow_components(parameters, floor)) <= set(range(K))
        outside = parameters.outside(frame)
        assert np.isfinite(outside.family.precisions(outside.factors)).all()
        statistics = e_step([Rows(X)], parameters, frame)
        assert np.isfinite(statistics.log_likelihood)
        assert statistics.weight == len(X)
        if family.shares_scatter:
            break  # completed by the survey, which the estimator's tests go through
        parameters = m_step(statistics, floor, parameters)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_what_is_not_positive_definite_is_refused_where_it_is_given(covariance_type):
    with pytest.raises(IllConditionedError):
        Parameters.of(covariance_type, [1.0], [[0.0, 0.0]], -spread(covariance_type, [1.0]))
    with pytest.raises(ValueError, match="shape"):
        Parameters.of(covariance_type, [0.5, 0.5], [[0.0, 0.0]], spread(covariance_type, [1.0]))
    with pytest.raises(ValueError, match="finite"):
        Parameters.of(covariance_type, [1.0], [[np.nan, 0.0]], spread(covariance_type, [1.0]))
