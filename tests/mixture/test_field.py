"""The field over neighbours: its equation, its borders, and the same bits wherever a pixel lies."""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dask_gmm import smooth_posterior
from dask_gmm.mixture import exact
from dask_gmm.mixture.field import LEAST, Field, concluded

CASES = {
    4: ((33, 140), ()),
    8: ((2, 17, 40), (1.0, 2.5)),
    6: ((9, 10, 31), (1.0, 1.0, 3.0)),
    26: ((2, 7, 8, 9), ()),
}


def drawn(shape, K=4, seed=0, masked=0.1):
    """Draw probabilities (*shape, K), some of them certain; some pixels masked."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(*shape, K)) * rng.choice([1.0, 30.0], size=(*shape, 1))
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    p[rng.random(shape) < masked] = np.nan
    return p.astype(np.float32)


def by_hand(p, field):
    """Iterate q_i(k) ~ p_i(k) exp(beta sum_j w_ij q_j(k)) in double precision, shift by shift."""
    masked, n = np.isnan(p).any(axis=-1, keepdims=True), field.n_axes
    spacing = field.spacing or (1.0,) * n
    most = {4: 1, 8: 2, 6: 1, 26: 3}[field.neighbourhood]
    offsets = [o for o in np.ndindex((3,) * n) if 0 < sum(abs(i - 1) for i in o) <= most]
    p = np.where(masked, 0.0, np.maximum(p.astype(float), LEAST))
    q = p
    for _ in range(field.iterations):
        room = np.pad(q, [(0, 0)] * (q.ndim - 1 - n) + [(1, 1)] * n + [(0, 0)])
        heard = np.zeros_like(q)
        for o in offsets:
            far = math.hypot(*((i - 1) * s for i, s in zip(o, spacing, strict=True)))
            there = tuple(slice(i, i + m) for i, m in zip(o, q.shape[-1 - n : -1], strict=True))
            heard += min(spacing) / far * room[(..., *there, slice(None))]
        raised = p * np.exp(field.strength * (heard - heard.max(axis=-1, keepdims=True)))
        total = raised.sum(axis=-1, keepdims=True)
        q = raised / np.where(masked, 1.0, total)
    return np.where(masked, np.nan, q)


@pytest.mark.parametrize("neighbourhood", CASES)
@pytest.mark.parametrize("iterations", [1, 2, 3, 12])
def test_the_equation_is_iterated(neighbourhood, iterations):
    shape, spacing = CASES[neighbourhood]
    p = drawn(shape)
    options = {"strength": 0.7, "neighbourhood": neighbourhood, "iterations": iterations}
    found = smooth_posterior(p, spacing=spacing, **options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(p, Field(**options, spacing=spacing)), atol=2e-6)


def test_a_pixel_without_neighbours_keeps_what_the_mixture_says():
    p = drawn((1, 1), masked=0.0)
    np.testing.assert_allclose(smooth_posterior(p, strength=9.0), p, rtol=1e-5)
    alone = drawn((5, 6), masked=0.0)
    alone[np.indices((5, 6)).sum(axis=0) % 2 == 0] = np.nan
    np.testing.assert_allclose(smooth_posterior(alone, neighbourhood=4), alone, atol=1e-6)
    p = drawn((6, 7))
    np.testing.assert_allclose(smooth_posterior(p, strength=0.0), p, atol=1e-6)


def test_two_neighbours_find_the_fixed_point():
    p = np.array([[[0.8, 0.2], [0.4, 0.6]]])
    q = smooth_posterior(p, strength=1.5, iterations=200).astype(float)
    for i, j in ((0, 1), (1, 0)):
        told = p[0, i] * np.exp(1.5 * q[0, j])
        np.testing.assert_allclose(q[0, i], told / told.sum(), rtol=1e-5)


def test_a_mask_is_a_wall():
    """Two halves that do not touch but through masked pixels know nothing of each other."""
    p = drawn((12, 21), masked=0.0)
    p[:, 10] = np.nan
    other = p.copy()
    other[:, 11:] = drawn((12, 10), seed=5, masked=0.0)
    found, changed = (smooth_posterior(each, neighbourhood=8) for each in (p, other))
    np.testing.assert_array_equal(found[:, :10], changed[:, :10])
    assert (found[:, 11:] != changed[:, 11:]).any()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_margin_of_as_many_pixels_as_iterations_gives_the_same_bits(data):
    neighbourhood = data.draw(st.sampled_from(list(CASES)))
    shape, spacing = CASES[neighbourhood]
    n = 2 if neighbourhood in (4, 8) else 3
    iterations = data.draw(st.integers(1, 6), "iterations")
    p = drawn(shape, seed=data.draw(st.integers(0, 50), "seed"))
    options = {"strength": 1.1, "neighbourhood": neighbourhood, "iterations": iterations}
    whole = smooth_posterior(p, spacing=spacing, **options)
    first = len(shape) - n
    inner, outer, crop = [slice(None)] * first, [slice(None)] * first, [slice(None)] * first
    for length in shape[first:]:
        start = data.draw(st.integers(0, length - 1))
        stop = data.draw(st.integers(start + 1, length))
        low, high = max(start - iterations, 0), min(stop + iterations, length)
        inner.append(slice(start, stop))
        outer.append(slice(low, high))
        crop.append(slice(start - low, stop - low))
    part = smooth_posterior(p[tuple(outer)], spacing=spacing, **options)
    np.testing.assert_array_equal(part[tuple(crop)], whole[tuple(inner)])


def test_what_has_not_changed_is_left_alone_and_stays_right():
    """Large areas that are certain settle after a few iterations; a front still moves through."""
    p = np.full((150, 700, 2), [1.0, 0.0], np.float32)
    p[:, :300] = [0.5, 0.5]
    p[60:80, 500:520] = [0.2, 0.8]
    options = {"strength": 2.0, "neighbourhood": 4, "iterations": 60}
    found = smooth_posterior(p, **options)
    np.testing.assert_allclose(found, by_hand(p, Field(**options)), atol=1e-4)
    assert (found.argmax(axis=-1) == by_hand(p, Field(**options)).argmax(axis=-1)).all()


def test_arrays_come_back_as_what_they_were():
    p = drawn((40, 30), K=3)
    whole = smooth_posterior(p, iterations=4)
    lazy = smooth_posterior(da.from_array(p, chunks=(7, 11, 2)), iterations=4)
    assert lazy.chunks[:2] == da.from_array(p, chunks=(7, 11, 3)).chunks[:2]
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), whole)
    named = xr.DataArray(p, dims=("y", "x", "class"), coords={"y": np.arange(40)})
    found = smooth_posterior(named, iterations=4)
    assert found.dims == named.dims
    assert "y" in found.coords
    np.testing.assert_array_equal(found.values, whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbourhood": 5}, "4, 8, 6 and 26"),
        ({"neighbourhood": 6}, "3 axes of space"),
        ({"iterations": 0}, "from 1"),
        ({"strength": -1.0}, "from 0"),
        ({"strength": float("nan")}, "from 0"),
        ({"spacing": (1.0,)}, "needs 2"),
        ({"spacing": (1.0, 0.0)}, "above 0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        smooth_posterior(drawn((4, 5)), **options)


@pytest.mark.parametrize("wrong", [np.ones((4, 5, 3)), np.full((4, 5, 2), [1.5, -0.5])])
def test_numbers_that_are_no_probabilities_are_refused(wrong):
    with pytest.raises(ValueError, match="no probabilities"):
        smooth_posterior(wrong)


def test_labels_are_the_first_of_the_most_probable_and_entropies_those_of_numpy():
    p = np.moveaxis(drawn((500,), K=5, masked=0.0), -1, 0).copy()
    p[:, 7] = 0.2
    labels, uncertainty = concluded(p)
    np.testing.assert_array_equal(labels, p.argmax(axis=0) + 1)
    exactly = p.astype(float)
    entropy = -(exactly * np.log(np.maximum(exactly, 1e-300))).sum(axis=0) / np.log(5)
    np.testing.assert_allclose(uncertainty, entropy, atol=2e-6)
    assert uncertainty.min() >= 0


# --- noise ---------------------------------------------------------------------------------------


def patches(shape, K=3, seed=0):
    """Draw a map of K classes in patches, and noise over it that confuses a third of the pixels."""
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), 9.0) for _ in range(K)]
    truth = np.argmax(smooth, axis=0)
    seen = truth + rng.normal(scale=0.6, size=shape)
    z = -((seen[..., None] - np.arange(K)) ** 2) / (2 * 0.6**2)
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return truth, (p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "neighbourhood"), [((220, 260), 8), ((220, 260), 4), ((40, 48, 44), 26)]
)
def test_noise_is_more_than_halved_and_no_blur_does_better(shape, neighbourhood):
    """Whatever its width, a Gaussian over the posterior moves borders; and by hand it is the same.

    The error of the field is that of the same iterations in double precision, all in memory.
    """
    truth, p = patches(shape)
    field = Field(1.0, neighbourhood, 10)
    found = smooth_posterior(p, strength=1.0, neighbourhood=neighbourhood, iterations=10)
    wrong = (found.argmax(axis=-1) != truth).mean()
    plain = (p.argmax(axis=-1) != truth).mean()
    assert 0.2 < plain < 0.4
    assert wrong < plain / 2
    reference = (by_hand(p, field).argmax(axis=-1) != truth).mean()
    assert abs(wrong - reference) < 1e-4
    blurs = [
        (np.argmax([ndimage.gaussian_filter(p[..., k], s) for k in range(3)], axis=0) != truth)
        for s in (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
    ]
    assert wrong <= min(each.mean() for each in blurs)


# --- arithmetic ----------------------------------------------------------------------------------


@exact.exact
def _each(x, exps, logs):
    for i in range(len(x)):
        exps[i] = exact.exp(-x[i])
        logs[i] = exact.log(x[i])


def test_exp_and_log_are_right_to_the_last_places_and_the_same_wherever_they_stand():
    x = np.exp(np.random.default_rng(0).uniform(-69, math.log(87), 5000)).astype(np.float32)
    exps, logs = np.empty_like(x), np.empty_like(x)
    _each(x, exps, logs)
    np.testing.assert_allclose(exps, np.exp(-x.astype(float)), rtol=2e-7)
    np.testing.assert_allclose(logs, np.log(x.astype(float)), rtol=3e-7, atol=3e-7)
    for start in range(40):
        for n in (1, 2, 3, 7, 8, 15, 16, 17, 33):
            part = x[start : start + n]
            some, others = np.empty_like(part), np.empty_like(part)
            _each(part, some, others)
            np.testing.assert_array_equal(some, exps[start : start + n])
            np.testing.assert_array_equal(others, logs[start : start + n])
