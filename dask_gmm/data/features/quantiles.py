"""Scores of ranks: estimated once on a sample, then the same for every row and every image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

#: Quantiles that are kept; between them scores are interpolated.
LEVELS = 1001

Knots = tuple[tuple[float, ...], tuple[float, ...]]
#: A feature that is its own score, while quantiles are estimated.
UNSCORED: Knots = ((), ())


def knots_of(values: npt.NDArray[Any], to: str) -> Knots:
    """Return quantiles of a sample, rising, and the score of each.

    Values that are there several times have the mean of the scores that they span. Beyond the
    sample's smallest and largest value scores stay what they are there.

    Parameters
    ----------
    values : (n,)
    to : {"normal", "uniform"}
    """
    n = len(values)
    levels = np.linspace(0.0, 1.0, min(LEVELS, n))
    found = np.quantile(values.astype(np.float64), levels)
    scores = ndtri(np.clip(levels, 0.5 / n, 1 - 0.5 / n)) if to == "normal" else levels
    knots, places, counts = np.unique(found, return_inverse=True, return_counts=True)
    means = np.bincount(places, weights=scores) / counts
    return tuple(knots.tolist()), tuple(means.tolist())
