"""What is reduced is a monoid, and no cut of the rows into blocks changes what comes out."""

from __future__ import annotations

import pickle
from dataclasses import fields
from functools import reduce
from itertools import pairwise
from operator import add

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.engine.lazy import array_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.prediction import Score, score
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.statistics import SufficientStatistics
from dask_gmm.mixture.survey import Moments, Sample, SurveyPlan, row_hashes, survey
from tests.mixture.problems import FAMILIES, draw, nudged, random_mixture

PLAN = SurveyPlan(n_features=3, capacity=50, seed=7)


def numbers(value):
    """Return every number of a frozen value, field by field."""
    found = {}
    for each in fields(value):
        content = getattr(value, each.name)
        if isinstance(content, Moments | Sample):
            found |= numbers(content)
        elif isinstance(content, int | float | np.ndarray):
            found[each.name] = np.asarray(content)
    return found


def assert_equal(a, b, rtol=1e-12):
    """Hold two values to be equal: counts and hashes exactly, sums to ``rtol`` of the largest."""
    a, b = numbers(a), numbers(b)
    assert a.keys() == b.keys()
    for name, found in a.items():
        if found.dtype.kind in "iu":
            np.testing.assert_array_equal(found, b[name], name)
        else:
            largest = np.abs(found[np.isfinite(found)]).max(initial=0.0)
            np.testing.assert_allclose(found, b[name], rtol, rtol * largest, err_msg=name)


def problem(covariance_type, seed=0, n=700):
    rng = np.random.default_rng(seed)
    mixture = random_mixture(covariance_type, 4, 3, rng)
    X = draw(mixture, n, rng)
    frame = Frame.of_sample(X, isotropic=mixture.family.isotropic)
    return X, rng.integers(0, 4, n).astype(float), nudged(mixture, rng), frame


def blocks_of(X, w, cuts):
    edges = sorted({0, len(X), *(cut % len(X) for cut in cuts)})
    return [Rows(X[a:b], w[a:b], start=a) for a, b in pairwise(edges)]


def mapped(kind, covariance_type):
    """Return (rows, weights, block -> value, zero) for one of the monoids."""
    X, w, start, frame = problem(covariance_type)
    inside = start.inside(frame)
    if kind == "statistics":
        zero = SufficientStatistics.zero(frame, start.family, e_step([], inside, frame).origins)
        return X, w, lambda block: e_step([block], inside, frame), zero
    if kind == "score":
        return X, w, lambda block: score([block], start), Score()
    surveyed = survey([], PLAN)
    if kind == "survey":
        return X, w, lambda block: survey([block], PLAN), surveyed
    zero = {"moments": Moments.zero(3), "sample": Sample.zero(PLAN.capacity, 3)}[kind]
    return X, w, lambda block: getattr(survey([block], PLAN), kind), zero


KINDS = [("statistics", family) for family in FAMILIES] + [
    ("score", "full"),
    ("survey", "full"),
    ("moments", "full"),
    ("sample", "full"),
]
cuts = st.lists(st.integers(0, 699), max_size=12)


@pytest.mark.parametrize(("kind", "covariance_type"), KINDS)
def test_zero_is_neutral(kind, covariance_type):
    X, w, of_block, zero = mapped(kind, covariance_type)
    whole = of_block(Rows(X, w))
    for total in (zero + whole, whole + zero):
        assert_equal(total, whole, rtol=0.0)
    assert_equal(zero + zero, zero, rtol=0.0)


@pytest.mark.parametrize(("kind", "covariance_type"), KINDS)
@settings(max_examples=15, deadline=None)
@given(cuts=cuts, random=st.randoms(use_true_random=False))
def test_any_tree_of_any_partition_gives_the_same(kind, covariance_type, cuts, random):
    X, w, of_block, zero = mapped(kind, covariance_type)
    parts = [of_block(block) for block in blocks_of(X, w, cuts)]
    whole = of_block(Rows(X, w))
    assert_equal(reduce(add, parts, zero), whole)
    random.shuffle(parts)
    while len(parts) > 1:  # an arbitrary tree over an arbitrary order
        i = random.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    assert_equal(parts[0], whole)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@settings(max_examples=10, deadline=None)
@given(cuts=cuts)
def test_blocks_within_one_leaf_are_as_one(covariance_type, cuts):
    X, w, start, frame = problem(covariance_type)
    blocks = blocks_of(X, w, cuts)
    inside = start.inside(frame)
    assert_equal(e_step(blocks, inside, frame), e_step([Rows(X, w)], inside, frame))
    assert_equal(survey(blocks, PLAN), survey([Rows(X, w)], PLAN))
    assert_equal(score(blocks, start), score([Rows(X, w)], start))


