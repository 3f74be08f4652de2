"""Acceleration: where a few EM steps together point to, one extrapolation after every reading.

EM converges linearly, slowly where components overlap: the differences of a few of its steps tell
the slow directions apart, and how much of them is left. Anderson's mixing (D. G. Anderson, J. ACM
12, 1965; for EM, damped: N. C. Henderson, R. Varadhan, J. Comput. Graph. Stat. 28, 2019) solves a
least-squares problem for them after each step, so that every reading of the data counts, where
SQUAREM spends two to make one jump.

Extrapolation needs coordinates in which every point is a mixture: log weights, means, and free
coordinates of what the covariances have above the floor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import IllConditionedError
from dask_gmm.mixture.parameters import Parameters

#: Steps remembered at most.
WINDOW = 10
#: No coordinate moves farther than this at once: a factor of about e in a weight or a variance.
FARTHEST_STEP = 2.0


@dataclass(frozen=True, eq=False)
class Memory:
    """The last steps of EM, in free coordinates.

    Attributes
    ----------
    points, images : (m, P)
        Where the steps began, and where EM led from there; the latest last.
    fallback : Parameters or None
        The plain EM point that the present point was extrapolated from; None where it is one.
    refused : int
        Extrapolations refused in a row.
    wait : int
        Plain steps to come before the next extrapolation.
    """

    points: Array
    images: Array
    fallback: Parameters | None = None
    refused: int = 0
    wait: int = 0

    @classmethod
    def empty(cls) -> Memory:
        """Return the memory of no steps."""
        return cls(np.empty((0, 0)), np.empty((0, 0)))

    def after_refusal(self) -> Memory:
        """Forget the steps: they led astray. Each refusal in a row lets one more step be plain."""
        return Memory(self.points[:0], self.images[:0], None, self.refused + 1, self.refused)

    def remember(self, point: Array, image: Array) -> Memory:
        """Return the memory with one more step."""
        if not len(self.points):
            return replace(self, points=point[None], images=image[None])
        return replace(
            self,
            points=np.vstack([self.points, point])[-WINDOW - 1 :],
            images=np.vstack([self.images, image])[-WINDOW - 1 :],
        )


def extrapolated(
    memory: Memory,
    before: Parameters,
    after: Parameters,
    floor: Array,
    ahead: Parameters | None = None,
) -> tuple[Parameters, Memory]:
    """Return where to evaluate next, after EM led from ``before`` to ``after``; and the memory.

    Parameters
    ----------
    memory : Memory
    before, after : Parameters
        The point last evaluated, and its plain EM step.
    floor : (D,)
    ahead : Parameters, optional
        Where a look ahead leads from ``before``, farther than ``after``; see
        :mod:`dask_gmm.fit.ahead`. The steps remembered are then its steps.
    """
    # An extrapolation that has just been evaluated, and was not refused, ends a row of refusals.
    refused = memory.refused if memory.fallback is None else 0
    try:
        point, image = coordinates(before, floor), coordinates(ahead or after, floor)
        memory = replace(memory, fallback=None, refused=refused).remember(point, image)
        if memory.wait or len(memory.points) < 2:
            memory = replace(memory, wait=max(memory.wait - 1, 0))
            return (after, memory) if ahead is None else (ahead, replace(memory, fallback=after))
        beyond = jump(memory, metric(before)) - (image - point)
        beyond *= min(1.0, FARTHEST_STEP / max(float(np.abs(beyond).max()), FARTHEST_STEP))
        proposed = from_coordinates(image + beyond, after, floor)
    except IllConditionedError:
        # A component at its floor, or without rows, has no free coordinates.
        return after, Memory.empty()
    return proposed, replace(memory, fallback=after)


def coordinates(parameters: Parameters, floor: Array) -> Array:
    """Return the free coordinates (P,) of a mixture above the floor (D,).

    Raises
    ------
    IllConditionedError
        If a component has nothing above the floor, or no weight.
    """
    if not parameters.weights.min() > 0.0:
        raise IllConditionedError("a component has no weight")
    spread = parameters.family.coordinates(
        parameters.family.add_floor(parameters.covariances, -floor)
    )
    return np.concatenate([np.log(parameters.weights), parameters.means.ravel(), spread.ravel()])


def from_coordinates(values: Array, like: Parameters, floor: Array) -> Parameters:
    """Return the mixture with free coordinates ``values`` (P,), of the family and size of ``like``.

    Raises
    ------
    IllConditionedError
        If rounding leaves a covariance without a Cholesky factor.
    """
    K, D, family = like.K, like.D, like.family
    log_weights, means, spread = np.split(values, [K, K + K * D])
    weights = np.exp(log_weights - log_weights.max())
    rows = 1 if family.shares_scatter else K
    covariances = family.from_coordinates(spread.reshape(rows, -1), D)
    return Parameters.of(
        family, weights / weights.sum(), means.reshape(K, D), family.add_floor(covariances, floor)
    )


def metric(parameters: Parameters) -> Array:
    """Return what a unit of each coordinate weighs (P,): as much as the rows it moves, roughly."""
    share, family = np.sqrt(parameters.weights), parameters.family
    means = share[:, None] / np.sqrt(parameters.variances)
    n = family.coordinates(parameters.covariances).shape[1]
    spread = np.ones((1, n)) if family.shares_scatter else np.tile(share[:, None], (1, n))
    return np.concatenate([share, means.ravel(), spread.ravel()])


def jump(memory: Memory, scale: Array) -> Array:
    """Return the step (P,) from the latest point to where the steps remembered lead together.

    The least-squares combination of the steps, weighted by ``scale`` (P,), whose residual is least.
    """
    residuals = memory.images - memory.points
    if len(residuals) < 2:
        return residuals[-1]
    dF, dG = np.diff(residuals, axis=0), np.diff(memory.images, axis=0)
    A = (dF * scale).T
    norms = np.maximum(np.linalg.norm(A, axis=0), np.finfo(float).tiny)
    gamma = np.linalg.lstsq(A / norms, residuals[-1] * scale, rcond=1e-8)[0] / norms
    return residuals[-1] - gamma @ dG
