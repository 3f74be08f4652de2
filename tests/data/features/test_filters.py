"""Filters against their definitions: with neighbours that are missing, and at the borders."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest
from scipy import ndimage

from dask_gmm.data.features import colours, filters
from dask_gmm.data.features.quantiles import knots_of

RNG = np.random.default_rng(11)
PLANE = RNG.normal(50.0, 20.0, (13, 17))
HOLED = np.where(RNG.random(PLANE.shape) < 0.2, np.nan, PLANE)
HOLED[3, 4] = np.inf
VOLUME = np.where(RNG.random((5, 7, 6)) < 0.1, np.nan, RNG.normal(size=(5, 7, 6)))


def neighbours(plane, place, reach):
    """Yield the offset and value of every pixel in reach that has a value."""
    for offset in itertools.product(*(range(-r, r + 1) for r in reach)):
        there = tuple(p + o for p, o in zip(place, offset, strict=True))
        inside = all(0 <= t < n for t, n in zip(there, plane.shape, strict=True))
        if inside and np.isfinite(plane[there]):
            yield np.array(offset, float), plane[there]


def by_definition(plane, reach, of_neighbours):
    found = np.full(plane.shape, np.nan)
    for place in np.ndindex(plane.shape):
        if np.isfinite(plane[place]):
            offsets, values = zip(*neighbours(plane, place, reach), strict=True)
            found[place] = of_neighbours(np.array(offsets), np.array(values))
    return found


def weights(offsets, sigmas):
    s = np.array([each or 1.0 for each in sigmas])
    return np.exp(-0.5 * ((offsets / s) ** 2).sum(axis=1))


CASES = [(HOLED, (1.0, 1.5)), (HOLED, (0, 2.0)), (VOLUME, (1.0, 0.7, 1.2)), (PLANE, (6.0, 6.0))]


@pytest.mark.parametrize(("plane", "sigmas"), CASES)
def test_the_gaussian_mean_is_of_neighbours_that_have_values(plane, sigmas):
    reach = [filters.gaussian_radius(s) for s in sigmas]
    expected = by_definition(plane, reach, lambda o, v: np.average(v, weights=weights(o, sigmas)))
    np.testing.assert_allclose(filters.gaussian(plane, sigmas), expected, rtol=1e-12)


@pytest.mark.parametrize(("plane", "sigmas"), CASES[:3])
def test_slope_and_curvature_are_derivatives_of_the_gaussian_mean(plane, sigmas):
    """The mean of weights that are moved by h, differentiated numerically."""
    reach, h = [filters.gaussian_radius(s) for s in sigmas], 1e-4
    axes = [axis for axis, s in enumerate(sigmas) if s]

    def moved(o, v, axis, by):
        shift = np.zeros(len(sigmas))
        shift[axis] = by
        return np.average(v, weights=weights(o - shift, sigmas))

    def slope(o, v):
        each = [(moved(o, v, a, h) - moved(o, v, a, -h)) / (2 * h) for a in axes]
        return np.sqrt(np.square(each).sum())

    def curvature(o, v):
        each = [(moved(o, v, a, h) - 2 * moved(o, v, a, 0) + moved(o, v, a, -h)) for a in axes]
        return np.sum(each) / h**2

    found = filters.gradient(plane, sigmas)
    np.testing.assert_allclose(found, by_definition(plane, reach, slope), rtol=1e-5, atol=1e-5)
    found = filters.laplacian(plane, sigmas)
    np.testing.assert_allclose(found, by_definition(plane, reach, curvature), rtol=1e-3, atol=1e-3)


def test_away_from_borders_and_holes_they_are_scipy_s():
    image = RNG.normal(size=(60, 60))
    inside = (slice(20, 40), slice(20, 40))
    for ours, theirs in (
        (filters.gaussian, ndimage.gaussian_filter),
        (filters.gradient, ndimage.gaussian_gradient_magnitude),
    ):
        np.testing.assert_allclose(
            ours(image, (2.0, 2.0))[inside], theirs(image, 2.0)[inside], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("plane", [HOLED, PLANE])
@pytest.mark.parametrize("radii", [(1, 1), (2, 0), (3, 30)])
def test_mean_deviation_and_range_of_a_box(plane, radii):
    for ours, theirs in (
        (filters.mean, np.mean),
        (filters.std, np.std),
        (filters.value_range, np.ptp),
    ):
        expected = by_definition(plane, radii, lambda o, v, theirs=theirs: theirs(v))
        np.testing.assert_allclose(ours(plane, radii), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("value", [0.1, 273.15, -1e6])
def test_a_constant_has_no_slope_no_curvature_and_no_spread_whatever_is_masked(value):
    plane = np.where(np.isfinite(HOLED), value, np.nan)
    known = np.isfinite(plane)
    for filtered in (
        filters.gradient(plane, (1.5, 2.0)),
        filters.laplacian(plane, (1.5, 2.0)),
        filters.std(plane, (2, 3)),
        filters.value_range(plane, (2, 3)),
    ):
        np.testing.assert_allclose(filtered[known], 0.0, atol=abs(value) * 1e-13)
    assert (filters.std(plane, (2, 3))[known] == 0).all()


def test_what_a_masked_pixel_holds_is_of_no_consequence():
    one, other = PLANE.copy(), PLANE.copy()
    one[5:8, 6:9], other[5:8, 6:9] = np.nan, np.inf
    for name, scale in (("gaussian", 2.0), ("laplacian", 2.0), ("std", 2), ("value_range", 2)):
        found = [getattr(filters, name)(plane, (scale, scale)) for plane in (one, other)]
        np.testing.assert_array_equal(*found)


def test_lab_is_that_of_the_standard():
    # White, black, and sRGB's primaries as CIE's formulas have them (Lindbloom).
    rgb = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]], float)
    expected = [
        (100, 0, 0),
        (0, 0, 0),
        (53.24, 80.09, 67.20),
        (87.73, -86.18, 83.18),
        (32.30, 79.19, -107.86),
        (53.39, 0, 0),
    ]
    found = np.stack(colours.lab(*rgb.T), axis=1)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_lab_and_hsv_are_scikit_image_s():
    color = pytest.importorskip("skimage.color")
    rgb = RNG.random((500, 3))
    for ours, theirs in ((colours.lab, color.rgb2lab), (colours.hsv, color.rgb2hsv)):
        np.testing.assert_allclose(np.stack(ours(*rgb.T), axis=1), theirs(rgb), atol=1e-6)


def test_hsv_is_python_s_own():
    rgb = np.concatenate([RNG.random((200, 3)), np.eye(3), 1 - np.eye(3), np.zeros((1, 3))])
    expected = [colorsys.rgb_to_hsv(*each) for each in rgb]
    np.testing.assert_allclose(np.stack(colours.hsv(*rgb.T), axis=1), expected, atol=1e-12)


def test_scores_of_quantiles_are_normal_or_uniform_and_ties_share_theirs():
    values = RNG.exponential(size=20_000) ** 3
    at, score = knots_of(values, "normal")
    scored = np.interp(values, at, score)
    assert abs(scored.mean()) < 0.01
    assert abs(scored.std() - 1) < 0.02
    at, score = knots_of(values, "uniform")
    tenths = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(np.quantile(np.interp(values, at, score), tenths), tenths, atol=0.01)
    at, score = knots_of(np.repeat([3, 3, 3, 7], 50), "uniform")
    assert at[0] == 3
    assert score[0] == pytest.approx(0.375, abs=0.01)
    assert knots_of(np.full(9, 4.0), "normal") == ((4.0,), (pytest.approx(0.0, abs=1e-12),))
