r"""The profile of data under a mixture: histograms in which people see how well it fits.

Two questions. *How do the rows lie?* Counts of all rows over pairs of features (``views``), for the
ellipses of the components to be drawn over. *Are the classes Gaussian?* A row x of responsibility
r_k has the distance

    d_k(x)^2 = (x - mu_k)^T Sigma_k^-1 (x - mu_k)

to component k. Were the mixture true, d_k^2 weighted by r_k would have the chi-square distribution
of D degrees of freedom *exactly*, however much components overlap: the expectation of r_k f(d_k^2)
over the mixture is w_k times that of f over the k-th Gaussian. (Distances of the rows that carry a
label would not: borders between classes cut their distribution off.) Its mean is D at every fixed
point of EM and tells nothing; its shape does. So histograms of d_k are summed, over all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.views import BINS, BINS_ALONE, MOST_VIEWS, Views

#: Bins of the distances d, and where they lie about sqrt(D), near which a true one's median is: its
#: standard deviation is 0.6 to 0.71 for every D.
DISTANCE_BINS, BELOW, ABOVE = 96, 5.0, 7.0
#: A row is a matter of component k where k's density is at least this share of the mixture's.
LEAST_DENSITY = 1e-2


def first_distance(D: int) -> float:
    """Return where the bins of distances begin."""
    return max(0.0, float(np.sqrt(D)) - BELOW)


def distance_edges(D: int) -> Array:
    """Return the edges (DISTANCE_BINS + 1,) of the bins of distances; a last bin has no end."""
    return np.linspace(first_distance(D), float(np.sqrt(D)) + ABOVE, DISTANCE_BINS + 1)


def profile_bytes(K: int, D: int) -> int:
    """Return what a profile takes at most."""
    pairs = min(MOST_VIEWS, D * (D - 1) // 2)
    counts = pairs * (BINS + 2) ** 2 if pairs else BINS_ALONE + 2
    return 8 * (counts + K * (DISTANCE_BINS + 1))


@dataclass(frozen=True)
class Shape:
    """How one class compares with a Gaussian.

    Attributes
    ----------
    gap : float
        The largest difference between the shares of its rows and of a Gaussian's that lie within
        one ellipse, over all ellipses of equal density: 0 for equal ones, at most 1.
    inside_half : float
        Share of its rows in the ellipse that holds half of a Gaussian.
    outside_99 : float
        Share of its rows outside of the ellipse that holds 99 % of a Gaussian.
    """

    gap: float
    inside_half: float
    outside_99: float


@dataclass(frozen=True, eq=False)
class Profile:
    """Histograms over all rows: a monoid.

    Attributes
    ----------
    views : Views
    counts : ``views.counts_shape``
        Weights of the rows in each bin; the first and the last along a feature lie outside.
    distances : (K, DISTANCE_BINS + 1)
        Weight times responsibility, by the distance to each component, of all rows or of one in
        ``views.every``.
    n_features : int
        D.
    """

    views: Views
    counts: Array
    distances: Array
    n_features: int

    def __post_init__(self) -> None:
        if self.counts.shape != self.views.counts_shape:
            raise ValueError(f"counts of shape {self.counts.shape} are not those of the views")
        if self.distances.ndim != 2 or self.distances.shape[1] != DISTANCE_BINS + 1:
            raise ValueError(f"distances have shape {self.distances.shape}")

    @classmethod
    def zero(cls, views: Views, K: int, D: int) -> Profile:
        """Return the profile of no rows."""
        return cls(views, np.zeros(views.counts_shape), np.zeros((K, DISTANCE_BINS + 1)), D)

    def __add__(self, other: Profile) -> Profile:
        if not self.views.is_like(other.views):
            raise ValueError("profiles of different views cannot be added")
        return Profile(
            self.views,
            self.counts + other.counts,
            self.distances + other.distances,
            self.n_features,
        )

    @property
    def weight(self) -> float:
        """Sum of the weights of all rows."""
        return float(self.counts[0].sum())

    def outside(self, view: int) -> float:
        """Return the share of the rows that lie outside of a view's window."""
        counts = self.counts[view]
        inner = counts[(slice(1, -1),) * counts.ndim]
        return 1.0 - float(inner.sum()) / self.weight if self.weight else 0.0

    def shape(self, k: int) -> Shape | None:
        """Return how class k compares with a Gaussian; None where no row is a matter of it."""
        below = np.cumsum(self.distances[k])
        if not below[-1] > 0:
            return None
        edges, D = distance_edges(self.n_features), self.n_features
        found = np.concatenate([[0.0], below[:-1] / below[-1]])
        meant = gaussian_share(edges, D)
        half, most = (np.sqrt(2 * gammaincinv(D / 2, p)) for p in (0.5, 0.99))
        return Shape(
            gap=float(np.abs(found - meant).max()),
            inside_half=float(np.interp(half, edges, found)),
            outside_99=1.0 - float(np.interp(most, edges, found)),
        )


def gaussian_share(d: Array, D: int) -> Array:
    """Return the share of a D-dimensional Gaussian within the distance ``d`` of its mean."""
    return np.asarray(gammainc(D / 2, np.asarray(d) ** 2 / 2))
