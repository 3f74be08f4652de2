"""The containers that users keep rows in: taken off on the way in, put back on the way out.

Nothing is loaded here that was lazy, and no optional library is imported: a container that is in
the user's hands has been imported by the user.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contained:
    """What a container holds.

    Attributes
    ----------
    array : array-like
        Rows with their features last: a NumPy or Dask array, or what scikit-learn itself takes.
    names : tuple of str or None
        Names of the features, where the container has them and ``array`` has not.
    put_back : callable
        From results over the leading axes (with an axis of components behind them, if its second
        argument says so) to the user's container.
    flattens : bool
        True where ``array`` may have several leading axes even in memory.
    """

    array: Any
    names: tuple[str, ...] | None
    put_back: Callable[[Any, bool], Any]
    flattens: bool = False


def open_container(X: Any, feature_dim: str | None) -> Contained:
    """Look into X.

    Parameters
    ----------
    X : array-like, pandas or Dask DataFrame, pyarrow Table, xarray DataArray or Dataset
    feature_dim : str or None
        The dimension of an xarray DataArray that holds the features; by default its last.
    """
    if _is(X, "xarray", "Dataset"):
        names = tuple(str(name) for name in X.data_vars)
        return _data_array(X.to_dataarray(dim=_FEATURE), _FEATURE, names)
    if _is(X, "xarray", "DataArray"):
        dim = str(X.dims[-1]) if feature_dim is None else feature_dim
        if dim not in X.dims:
            raise ValueError(
                f"feature_dim={dim!r} is no dimension of X; X has {', '.join(map(str, X.dims))}"
            )
        return _data_array(X, dim, _labels_of(X, dim))
    if _is(X, "pyarrow", "Table"):
        columns = [column.to_numpy() for column in X.itercolumns()]
        rows = np.column_stack(columns) if columns else np.empty((X.num_rows, 0))
        return Contained(rows, tuple(X.column_names), _as_it_is)
    if hasattr(X, "to_dask_array"):
        return Contained(X.to_dask_array(), tuple(str(name) for name in X.columns), _as_it_is)
    return Contained(X, None, _as_it_is)


_FEATURE, _COMPONENT = "feature", "component"


def _data_array(X: Any, dim: str, names: tuple[str, ...] | None) -> Contained:
    X = X.transpose(..., dim)
    leading = X.dims[:-1]
    coords = {name: each for name, each in X.coords.items() if dim not in each.dims}

    def put_back(results: Any, by_component: bool) -> Any:
        dims = (*leading, _COMPONENT) if by_component else leading
        return type(X)(results, dims=dims, coords=coords)

    return Contained(X.data, names, put_back, flattens=True)


def _labels_of(X: Any, dim: str) -> tuple[str, ...] | None:
    """Return the coordinate of the features, if it is made of strings."""
    if dim not in X.coords:
        return None
    labels = X.coords[dim].to_numpy().tolist()
    return tuple(labels) if all(isinstance(each, str) for each in labels) else None


def _as_it_is(results: Any, by_component: bool) -> Any:
    return results


def _is(X: Any, module: str, name: str) -> bool:
    """Tell whether X is of a class, without importing its module for those who do not use it."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(X, getattr(loaded, name))
