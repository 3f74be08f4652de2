"""Several mixtures in one pass are each what they are alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.several import e_steps
from tests.mixture.problems import FAMILIES, draw, random_mixture


def alike(a, b, rtol=1e-10):
    for name in ("N", "sum_x", "scatter", "weight", "log_likelihood"):
        x, y = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * max(1.0, np.abs(y).max()))


def same_bits(a, b):
    for name in ("N", "sum_x", "scatter", "weight", "log_likelihood"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


candidates = st.lists(
    st.tuples(st.sampled_from(FAMILIES), st.integers(1, 9)), min_size=1, max_size=12
)


@settings(max_examples=40, deadline=None)
@given(candidates=candidates, D=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_each_of_several_equals_itself_alone(candidates, D, seed):
    rng = np.random.default_rng(seed)
    mixtures = [random_mixture(name, K, D, rng) for name, K in candidates]
    X = draw(mixtures[0], 700, rng)
    X[13] = np.nan
    w = rng.integers(0, 3, len(X)).astype(float)
    blocks = [Rows(X[:200], w[:200]), Rows(X[200:], w[200:], start=200)]
    frame = Frame.of_sample(np.delete(X, 13, axis=0), isotropic=True)
    inside = [each.inside(frame) for each in mixtures]
    together = e_steps(blocks, inside, frame)
    assert len(together.parts) == len(mixtures)
    for mixture, part in zip(inside, together.parts, strict=True):
        alone = e_step(blocks, mixture, frame)
        assert part.family is mixture.family
        same_bits(part, alone)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_components_that_are_centred_have_company(covariance_type):
    """One mixture has a component too narrow and too far for phi; its neighbours have none."""
    rng = np.random.default_rng(0)
    near = random_mixture(covariance_type, 3, 3, rng)
    far = type(near).of(
        near.family, near.weights, near.means + 1e4, np.asarray(near.covariances) * 1e-6
    )
    X = np.vstack([draw(near, 500, rng), draw(far, 500, rng)])
    frame = Frame.of_sample(X, isotropic=True)
    mixtures = [each.inside(frame) for each in (near, far, near, random_mixture("full", 2, 3, rng))]
    for mixture, part in zip(mixtures, e_steps([Rows(X)], mixtures, frame).parts, strict=True):
        alike(part, e_step([Rows(X)], mixture, frame))


def test_sums_of_several_are_added_each_to_its_own():
    rng = np.random.default_rng(1)
    mixtures = [random_mixture(name, 2, 2, rng) for name in FAMILIES]
    X = draw(mixtures[0], 300, rng)
    frame = Frame.of_sample(X, isotropic=True)
    mixtures = [each.inside(frame) for each in mixtures]
    halves = [e_steps([Rows(part)], mixtures, frame) for part in (X[:100], X[100:])]
    for a, b in zip(
        (halves[0] + halves[1]).parts, e_steps([Rows(X)], mixtures, frame).parts, strict=True
    ):
        alike(a, b)