def test_statistics_of_other_frames_families_or_origins_do_not_add():
    X, _, start, frame = problem("full")
    inside = start.inside(frame)
    here = e_step([Rows(X)], inside, frame)
    moved = Frame(frame.shift + 1, frame.scale, frame.unit)
    wider = Frame(frame.shift, 2 * frame.scale, frame.unit)
    scored = Frame(frame.shift, frame.scale, 3 * frame.unit)
    for other in (moved, wider, scored):
        with pytest.raises(ValueError, match="frames"):
            here + e_step([Rows(X)], start.inside(other), other)
    other_family = SufficientStatistics.zero(frame, problem("diag")[2].family, here.origins)
    with pytest.raises(ValueError, match="families"):
        here + other_family
    with pytest.raises(ValueError, match="frames"):
        here + SufficientStatistics.zero(frame, start.family, here.origins + 1.0)
    assert here.frame == Frame(frame.shift.copy(), frame.scale.copy(), frame.unit.copy())
    assert hash(here.frame) == hash(Frame(frame.shift.copy(), frame.scale.copy(), frame.unit))


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_statistics_that_have_travelled_still_add(covariance_type):
    X, w, start, frame = problem(covariance_type)
    here, there = blocks_of(X, w, [300])
    inside = start.inside(frame)
    far = pickle.loads(pickle.dumps(e_step([there], *pickle.loads(pickle.dumps((inside, frame))))))
    assert_equal(e_step([here], inside, frame) + far, e_step([Rows(X, w)], inside, frame))
    assert far.family is start.family


def test_samples_of_other_capacity_do_not_add():
    with pytest.raises(ValueError, match="capacity"):
        Sample.zero(3, 2) + Sample.zero(4, 2)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    data=st.data(),
    capacity=st.integers(0, 40),
    seed=st.integers(0, 2**64 - 1),
)
def test_the_sample_is_the_same_for_any_chunks_of_any_axes(shape, data, capacity, seed):
    chunks = tuple(data.draw(st.integers(1, n), label="chunk") for n in shape)
    n = int(np.prod(shape))
    X = np.random.default_rng(n).normal(size=(*shape, 2))
    plan = SurveyPlan(2, capacity, seed)
    whole = survey([Rows(X.reshape(n, 2))], plan)
    leaves = array_leaves(da.from_array(X, chunks=(*chunks, 1)))
    with dask.config.set(scheduler="synchronous"):
        parts = Passes(leaves).run("survey", survey, plan)
    np.testing.assert_array_equal(parts.sample.hashes, whole.sample.hashes)
    np.testing.assert_array_equal(parts.sample.rows, whole.sample.rows)
    assert (parts.n_rows, parts.n_used) == (n, n)
    assert_equal(parts.moments, whole.moments)

    hashes = row_hashes(np.arange(n, dtype=np.uint64), seed)
    smallest = np.argsort(hashes)[:capacity]
    np.testing.assert_array_equal(whole.sample.rows, X.reshape(n, 2)[smallest])


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 3000),
    weighted=st.booleans(),
    offset=st.sampled_from([0.0, 1e3, -1e7]),
    seed=st.integers(0, 999),
)
def test_moments_are_those_of_numpy(n, weighted, offset, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) + offset
    w = rng.uniform(0.1, 3.0, n) if weighted else np.ones(n)
    halves = [Rows(X[: n // 3], w[: n // 3]), Rows(X[n // 3 :], w[n // 3 :])]
    found = survey(halves, PLAN).moments
    exact = X.astype(np.longdouble)
    mean = np.average(exact, axis=0, weights=w)
    scatter = ((exact - mean) * w[:, None]).T @ (exact - mean)
    np.testing.assert_allclose(found.mean, np.float64(mean), rtol=1e-14, atol=1e-14)
    # The mean is a double: where rows are far it rounds, and the scatter with it, once a merge.
    rounding = n * (np.finfo(float).eps * abs(offset) + 1e-12)
    np.testing.assert_allclose(found.scatter, np.float64(scatter), rtol=1e-10, atol=rounding)
    np.testing.assert_array_equal((found.low, found.high), (X.min(axis=0), X.max(axis=0)))
    assert found.weight == pytest.approx(w.sum())


def test_a_ceiling_leaves_the_sample_as_it_is():
    """With the number of rows known, hashes that cannot be among the smallest are not looked at."""
    X = np.random.default_rng(1).normal(size=(20_000, 3))
    plain = survey([Rows(X)], SurveyPlan(3, 100, 5)).sample
    aware = survey([Rows(X)], SurveyPlan(3, 100, 5, n_rows=len(X))).sample
    np.testing.assert_array_equal(plain.rows, aware.rows)


def test_hashes_draw_rows_evenly():
    """The smallest tenth of a million hashes is spread over rows, seeds and neighbours alike."""
    n = 1_000_000
    drawn = row_hashes(np.arange(n, dtype=np.uint64), 3) < np.uint64(2**64 // 10)
    other = row_hashes(np.arange(n, dtype=np.uint64), 4) < np.uint64(2**64 // 10)
    sigma = np.sqrt(n * 0.09)
    assert abs(drawn.sum() - n / 10) < 5 * sigma
    thousands = drawn.reshape(1000, -1).sum(axis=1)
    assert 0.8 < thousands.var() / 90 < 1.2
    for pair in (drawn & other, drawn[1:] & drawn[:-1]):
        assert abs(pair.sum() - n / 100) < 5 * np.sqrt(n * 0.0099)
    assert len(np.unique(row_hashes(np.arange(n, dtype=np.uint64), 3))) == n
