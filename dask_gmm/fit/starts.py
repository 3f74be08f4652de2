"""Where EM begins: scikit-learn's four ways, drawn on rows in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from dask_gmm.mixture.arrays import Array, Indices

#: Rows in model-frame units (n, D), their weights (n,), K, generator -> responsibilities (n, K).
Start = Callable[[Array, Array | None, int, np.random.RandomState], Array]


def start_responsibilities(
    method: str,
    rows: Array,
    weights: Array | None,
    K: int,
    random_state: np.random.RandomState,
) -> Array:
    """Draw responsibilities to start from.

    The generator is used as scikit-learn's GaussianMixture uses it, so that one seed means the
    same start in both.

    Parameters
    ----------
    method : {'kmeans', 'k-means++', 'random', 'random_from_data'}
    rows : (n, D)
        In model-frame units, so that distances mean what they mean to the user; n >= K.
    weights : (n,), optional
        Row weights.
    K : int
        Number of components.
    random_state : RandomState

    Returns
    -------
    (n, K)
        Responsibilities times weights.
    """
    R = STARTS[method](rows, weights, K, random_state)
    return R if weights is None else R * weights[:, None]


def _kmeans(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Array:
    with warnings.catch_warnings():
        # Fewer distinct rows than components: the empty components are named by the fit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(K, n_init=1, random_state=random_state).fit(rows, sample_weight=weights)
    return _one_row_each(np.arange(len(rows)), found.labels_, len(rows), K)


def _kmeans_plusplus(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Array:
    _, indices = kmeans_plusplus(rows, K, sample_weight=weights, random_state=random_state)
    return _one_row_each(indices, np.arange(K), len(rows), K)


def _random(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Array:
    R = np.asarray(random_state.uniform(size=(len(rows), K)))
    return R / R.sum(axis=1, keepdims=True)


def _random_from_data(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Array:
    share = None if weights is None else weights / weights.sum()
    indices = random_state.choice(len(rows), size=K, replace=False, p=share)
    return _one_row_each(indices, np.arange(K), len(rows), K)


def _one_row_each(rows: Indices, components: Indices, n: int, K: int) -> Array:
    R = np.zeros((n, K))
    R[rows, components] = 1.0
    return R


STARTS: dict[str, Start] = {
    "kmeans": _kmeans,
    "k-means++": _kmeans_plusplus,
    "random": _random,
    "random_from_data": _random_from_data,
}
