"""``weights_init``, ``means_init`` and ``precisions_init``: checked as scikit-learn checks them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from dask_gmm.mixture.arrays import AnyArray, Array
from dask_gmm.mixture.families import Family, IllConditionedError
from dask_gmm.mixture.frame import Frame


def given_start(estimator: Any, K: int, D: int, family: Family, frame: Frame) -> dict[str, Array]:
    """Return what of a start the user has given, in the coordinates of ``frame``.

    Parameters
    ----------
    estimator : GaussianMixture
    K, D : int
        Components and features.
    family : Family
    frame : Frame

    Returns
    -------
    dict
        Any of ``weights`` (K,), ``means`` (K, D), and ``covariances`` with ``factors``.

    Raises
    ------
    ValueError
        With scikit-learn's words, if an array has another shape or cannot be such a parameter.
    """
    given: dict[str, Array] = {}
    if estimator.weights_init is not None:
        given["weights"] = _checked_weights(estimator.weights_init, K)
    if estimator.means_init is not None:
        means = _checked(estimator.means_init, (K, D), "means")
        given["means"] = (means - frame.shift) / frame.scale
    if estimator.precisions_init is not None:
        shape = family.covariance_shape(K, D)
        precisions = _checked(estimator.precisions_init, shape, f"{family.name} precision")
        try:
            covariances, factors = family.of_precisions(precisions.astype(np.float64))
        except IllConditionedError as error:
            raise ValueError(f"'{family.name} precision' should be {family.proper}") from error
        scale = 1.0 / (frame.model_scale if family.isotropic else frame.scale)
        given["covariances"] = family.rescale(covariances, scale)
        given["factors"] = family.rescale_factors(factors, scale)
    return given


def _checked_weights(values: Any, K: int) -> Array:
    weights = _checked(values, (K,), "weights")
    if (weights < 0.0).any() or (weights > 1.0).any():
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.max():.5f}, min value {weights.min():.5f}"
        )
    if abs(1.0 - weights.sum()) > (1e-6 if weights.dtype == np.float32 else 1e-8):
        raise ValueError(
            "The parameter 'weights' should be normalized, but got "
            f"sum(weights) = {weights.sum():.5f}"
        )
    return weights.astype(np.float64)


def _checked(values: Any, shape: tuple[int, ...], name: str) -> AnyArray:
    array = np.asarray(
        check_array(values, dtype=[np.float64, np.float32], ensure_2d=False, allow_nd=True)
    )
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    return array
