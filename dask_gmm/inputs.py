"""What users hand to the estimator, as readings of rows: arrays in memory and lazy Dask arrays."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import _check_sample_weight, validate_data

from dask_gmm.engine.passes import Passes, one_blas_thread
from dask_gmm.fit.readings import MemoryReadings, Readings
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Prediction, Wanted, predict
from dask_gmm.mixture.rows import Rows


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
    X : array-like (n, D) or dask.array.Array (..., D)
    sample_weight : array-like (n,), or dask.array.Array of X's leading shape, or None
    reset : bool
        True when fitting.
    """
    if is_dask_array(X):
        from dask_gmm.engine.lazy import array_leaves

        X = _checked_dask_array(estimator, X, reset)
        return Input(Passes(array_leaves(X, _dask_weights(sample_weight, X))), None)
    X = _validated(estimator, X, reset)
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    rows = Rows(X, weights)
    return Input(MemoryReadings(rows), rows)


def predict_input(estimator: Any, X: Any, parameters: Parameters, wanted: Wanted) -> Any:
    """Return what ``wanted`` names, one array (n,) or (n, K): lazy where X is lazy."""
    kernel = Kernel.in_own_frame(parameters)
    if not is_dask_array(X):
        X = _validated(estimator, X, reset=False, min_samples=1)
        with one_blas_thread():
            return _said(predict(kernel, Rows(X), wanted))
    X = _checked_dask_array(estimator, X, reset=False)
    X = X.rechunk({X.ndim - 1: -1})
    per_block = partial(_predict_block, parameters=parameters, wanted=wanted)
    sample = per_block(np.zeros((1,) * (X.ndim - 1) + X.shape[-1:]))
    trailing = ((kernel.K,),) if wanted.probabilities else ()
    return X.map_blocks(
        per_block,
        dtype=sample.dtype,
        chunks=X.chunks[:-1] + trailing,
        drop_axis=[] if trailing else [X.ndim - 1],
        meta=sample[(slice(0, 0),) * sample.ndim],
    )


def _predict_block(
    block: npt.NDArray[Any], parameters: Parameters, wanted: Wanted
) -> npt.NDArray[Any]:
    """Predict one block (..., D) of a Dask array."""
    with one_blas_thread():
        rows = Rows(block.reshape(-1, block.shape[-1]))
        prediction = predict(Kernel.in_own_frame(parameters), rows, wanted)
    if not prediction.valid.all():
        n = int((~prediction.valid).sum())
        raise ValueError(f"Input X contains NaN or infinity in {n} rows of one block")
    said = _said(prediction)
    return said.reshape(block.shape[:-1] + said.shape[1:])


def _said(prediction: Prediction) -> npt.NDArray[Any]:
    if prediction.labels is not None:
        return prediction.labels.astype(np.int64)
    parts = (prediction.probabilities, prediction.uncertainty, prediction.log_density)
    return next(part for part in parts if part is not None)


def is_dask_array(X: Any) -> bool:
    """Tell whether X is a Dask array, without importing Dask for those who do not use it."""
    array = sys.modules.get("dask.array")
    return array is not None and isinstance(X, array.Array)


def _validated(
    estimator: Any, X: Any, reset: bool, min_samples: int | None = None
) -> npt.NDArray[Any]:
    if min_samples is None:
        min_samples = 2 if reset else 1
    return validate_data(
        estimator,
        X,
        reset=reset,
        dtype=[np.float64, np.float32],
        ensure_min_samples=min_samples,
    )


def _checked_dask_array(estimator: Any, X: Any, reset: bool) -> Any:
    if X.ndim < 2:
        raise ValueError(
            f"Expected a Dask array (..., D) with features last, got {X.ndim} dimension(s). "
            "Reshape your data: one feature is X[..., None]"
        )
    if X.dtype.kind not in "fiub":
        raise ValueError(f"Expected real numbers, got a Dask array of dtype {X.dtype}")
    if reset:
        estimator.n_features_in_ = int(X.shape[-1])
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif X.shape[-1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[-1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input"
        )
    return X


def _dask_weights(sample_weight: Any, X: Any) -> Any:
    if sample_weight is None:
        return None
    import dask.array as da

    weights = da.asarray(sample_weight)
    if weights.shape != X.shape[:-1]:
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected X's leading shape {X.shape[:-1]}"
        )
    return weights
