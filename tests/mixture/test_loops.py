"""The compiled loops say what NumPy says, for every size and whatever stood in the buffers."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_gmm.mixture import loops
from dask_gmm.mixture.families import FAMILIES
from dask_gmm.mixture.workspace import Workspace, padded_statistics

B = 2 * loops.TILE
SIZES = {"K": st.integers(1, 9), "D": st.integers(1, 9), "seed": st.integers(0, 2**32 - 1)}


def work(K, D, seed, Q):
    """Buffers whose rows 1 to D of phi and whose R are filled, as a kernel fills them."""
    print(f"seed {seed}")
    generator = np.random.default_rng(seed)
    buffers = Workspace(Q, K, B, 0)
    buffers.phi[1 : D + 1] = generator.standard_normal((D, B))
    buffers.R[...] = generator.uniform(-800.0, 50.0, (K, B))
    return buffers, generator


@pytest.mark.parametrize("name", FAMILIES)
@given(**SIZES)
def test_phi_holds_one_x_and_the_products_of_its_family(name, K, D, seed):
    family = FAMILIES[name]
    buffers, _ = work(K, D, seed, family.n_features(D))
    family.fill(buffers.padded_phi, D, B)
    x = buffers.phi[1 : D + 1]
    quadratic = {
        "full": [x * x, *(x[i : i + 1] * x[i + 1 :] for i in range(D - 1))],
        "tied": [],
        "diag": [x * x],
        "spherical": [(x * x).sum(axis=0, keepdims=True)],
    }[name]
    expected = np.vstack([np.ones((1, B)), x, *quadratic])
    np.testing.assert_allclose(buffers.phi, expected, rtol=1e-14)
    assert not buffers.padded_phi[len(expected) :].any()


@given(**SIZES)
def test_softmax_and_entropy(K, D, seed):
    buffers, _ = work(K, D, seed, D + 1)
    log_joint = buffers.R.astype(np.longdouble)
    loops.softmax(buffers.padded_R, K, B, buffers.peak, buffers.total, buffers.mean)
    e = np.exp(log_joint - log_joint.max(axis=0))
    seen = e > 1e-300
    np.testing.assert_allclose(buffers.R[seen], e[seen].astype(float), rtol=3e-13)
    assert (buffers.R[~seen] < 1e-300).all()
    np.testing.assert_array_equal(buffers.peak, log_joint.max(axis=0).astype(float))
    np.testing.assert_allclose(buffers.total, e.sum(axis=0).astype(float), rtol=1e-14)
    R = e / e.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(R > 0, R * np.log(R), 0.0).sum(axis=0)
    found = np.log(buffers.total) - buffers.mean / buffers.total
    np.testing.assert_allclose(found, entropy.astype(float), rtol=1e-12, atol=1e-13)


@given(**SIZES)
def test_without_the_entropy_the_softmax_is_the_same_to_the_bit(K, D, seed):
    with_it, _ = work(K, D, seed, D + 1)
    without, _ = work(K, D, seed, D + 1)
    loops.softmax(with_it.padded_R, K, B, with_it.peak, with_it.total, with_it.mean)
    loops.softmax(without.padded_R, K, B, without.peak, without.total, np.empty(0))
    assert np.array_equal(with_it.R, without.R)
    assert np.array_equal(with_it.total, without.total)


@given(**SIZES)
def test_statistics_are_the_product_with_phi(K, D, seed):
    buffers, generator = work(K, D, seed, D + 1)
    buffers.R[...] = generator.uniform(0.0, 1.0, (K, B))
    w, total = generator.uniform(0.0, 2.0, B), generator.uniform(1.0, 3.0, B)
    weighted = buffers.R * (w / total)
    loops.weigh(buffers.padded_R, K, B, w, total)
    np.testing.assert_allclose(buffers.R, weighted, rtol=1e-15)
    S = padded_statistics(D + 1, K)
    for _ in range(2):
        loops.add_statistics(S, buffers.padded_phi, buffers.padded_R, B)
    magnitude = 2.0 * np.abs(weighted) @ np.abs(buffers.phi).T
    error = np.abs(S[:K, : D + 1] - 2.0 * weighted @ buffers.phi.T)
    assert (error <= 1e-13 * magnitude).all()


@given(**SIZES)
def test_the_first_of_the_most_probable(K, D, seed):
    buffers, generator = work(K, D, seed, D + 1)
    buffers.R[...] = generator.integers(0, 3, (K, B))
    loops.most_probable(buffers.padded_R, K, B, buffers.peak, buffers.component)
    assert np.array_equal(buffers.component, buffers.R.argmax(axis=0))


def test_loops_run_where_nothing_can_be_kept():
    """In a container without a home, with a read-only installation."""
    code = """
from numba.core.caching import FunctionCache
FunctionCache._impl_class._locator_classes = []
import numpy as np
from dask_gmm import GaussianMixture
X = np.random.default_rng(0).standard_normal((100, 2))
assert np.isfinite(GaussianMixture(2, random_state=0).fit(X).means_).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
