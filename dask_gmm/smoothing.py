"""Smoothing of class probabilities that are in memory, or lazy: what runs do, as a function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.field import LEAST, Field, inside, planes_for, smooth

#: How far sums of probabilities may be from 1: those of bytes, in steps of 1/254, are near it.
TOLERANCE = 0.02


def smooth_posterior(
    probabilities: Any,
    *,
    strength: float = 1.0,
    neighbourhood: int = 4,
    iterations: int = 10,
    spacing: Sequence[float] | None = None,
) -> Any:
    """Make the classes of neighbouring pixels agree: a Potts field over class probabilities.

    What ``smoothing.spatial`` does in a run, to the bit.

    Parameters
    ----------
    probabilities : array of shape (..., Y, X, K) or (..., Z, Y, X, K)
        What a mixture says of an image, the classes last: what
        :meth:`~dask_gmm.GaussianMixture.predict_proba` returns for it. NaN where masked. Axes
        before those of space are independent images. NumPy, Dask (then lazy) or xarray.
    strength : float, default: 1
        How much more likely, as a logarithm, a class becomes by one neighbour that surely has it.
    neighbourhood : {4, 8, 6, 26}, default: 4
        In planes those with a common side (4) or corner (8); in volumes with a common face (6) or
        corner (26).
    iterations : int, default: 10
        No pixel hears of one that is further away than so many pixels.
    spacing : sequence of float, optional
        Steps between pixels along the axes of space; by default they are equal. A neighbour counts
        for the smallest of them over its distance.

    Returns
    -------
    array
        Of the same kind and shape, float32, with sums of 1; NaN where masked.

    Raises
    ------
    ValueError
        If a parameter is not allowed, or these are no probabilities of classes of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_gmm import smooth_posterior
    >>> p = np.full((5, 5, 2), [0.9, 0.1])
    >>> p[2, 2] = [0.4, 0.6]  # a speckle
    >>> smooth_posterior(p, strength=1.0)[2, 2].argmax()
    np.int64(0)
    """
    field = Field(float(strength), neighbourhood, iterations, tuple(map(float, spacing or ())))
    return _smoothed(probabilities, field)


def _smoothed(probabilities: Any, field: Field) -> Any:
    if hasattr(probabilities, "dims") and hasattr(probabilities, "data"):  # xarray
        return probabilities.copy(data=_smoothed(probabilities.data, field))
    n_axes = np.ndim(probabilities) - 1
    if n_axes < field.n_axes:
        raise ValueError(
            f"probabilities have shape {np.shape(probabilities)}: {field.neighbourhood} neighbours "
            f"need {field.n_axes} axes of space, and the classes along a last one"
        )
    if not hasattr(probabilities, "map_overlap"):
        return _of_array(np.asarray(probabilities), field)
    whole = probabilities.rechunk({n_axes: -1})
    depth = dict(enumerate((*field.halo(n_axes), 0)))
    found = whole.map_overlap(
        partial(_of_array, field=field), depth=depth, boundary="none", dtype=np.float32
    )
    return found.rechunk(whole.chunks)


def _of_array(probabilities: npt.NDArray[Any], field: Field) -> npt.NDArray[np.float32]:
    p = probabilities.astype(np.float32)
    masked = np.asarray(np.isnan(p).any(axis=-1))
    sums = np.where(masked, 1.0, p.sum(axis=-1))
    if (p < 0).any() or not (np.abs(sums - 1.0) <= TOLERANCE).all():
        raise ValueError(
            "these are no probabilities: those of a pixel's classes, along the last axis, are 0 or "
            "above and have a sum of 1, or are NaN where the pixel is masked"
        )
    planes = planes_for(p.shape[-1], p.shape[:-1], field)
    inside(planes, field)[...] = np.moveaxis(
        np.where(masked[..., None], 0, np.fmax(p, LEAST)), -1, 0
    )
    found = np.moveaxis(inside(smooth(planes, field), field), 0, -1).copy()
    found[masked] = np.nan
    return found
