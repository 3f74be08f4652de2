"""The same bits: again, in other threads, under another scheduler, from another layout."""

from __future__ import annotations

import hashlib
import warnings
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from dask_gmm.mixture.parameters import Parameters
from tests.mixture.problems import FAMILIES, draw, random_mixture

FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def rows(n=3000, D=5):
    rng = np.random.default_rng(0)
    return draw(random_mixture("full", 4, D, rng), n, rng)


def fitted(X, covariance_type="full", **arguments):
    known = {"n_components": 4, "random_state": 0, "max_iter": 5, "tol": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(covariance_type=covariance_type, **known | arguments).fit(X)


def bits(found, X=None):
    """Return a digest of everything that was fitted and, with X, of all that is said of it."""
    digest = hashlib.sha256()
    for name in FITTED:
        digest.update(getattr(found, name).tobytes())
    digest.update(np.array(found.lower_bounds_).tobytes())
    if X is not None:
        for answer in (found.predict(X), found.predict_proba(X), found.score_samples(X)):
            digest.update(np.asarray(answer).tobytes())
        digest.update(np.array([found.score(X), found.bic(X), found.icl(X)]).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_again_in_memory(covariance_type):
    X = rows()
    first = fitted(X, covariance_type)
    assert bits(first, X) == bits(fitted(X, covariance_type), X)
    assert bits(first) == bits(fitted(X.copy(order="F"), covariance_type))
    assert bits(first) == bits(fitted(np.repeat(X, 2, axis=0)[::2], covariance_type))


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_threads_and_one_thread(covariance_type):
    lazy = da.from_array(rows(), chunks=(170, 5))  # more leaves than one sum takes
    seen = set()
    for scheduler, workers in [("synchronous", 1), ("threads", 2), ("threads", 7), ("threads", 1)]:
        with dask.config.set(scheduler=scheduler, num_workers=workers):
            seen.add(bits(fitted(lazy, covariance_type), lazy))
    assert len(seen) == 1


def test_a_distributed_client_that_is_active():
    distributed = pytest.importorskip("distributed")
    lazy = da.from_array(rows(), chunks=(170, 5))
    with dask.config.set(scheduler="synchronous"):
        expected = bits(fitted(lazy), lazy)
    with distributed.Client(
        processes=False, n_workers=2, dashboard_address="127.0.0.1:0"
    ) as client:
        assert bits(fitted(lazy), lazy) == expected
        assert client.nthreads()


def test_mixtures_in_several_threads_do_not_share_their_buffers():
    X = rows()

    def answer(known):
        # Converged after two steps: threads cannot each have their own warnings filter.
        estimator = GaussianMixture(init_params="random", tol=1e9, random_state=0, **known)
        return bits(estimator.fit(X), X)

    known = [{"covariance_type": each, "n_components": K} for each in FAMILIES for K in (2, 5)]
    expected = [answer(each) for each in known]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert list(pool.map(answer, known)) == expected


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_where_blocks_come_from_changes_no_bit(covariance_type):
    X = rows()
    graphs = [
        da.from_array(X, chunks=(500, 5)),
        da.from_array(np.asfortranarray(X), chunks=(500, 5)),
        da.from_array(X.T.copy(), chunks=(5, 500)).T,
        da.from_array(X.astype(">f8"), chunks=(500, 2)),
        da.concatenate([da.from_array(X[:1000], chunks=(500, 5)), da.from_array(X[1000:], 500)]),
        da.from_array(X, chunks=(250, 5)).rechunk((500, 5)),
    ]
    with dask.config.set(scheduler="synchronous"):
        assert len({bits(fitted(lazy, covariance_type), lazy) for lazy in graphs}) == 1


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_row_says_the_same_alone_and_in_company(covariance_type):
    X = rows(600)
    found = fitted(X, covariance_type)
    everyone = found.predict_proba(X)
    some = np.random.default_rng(1).permutation(600)[:50]
    np.testing.assert_array_equal(found.predict_proba(X[some]), everyone[some])
    for i in some[:10]:
        np.testing.assert_array_equal(found.predict_proba(X[i : i + 1])[0], everyone[i])
        assert found.score_samples(X[i : i + 1])[0] == found.score_samples(X)[i]


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_parameters_are_canonical_whatever_they_are_made_of(covariance_type):
    made = random_mixture(covariance_type, 3, 4, np.random.default_rng(0))
    swapped = Parameters(
        made.family,
        made.weights.astype(">f8"),
        np.asfortranarray(made.means),
        np.repeat(made.covariances, 2, axis=0)[::2],
        np.asfortranarray(made.factors),
    )
    for name in ("weights", "means", "covariances", "factors"):
        array = getattr(swapped, name)
        assert array.flags.c_contiguous
        assert array.dtype == np.float64
        assert array.dtype.isnative
        assert array.tobytes() == getattr(made, name).tobytes()
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_blas_is_given_back_its_threads():
    from threadpoolctl import threadpool_info, threadpool_limits

    def blas_threads():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    X = rows(500)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        found = fitted(X)
        found.score(X)
        found.predict(X)
        with pytest.raises(ValueError, match="NaN"):
            found.score(da.full((10, 5), np.nan))
        assert blas_threads() == before
