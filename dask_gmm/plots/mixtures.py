"""What plots take for a mixture: whatever has scikit-learn's attributes of a fitted one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class FittedMixture(Protocol):
    """A fitted mixture: ours, scikit-learn's, or anything with these attributes.

    Attributes
    ----------
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    weights_ : (K,)
    means_ : (K, D)
    covariances_ : (K, D, D), (D, D), (K, D) or (K,)
    """

    covariance_type: str
    weights_: Any
    means_: Any
    covariances_: Any


def parts_of(mixture: FittedMixture) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights (K,) and means (K, D).

    Raises
    ------
    TypeError
        If it is no fitted mixture.
    ValueError
        If they do not belong together.
    """
    if not (hasattr(mixture, "weights_") and hasattr(mixture, "means_")):
        raise TypeError(
            f"{type(mixture).__name__} has no weights_ and means_; a fitted mixture is needed: "
            "call fit first"
        )
    w, mu = np.asarray(mixture.weights_, dtype=float), np.asarray(mixture.means_, dtype=float)
    if w.ndim != 1 or mu.ndim != 2 or len(w) != len(mu):
        raise ValueError(f"weights {w.shape} and means {mu.shape} are not (K,) and (K, D)")
    return w, mu


def covariances_in(mixture: FittedMixture, features: ArrayLike) -> NDArray[np.float64]:
    """Return the covariances (K, n, n) of some of the features."""
    _, means = parts_of(mixture)
    K, D = means.shape
    at = np.asarray(features, dtype=int)
    covariances = np.asarray(mixture.covariances_, dtype=float)
    if mixture.covariance_type == "tied":
        covariances = np.broadcast_to(covariances, (K, D, D))
    if covariances.ndim == 3:
        return np.array(covariances[:, at[:, None], at[None, :]])
    variances = covariances if covariances.ndim == 2 else np.tile(covariances[:, None], (1, D))
    return np.array(variances[:, at, None] * np.eye(len(at)))


def names_of(mixture: FittedMixture, names: ArrayLike | None) -> list[str]:
    """Return a name for each feature: the one given, the one it was fitted with, or a number."""
    _, means = parts_of(mixture)
    known = names if names is not None else getattr(mixture, "feature_names_in_", None)
    if known is None:
        return [f"feature {i + 1}" for i in range(means.shape[1])]
    said = [str(name) for name in np.asarray(known)]
    if len(said) != means.shape[1]:
        raise ValueError(
            f"feature_names has {len(said)} names, the mixture {means.shape[1]} features"
        )
    return said
