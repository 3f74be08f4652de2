"""What is to be known of each component before it is believed."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.statistics import EMPTY, SufficientStatistics, narrow_components

#: A covariance whose sums cancel by more has lost digits: ten times what the kernel tolerates.
LOST_DIGITS = 1e-8


def component_status(
    parameters: Parameters,
    floor: Array,
    statistics: SufficientStatistics | None,
    reseeded: Collection[int] = (),
) -> tuple[str, ...]:
    """Say what was done about each component, or 'ok'.

    Parameters
    ----------
    parameters : Parameters
    floor : (D,)
        Added to every variance, in the same frame.
    statistics : SufficientStatistics or None
        What the last M-step read, where there was one.
    reseeded : collection of int
        Components that were empty and were put where a new one gains most.

    Returns
    -------
    tuple of str
        One of 'empty' (no row belongs to it: its weight is zero, its shape is what it last was),
        'singular' (its features are collinear but for rounding), 'at floor' (as narrow as
        ``reg_covar``), 'rounded' (:func:`rounded_components`) and 'ok'; 're-seeded' before them.
    """
    singular = np.broadcast_to(parameters.family.singular(parameters.covariances), parameters.K)
    narrow = narrow_components(parameters, floor)
    # The last step may have found one empty that was re-seeded after it.
    empty = {k for k in (statistics.empty if statistics else ()) if parameters.weights[k] < EMPTY}
    rounded = rounded_components(statistics, parameters) if statistics is not None else ()

    def of(k: int) -> str:
        if k in narrow and k not in empty:
            state = "singular" if singular[k] else "at floor"
        else:
            state = "empty" if k in empty else "rounded" if k in rounded else "ok"
        if k not in reseeded:
            return state
        return "re-seeded" if state == "ok" else f"re-seeded, {state}"

    return tuple(of(k) for k in range(parameters.K))


def rounded_components(statistics: SufficientStatistics, parameters: Parameters) -> tuple[int, ...]:
    """Name the components whose new covariance has lost digits to the point it was summed about.

    Whether sums about a point cancel depends on their result: from a start far broader than its
    clusters the kernel cannot know. One more step, which sets out from the result, restores them.
    """
    family, eps = parameters.family, np.finfo(np.float64).eps
    own = np.sqrt(parameters.variances)
    a = np.hypot(own, parameters.means - statistics.origins)
    with np.errstate(over="ignore"):
        kappa, at_best = (family.conditioning(parameters.factors, each) for each in (a, own))
    # Where collinearity, not distance, makes kappa large, another origin gains nothing.
    lost = (kappa * eps > LOST_DIGITS) & (kappa > 10.0 * at_best) & (statistics.N >= EMPTY)
    return tuple(int(k) for k in np.flatnonzero(lost))
