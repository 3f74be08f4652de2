"""Where EM begins: scikit-learn's four ways, drawn on rows in memory.

scikit-learn is imported where starts are drawn: whoever only sends them to workers need not wait.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from dask_gmm.mixture.arrays import Array, Indices

#: Some rows, by slice or by number, and responsibilities for them (b, K); rows not named have none.
Share: TypeAlias = tuple[slice | Indices, Array]
#: Rows in model-frame units (n, D), their weights (n,), K, generator -> shares, a block at a time.
Start: TypeAlias = Callable[[Array, Array | None, int, np.random.RandomState], Iterator[Share]]

#: Rows whose responsibilities are held at once: no start needs an (n, K) array.
_BLOCK = 16_384


def start_responsibilities(
    method: str,
    rows: Array,
    weights: Array | None,
    K: int,
    random_state: np.random.RandomState,
) -> Iterator[Share]:
    """Draw responsibilities to start from, a block of rows at a time.

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

    Yields
    ------
    rows : slice or (b,)
        Which rows; every row comes at most once.
    responsibilities : (b, K)
        Times the rows' weights.
    """
    for where, R in STARTS[method](rows, weights, K, random_state):
        yield where, R if weights is None else R * weights[where, None]


def _kmeans(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Iterator[Share]:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer distinct rows than components: the empty components are named by the fit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(K, n_init=1, random_state=random_state).fit(rows, sample_weight=weights)
    components = np.arange(K)
    for block in _blocks(len(rows)):
        yield block, (found.labels_[block, None] == components).astype(np.float64)


def _kmeans_plusplus(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Iterator[Share]:
    from sklearn.cluster import kmeans_plusplus

    _, indices = kmeans_plusplus(rows, K, sample_weight=weights, random_state=random_state)
    return _one_row_each(indices)


def _random(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Iterator[Share]:
    for block in _blocks(len(rows)):
        # One block after the other, the generator gives what it gives for all rows at once.
        R = np.asarray(random_state.uniform(size=(block.stop - block.start, K)))
        yield block, R / R.sum(axis=1, keepdims=True)


def _random_from_data(
    rows: Array, weights: Array | None, K: int, random_state: np.random.RandomState
) -> Iterator[Share]:
    share = None if weights is None else weights / weights.sum()
    return _one_row_each(random_state.choice(len(rows), size=K, replace=False, p=share))


def _one_row_each(indices: Indices) -> Iterator[Share]:
    """Give component k the row ``indices[k]`` alone."""
    # Joining blocks wants every row once; a row drawn twice starts both of its components.
    distinct, position = np.unique(indices, return_inverse=True)
    R = (np.arange(len(distinct))[:, None] == position).astype(np.float64)
    yield distinct, R


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))


STARTS: dict[str, Start] = {
    "kmeans": _kmeans,
    "k-means++": _kmeans_plusplus,
    "random": _random,
    "random_from_data": _random_from_data,
}
