"""Count compression in a run: whether rows are counted, what came of it, and the look-up table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_gmm.engine.threads import one_blas_thread
from dask_gmm.fit.compression import repeats_enough
from dask_gmm.mixture.counts import WORTH, counted_bytes, most_distinct
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.lookup import LARGEST_TABLE, LookUp, look_up_bytes
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profile import Profile
from dask_gmm.mixture.profiling import profile
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import Survey
from dask_gmm.mixture.views import Views
from dask_gmm.run.memory import Load, fits
from dask_gmm.run.segment import wanted_of_rows


@dataclass(frozen=True)
class CompressionPlan:
    """Whether the survey counts distinct rows: known from metadata.

    Attributes
    ----------
    most_distinct : int
        It gives up above so many; 0: they are not counted.
    row_bytes : int
        Bytes of a distinct row as it is counted.
    why_not : str or None
        In words.
    """

    most_distinct: int
    row_bytes: int
    why_not: str | None = None

    def sentence(self) -> str:
        """Say it, for the plan."""
        if self.why_not is not None:
            return f"no: {self.why_not}"
        return f"if at most {self.most_distinct:,} rows are distinct; {self.row_bytes} bytes each"


def plan_compression(
    asked: str, dtype: np.dtype[Any], load: Load, memory_limit: int | None, *, around: bool = False
) -> CompressionPlan:
    """Decide whether distinct rows are counted: not where a worker has no room to do so.

    Nor where rows are features of a neighbourhood (``around``), of which hardly two are equal.
    """
    width = load.n_features * load.itemsize
    limit, row_bytes = most_distinct(load.n_rows, width), counted_bytes(width)
    why_not = None
    if asked == "never":
        why_not = "fit.compress is never"
    elif around:
        why_not = "features of the neighbourhood hardly ever repeat"
    elif dtype.kind not in "biuf" or dtype.itemsize > 8:
        why_not = f"rows of {dtype} cannot be packed"
    elif not limit:
        why_not = f"so few rows cannot repeat {WORTH} times"
    elif not fits(replace(load, most_distinct=limit), memory_limit):
        why_not = "cluster.memory_limit leaves no room for it"
    return CompressionPlan(0 if why_not else limit, row_bytes, why_not)


def compression_of(seen: Survey, plan: CompressionPlan, by_look_up: bool) -> dict[str, Any]:
    """Return what came of it, for manifest and report, as JSON values."""
    distinct = len(seen.counts) if seen.counts.known else None
    factor = None if distinct is None else seen.n_used / distinct
    used, why_not = repeats_enough(seen), plan.why_not
    if why_not is None and distinct is None:
        why_not = f"too little repetition: more than {plan.most_distinct:,} distinct rows"
    elif why_not is None and not used:
        why_not = f"a distinct row stands for {factor:.2g} rows only; {WORTH} are worth it"
    return {
        "used": used,
        "distinct_rows": distinct,
        "factor": factor,
        "prediction_by_look_up": by_look_up,
        "why_not": why_not,
    }


def look_up(
    seen: Survey, mixture: Parameters, outputs: Iterable[str], *, smoothed: bool = False
) -> LookUp | None:
    """Return what the mixture says of every distinct row; None where the kernel is to predict.

    Parameters
    ----------
    seen : Survey
    mixture : Parameters
        In original units.
    outputs : iterable of str
        By name, those that are written.
    smoothed : bool
        Whether a field needs the probabilities.
    """
    if not repeats_enough(seen) or look_up_bytes(len(seen.counts), mixture.K) > LARGEST_TABLE:
        return None
    wanted = wanted_of_rows(outputs, smoothed=smoothed)
    return LookUp.of(seen.counts, Kernel.in_own_frame(mixture), wanted)


def profile_of_counts(seen: Survey, mixture: Parameters, views: Views) -> Profile:
    """Return the profile of all rows, taken of the distinct ones: each stands for its equals."""
    rows = Rows(seen.counts.rows, seen.counts.weights)
    with one_blas_thread():
        return profile([rows], mixture, replace(views, every=1))
