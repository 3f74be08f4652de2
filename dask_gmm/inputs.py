"""What users hand to the estimator, as readings of rows: in memory, or lazy Dask arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from dask_gmm.containers import open_container
from dask_gmm.engine.passes import Passes, one_blas_thread
from dask_gmm.fit.readings import MemoryReadings, Readings
from dask_gmm.mixture.kernel import Kernel, check_finite
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Prediction, Wanted, predict
from dask_gmm.mixture.rows import Rows

#: Rows that are looked at together.
_BLOCK = 16_384


@dataclass(frozen=True)
class Input:
    """One data set, ready to be read.

    Attributes
    ----------
    readings : Readings
    in_memory : Rows or None
        The rows, where they are in memory.
    """

    readings: Readings
    in_memory: Rows | None


def open_input(estimator: Any, X: Any, sample_weight: Any, *, reset: bool = True) -> Input:
    """Validate X and weights as scikit-learn does, and make them ready to be read.

    Parameters
    ----------
    estimator : BaseEstimator
        Learns ``n_features_in_`` and feature names, or is held to them.
    X : array-like
        Rows in any container of :mod:`dask_gmm.containers`.
    sample_weight : array-like (n,), or of the leading shape of a lazy X, or None
    reset : bool
        True when fitting.
    """
    weighted = sample_weight is not None
    opened = _opened(estimator, X, reset, all_finite=not weighted)
    X = opened.array
    if is_dask_array(X):
        from dask_gmm.engine.lazy import array_leaves

        return Input(Passes(array_leaves(X, _dask_weights(sample_weight, X))), None)
    rows = Rows(X)
    if weighted:
        rows = _weighted_rows(estimator, X, opened.leading_shape, sample_weight)
    if estimator.on_invalid == "mask":
        rows = _valid_rows(rows)
    return Input(MemoryReadings(rows), rows)


def _weighted_rows(
    estimator: Any, X: npt.NDArray[Any], leading_shape: tuple[int, ...], sample_weight: Any
) -> Rows:
    """Put weights beside rows; a row of weight zero is absent, whatever it holds."""
    if len(leading_shape) > 1:
        sample_weight = np.ravel(sample_weight)
    w = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not w.all():
        X, w = X[w > 0], w[w > 0]
    if estimator.on_invalid != "mask":
        check_array(X, estimator=estimator, input_name="X", dtype=None, ensure_min_samples=0)
    return Rows(X, w)


def predict_input(estimator: Any, X: Any, parameters: Parameters, wanted: Wanted) -> Any:
    """Return what ``wanted`` names over the leading axes of X, in X's kind of container."""
    opened = _opened(estimator, X, reset=False)
    X, by_component = opened.array, wanted.probabilities
    per_block = partial(
        _predict_block, parameters=parameters, wanted=wanted, mask=estimator.on_invalid == "mask"
    )
    if not is_dask_array(X):
        said = per_block(X)
        leading = opened.leading_shape
        return opened.put_back(said.reshape(leading + said.shape[1:]), by_component)
    X = X.rechunk({X.ndim - 1: -1})
    sample = per_block(np.zeros((1,) * (X.ndim - 1) + X.shape[-1:]))
    trailing = ((parameters.K,),) if by_component else ()
    lazy = X.map_blocks(
        per_block,
        dtype=sample.dtype,
        chunks=X.chunks[:-1] + trailing,
        drop_axis=[] if trailing else [X.ndim - 1],
        meta=sample[(slice(0, 0),) * sample.ndim],
    )
    return opened.put_back(lazy, by_component)


@dataclass(frozen=True)
class _Opened:
    """Validated rows: an array (n, D) in memory, or a Dask array (..., D)."""

    array: Any
    leading_shape: tuple[int, ...]
    put_back: Callable[[Any, bool], Any]


def _opened(estimator: Any, X: Any, reset: bool, all_finite: bool = True) -> _Opened:
    held = open_container(X, estimator.feature_dim)
    array = held.array
    if is_dask_array(array):
        checked = _checked_dask_array(estimator, array, reset)
        _learn_names(estimator, held.names, reset)
        return _Opened(checked, array.shape[:-1], held.put_back)
    leading = np.shape(array)[:-1] if held.flattens else None
    if leading is not None:
        array = array.reshape(-1, array.shape[-1])
    rows = _validated(estimator, array, reset, held.names is not None, all_finite)
    _learn_names(estimator, held.names, reset)
    return _Opened(rows, (len(rows),) if leading is None else leading, held.put_back)


def _learn_names(estimator: Any, names: tuple[str, ...] | None, reset: bool) -> None:
    """Learn the features' names, or hold X to those that were learnt, as scikit-learn does."""
    known = getattr(estimator, "feature_names_in_", None)
    if reset and names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif not reset and names is not None and known is not None and tuple(known) != names:
        raise ValueError(
            f"The feature names should match those that were passed during fit: {tuple(known)}; "
            f"found {names}"
        )


