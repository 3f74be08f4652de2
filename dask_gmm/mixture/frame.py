r"""The frame: the internal units (shift, scale) in which sufficient statistics are taken.

Raw second moments about the origin lose four digits of the covariance at an offset of 1e5 standard
deviations and everything at 1e7, so rows are shifted by a median and scaled by a robust spread
before anything is summed. The frame is invisible: whatever a user says or reads is in the *model
frame*, which is original units, or z-scores where the data are standardised. ``unit`` holds the
model frame's unit in original units: ones, or the standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_gmm.mixture.arrays import AnyArray, Array, canonical

#: Rows further than this from the frame's origin have no finite density in double precision.
FARTHEST = 1e100
#: A feature that spreads less than this is constant: its variance is no double.
NARROWEST = 1e-100

_QUANTILES = (0.25, 0.75), (0.1, 0.9), (0.01, 0.99), (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Frame:
    """Internal coordinates ``(x - shift) / scale``.

    Attributes
    ----------
    shift, scale : (D,)
        In original units; the scale is a power of two per feature, so that scaling is exact, or,
        for isotropic families, one power of two times ``unit``.
    unit : (D,)
        The model frame's unit in original units.
    """

    shift: Array
    scale: Array
    unit: Array

    def __post_init__(self) -> None:
        for name in ("shift", "scale", "unit"):
            object.__setattr__(self, name, canonical(getattr(self, name)))
        if not self.shift.shape == self.scale.shape == self.unit.shape:
            raise ValueError("shift, scale and unit of a frame must have one shape (D,)")
        if not (np.isfinite(self.shift).all() and (self.scale > 0).all() and (self.unit > 0).all()):
            raise ValueError("a frame needs a finite shift and a positive scale and unit")

    @classmethod
    def of_sample(cls, rows: AnyArray, *, unit: Array | None = None, isotropic: bool) -> Frame:
        """Choose the frame from sampled rows (m, D), m >= 1, all finite.

        One outlier, however far, must not widen the scale: it is taken from the first quantile
        range that is not empty.
        """
        rows = np.asarray(rows, dtype=np.float64)
        unit = np.ones(rows.shape[1]) if unit is None else np.asarray(unit, dtype=np.float64)
        spread = np.zeros(rows.shape[1])
        for low, high in _QUANTILES:
            below, above = np.quantile(rows, (low, high), axis=0)
            spread = np.where(spread > 0, spread, above - below)
        # The last range is that of all rows: none of them may lie too far to have a density.
        spread = np.maximum(spread, 1e3 * (above - below) / FARTHEST)
        return cls._around(np.median(rows, axis=0), spread, unit, isotropic)

    @classmethod
    def of_mixture(
        cls, weights: Array, means: Array, variances: Array, *, isotropic: bool
    ) -> Frame:
        """Choose the frame from a mixture's own weights (K,), means and variances (K, D)."""
        centre = weights @ means / weights.sum()
        spread = np.sqrt(weights @ (variances + (means - centre) ** 2) / weights.sum())
        return cls._around(centre, spread, np.ones(means.shape[1]), isotropic)

    @classmethod
    def _around(cls, centre: Array, spread: Array, unit: Array, isotropic: bool) -> Frame:
        spread = np.where((spread > NARROWEST) & np.isfinite(spread), spread, unit)
        exponent = np.log2(spread / unit) if isotropic else np.log2(spread)
        if isotropic:
            exponent = np.full_like(exponent, np.median(exponent))
        power = np.exp2(np.clip(np.round(exponent), -900, 900))
        return cls(centre, power * unit if isotropic else power, unit)

    @property
    def D(self) -> int:
        """Number of features."""
        return len(self.shift)

    @property
    def log_volume(self) -> float:
        """Sum of log scale: what a log-density loses on the way back to original units."""
        return float(np.log(self.scale).sum())

    @property
    def model_scale(self) -> Array:
        """Scale (D,) in model-frame units: multiply internal differences by it."""
        return self.scale / self.unit

    def inside(self, X: AnyArray) -> Array:
        """Return rows X (n, D) in internal coordinates."""
        return (np.asarray(X, dtype=np.float64) - self.shift) / self.scale

    def outside(self, X: Array) -> Array:
        """Return internal rows (n, D) in original units."""
        return X * self.scale + self.shift

    def floor(self, reg_covar: float | Array) -> Array:
        """Return the variance floor (D,) for ``reg_covar`` given in model-frame units."""
        return np.asarray(reg_covar / self.model_scale**2)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Frame) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("shift", "scale", "unit")
        )

    def __hash__(self) -> int:
        return hash((self.shift.tobytes(), self.scale.tobytes(), self.unit.tobytes()))
