"""What the outputs of a run look like: shapes, types and fill values, told in one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Form:
    """What one output looks like, over the source's leading axes.

    Attributes
    ----------
    trailing : tuple of int
        Lengths of the axes behind the leading ones.
    dtype : dtype
    masked : float
        What stands where a row does not take part.
    """

    trailing: tuple[int, ...]
    dtype: npt.DTypeLike
    masked: float


def forms(K: int) -> dict[str, Form]:
    """Return the form of every output of a mixture of K components, by name."""
    return {
        "labels": Form((), np.min_scalar_type(K), 0),
        "probabilities": Form((K,), np.float32, np.nan),
        "uncertainty": Form((), np.float32, np.nan),
        "log_density": Form((), np.float64, np.nan),
    }