def _valid_rows(rows: Rows) -> Rows:
    """Leave out the rows that are not finite."""
    valid = np.ones(len(rows.values), dtype=bool)
    for start in range(0, len(valid), _BLOCK):
        block = np.ascontiguousarray(rows.values[start : start + _BLOCK].T, dtype=np.float64)
        check_finite(block, valid[start : start + _BLOCK])
    if valid.all():
        return rows
    return Rows(rows.values[valid], None if rows.weights is None else rows.weights[valid])


def _predict_block(
    block: npt.NDArray[Any], parameters: Parameters, wanted: Wanted, mask: bool
) -> npt.NDArray[Any]:
    """Predict one block (..., D): the leading axes, and one of components for probabilities."""
    from dask_gmm.engine.lazy import plain_array

    block = plain_array(block)
    with one_blas_thread():
        rows = Rows(block.reshape(-1, block.shape[-1]))
        prediction = predict(Kernel.in_own_frame(parameters), rows, wanted)
    n_invalid = int((~prediction.valid).sum())
    if n_invalid and not mask:
        raise ValueError(
            f"Input X contains NaN, infinity or absurdly large values in {n_invalid} rows; "
            "on_invalid='mask' leaves them out"
        )
    said = _said(prediction)
    return said.reshape(block.shape[:-1] + said.shape[1:])


def _said(prediction: Prediction) -> npt.NDArray[Any]:
    """Return what was asked for, with -1 and NaN where a row is not valid."""
    if prediction.labels is not None:
        return np.where(prediction.valid, prediction.labels.astype(np.int64), -1)
    parts = (prediction.probabilities, prediction.uncertainty, prediction.log_density)
    said = next(part for part in parts if part is not None)
    said[~prediction.valid] = np.nan
    return said


def is_dask_array(X: Any) -> bool:
    """Tell whether X is a Dask array, without importing Dask for those who do not use it."""
    array = sys.modules.get("dask.array")
    return array is not None and isinstance(X, array.Array)


def _validated(
    estimator: Any, X: Any, reset: bool, named: bool, all_finite: bool
) -> npt.NDArray[Any]:
    """Validate rows in memory; scikit-learn looks at the names itself, unless they came apart."""
    checks: dict[str, Any] = {
        "dtype": [np.float64, np.float32],
        "ensure_all_finite": all_finite and estimator.on_invalid != "mask",
        "ensure_min_samples": 2 if reset else 1,
    }
    if not named:
        return validate_data(estimator, X, reset=reset, **checks)
    rows = check_array(X, estimator=estimator, **checks)
    _learn_width(estimator, rows.shape[1], reset)
    return rows


def _checked_dask_array(estimator: Any, X: Any, reset: bool) -> Any:
    if X.ndim < 2:
        raise ValueError(
            f"Expected a Dask array (..., D) with features last, got {X.ndim} dimension(s). "
            "Reshape your data: one feature is X[..., None]"
        )
    if X.dtype.kind == "O":
        from dask_gmm.engine.lazy import real_numbers

        X = X.map_blocks(real_numbers, dtype=np.float64, meta=np.empty((0,) * X.ndim))
    if X.dtype.kind not in "fiub":
        raise ValueError(f"Expected real numbers, got a Dask array of dtype {X.dtype}")
    if not X.shape[-1] >= 1:
        raise ValueError(
            f"Expected a Dask array (..., D) with a known D >= 1, got the shape {X.shape}"
        )
    _learn_width(estimator, int(X.shape[-1]), reset)
    return X


def _learn_width(estimator: Any, D: int, reset: bool) -> None:
    """Learn the number of features, or hold X to the one that was learnt."""
    if reset:
        estimator.n_features_in_ = D
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif estimator.n_features_in_ != D:
        raise ValueError(
            f"X has {D} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input"
        )


def _dask_weights(sample_weight: Any, X: Any) -> Any:
    if sample_weight is None:
        return None
    import dask.array as da

    weights = da.asarray(sample_weight)
    # Lengths that are not known yet are NaN; the blocks' own are held to each other when read.
    if not np.array_equal(weights.shape, X.shape[:-1], equal_nan=True):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected X's leading shape {X.shape[:-1]}"
            + (
                "; lengths of X are unknown (nan): give weights in the same partitions, or call "
                "X.compute_chunk_sizes() first"
                if np.isnan(X.shape[:-1]).any()
                else ""
            )
        )
    nothing = np.empty((0,) * weights.ndim)
    return weights.map_blocks(_checked_weights, dtype=np.float64, meta=nothing)


def _checked_weights(weights: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Check one block of row weights as scikit-learn does."""
    weights = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("Input sample_weight contains NaN or infinity")
    if (weights < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`")
    return weights
