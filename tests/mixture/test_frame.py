"""The internal frame: chosen robustly, exact, and gone again on the way out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import score
from dask_gmm.mixture.rows import Rows
from tests.mixture.problems import FAMILIES, draw, nudged, own_step, random_mixture, step_error

powers = st.integers(-300, 300).map(lambda e: 2.0**e)
scales = st.floats(1e-90, 1e90)


@settings(max_examples=50, deadline=None)
@given(scale=st.tuples(scales, scales), offset=st.sampled_from([0.0, 3.0, -1e6]))
def test_the_scale_is_a_power_of_two_near_the_spread(scale, offset):
    X = (np.random.default_rng(0).normal(size=(500, 2)) + offset) * scale
    frame = Frame.of_sample(X, isotropic=False)
    np.testing.assert_array_equal(np.frexp(frame.scale)[0], 0.5)
    inside = frame.inside(X)
    spread = np.quantile(inside, 0.75, axis=0) - np.quantile(inside, 0.25, axis=0)
    assert ((spread > 0.7) & (spread < 1.42)).all()
    np.testing.assert_allclose(np.median(inside, axis=0), 0.0, atol=1e-9)
    rounding = 2 * np.finfo(float).eps * np.abs(X).max(axis=0)
    assert (np.abs(frame.outside(inside) - X) <= rounding).all()


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(40, 400),
    outlier=st.sampled_from([1e12, -1e12, 1e90]),
    isotropic=st.booleans(),
    seed=st.integers(0, 99),
)
def test_one_outlier_does_not_widen_the_frame(n, outlier, isotropic, seed):
    spread = np.array([1.0, 10.0, 100.0])
    X = np.random.default_rng(seed).normal(size=(n, 3)) * spread
    without = Frame.of_sample(X, isotropic=isotropic)
    X[seed % n] = outlier
    frame = Frame.of_sample(X, isotropic=isotropic)
    assert (np.abs(np.log2(frame.scale / without.scale)) <= 1).all()
    assert (np.abs(frame.shift - without.shift) < spread).all()


@pytest.mark.parametrize("share", [0.6, 0.85, 0.97, 0.999])
def test_a_feature_that_is_nearly_always_constant_still_has_a_scale(share):
    X = np.random.default_rng(1).normal(size=(2000, 2)) * 1000.0
    X[: int(share * len(X)), 0] = 42.0
    frame = Frame.of_sample(X, isotropic=False)
    assert frame.shift[0] == 42.0
    assert 100 < frame.scale[0] < 10_000


@pytest.mark.parametrize("spread", [0.0, 1e-170, 5e-324])
def test_a_constant_feature_has_the_scale_of_its_unit(spread):
    X = np.random.default_rng(1).normal(size=(50, 2)) * [1.0, spread]
    assert Frame.of_sample(X, isotropic=False).scale[1] == 1.0
    unit = np.array([2.0, 5.0])
    assert Frame.of_sample(X, unit=unit, isotropic=False).scale[1] in (4.0, 8.0)


@settings(max_examples=30, deadline=None)
@given(unit=st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)))
def test_an_isotropic_frame_scales_all_features_by_one_power_of_the_unit(unit):
    X = np.random.default_rng(2).normal(size=(200, 2)) * unit
    frame = Frame.of_sample(X, unit=np.array(unit), isotropic=True)
    ratio = frame.scale / unit
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-15)
    np.testing.assert_allclose(frame.floor(0.25), 0.25 / frame.model_scale**2)


@pytest.mark.parametrize(
    ("shift", "scale", "unit"),
    [
        ([0.0], [0.0], [1.0]),
        ([0.0], [-1.0], [1.0]),
        ([0.0], [1.0], [0.0]),
        ([np.inf], [1.0], [1.0]),
        ([0.0], [np.nan], [1.0]),
        ([0.0, 0.0], [1.0], [1.0]),
    ],
)
def test_a_frame_checks_itself(shift, scale, unit):
    with pytest.raises(ValueError, match="frame"):
        Frame(np.array(shift), np.array(scale), np.array(unit))


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=20, deadline=None)
@given(powers=st.tuples(powers, powers), seed=st.integers(0, 99))
def test_parameters_come_back_from_any_frame(covariance_type, powers, seed):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    scale = np.full(2, powers[0]) if mixture.family.isotropic else np.array(powers)
    back = mixture.inside(Frame(np.zeros(2), scale, np.ones(2))).outside(
        Frame(np.zeros(2), scale, np.ones(2))
    )
    for name in ("weights", "means", "covariances", "factors"):
        np.testing.assert_array_equal(getattr(back, name), getattr(mixture, name))
    assert back.family is mixture.family


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(
    shift=st.tuples(*[st.floats(-3, 3)] * 3),
    exponents=st.tuples(*[st.integers(-8, 8)] * 3),
    seed=st.integers(0, 9),
)
def test_the_step_does_not_depend_on_the_frame(covariance_type, shift, exponents, seed):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, 3, 3, rng)
    X, start = draw(mixture, 300, rng), nudged(mixture, rng)
    scale = np.exp2(np.array(exponents, float))
    if mixture.family.isotropic:
        scale[:] = scale[0]
    home, at_home = own_step(X, start, reg_covar=0.01)
    away, abroad = own_step(
        X, start, reg_covar=0.01, frame=Frame(np.array(shift), scale, np.ones(3))
    )
    assert step_error(away, home) < 1e-11
    assert abroad.log_likelihood == pytest.approx(at_home.log_likelihood, rel=1e-11)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(
    scale=st.tuples(*[st.floats(1e-5, 1e5)] * 2),
    offset=st.tuples(*[st.floats(-1e3, 1e3)] * 2),
    seed=st.integers(0, 9),
)
def test_the_likelihood_of_rescaled_rows_changes_by_the_volume(
    covariance_type, scale, offset, seed
):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, 3, 2, rng)
    scale, offset = np.array(scale), np.array(offset)
    if mixture.family.isotropic:
        scale[:] = scale[0]
    assume(np.abs(offset / scale).max() < 1e6)
    X = draw(mixture, 100, rng)
    moved = Parameters.of(
        mixture.family,
        mixture.weights,
        mixture.means * scale + offset,
        mixture.family.rescale(mixture.covariances, scale),
    )
    here, there = score([Rows(X)], mixture), score([Rows(X * scale + offset)], moved)
    volume = np.log(scale).sum()
    assert there.log_likelihood / 100 == pytest.approx(here.log_likelihood / 100 - volume, abs=1e-7)
    assert there.entropy == pytest.approx(here.entropy, abs=1e-6)
