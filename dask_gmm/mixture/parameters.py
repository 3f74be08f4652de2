"""The parameters of a Gaussian mixture, as a frozen value that checks itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.arrays import Array, canonical
from dask_gmm.mixture.families import FAMILIES, Family, IllConditionedError, family
from dask_gmm.mixture.frame import Frame


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights, means and covariances of K components in D features.

    Attributes
    ----------
    family : Family
        Full, tied, diag or spherical.
    weights : (K,)
        Mixing proportions, positive or zero, with sum 1.
    means : (K, D)
    covariances : (K, D, D), (D, D), (K, D) or (K,)
    factors : shape of ``covariances``
        Upper triangular U with inverse covariance U U^T (scikit-learn's ``precisions_cholesky_``).
    """

    family: Family
    weights: Array
    means: Array
    covariances: Array
    factors: Array

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances", "factors"):
            object.__setattr__(self, name, canonical(getattr(self, name)))
        K, D = self.means.shape
        expected = self.family.covariance_shape(K, D)
        if self.weights.shape != (K,):
            raise ValueError(f"weights have shape {self.weights.shape}, means say ({K},)")
        if self.covariances.shape != expected or self.factors.shape != expected:
            raise ValueError(
                f"{self.family.name} covariances have shape {self.covariances.shape}, "
                f"means say {expected}"
            )
        for name in ("weights", "means", "covariances", "factors"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} of the mixture are not finite")

    @classmethod
    def of(
        cls,
        covariance_type: str | Family,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        covariances: npt.ArrayLike,
    ) -> Parameters:
        """Make parameters from covariances, factorising them.

        Raises
        ------
        IllConditionedError
            If a covariance is not positive definite in double precision.
        """
        kind = family(covariance_type) if isinstance(covariance_type, str) else covariance_type
        covariances = np.asarray(covariances, dtype=np.float64)
        factors = kind.precision_factors(covariances)
        return cls(kind, np.asarray(weights), np.asarray(means), covariances, factors)

    @property
    def K(self) -> int:
        """Number of components."""
        return len(self.means)

    @property
    def D(self) -> int:
        """Number of features."""
        return int(self.means.shape[1])

    @property
    def variances(self) -> Array:
        """Per-feature variances of every component, (K, D)."""
        return self.family.diagonals(self.covariances, self.K, self.D)

    def inside(self, frame: Frame) -> Parameters:
        """Return the same mixture, now in original units, in the coordinates of ``frame``."""
        return self._moved((self.means - frame.shift) / frame.scale, 1.0 / frame.scale)

    def outside(self, frame: Frame) -> Parameters:
        """Return the same mixture, now in the coordinates of ``frame``, in original units.

        A spherical mixture in a frame whose scale differs between features (standardised data) has
        per-feature variances in original units and comes back as diag.
        """
        return self._moved(self.means * frame.scale + frame.shift, frame.scale)

    def _moved(self, means: Array, scale: Array) -> Parameters:
        kind, covariances, factors = self.family, self.covariances, self.factors
        if kind.isotropic and np.any(scale != scale[0]):
            kind = FAMILIES["diag"]
            covariances = np.tile(covariances[:, None], (1, self.D))
            factors = np.tile(factors[:, None], (1, self.D))
        covariances = kind.rescale(covariances, scale)
        factors = kind.rescale_factors(factors, scale)
        return Parameters(kind, self.weights, means, covariances, factors)

    def reordered(self, order: npt.NDArray[np.intp]) -> Parameters:
        """Return the mixture with its components in another order (K,)."""

        def pick(each: Array) -> Array:
            return each if self.family.shares_scatter else each[order]

        return Parameters(
            self.family,
            self.weights[order],
            self.means[order],
            pick(self.covariances),
            pick(self.factors),
        )

    def label_order(self) -> npt.NDArray[np.intp]:
        """Return the components by falling weight, ties by mean (first feature first), (K,)."""
        keys = [*self.means.T[::-1], -self.weights]
        return np.lexsort(keys)


__all__ = ["IllConditionedError", "Parameters"]
