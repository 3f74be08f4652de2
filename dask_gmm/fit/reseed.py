"""A component that lost its rows is put where a new one would gain the most likelihood."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from dask_gmm.fit.stopping import NEGLIGIBLE
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import RowBlock
from dask_gmm.mixture.statistics import sound_parameters

#: Widths of a new component, as parts of the mixture's mean covariance.
_WIDTHS = (1.0, 0.1)
#: Steps of the one-dimensional EM for a new component's weight, and the most it may take.
_STEPS, _MOST = 30, 0.999


@dataclass(frozen=True)
class _Place:
    """A component that may join: what it gains, with which weight, and the mixture's log-density.

    ``component`` is a mixture of this one component; ``log_density`` (n,) is that of all together.
    """

    gain: float
    share: float
    component: Parameters
    log_density: Array


@dataclass(frozen=True)
class Reseeding:
    """Re-seeds empty components from the rows that a mixture explains worst.

    Where a component q joins a mixture p with weight e, the log-likelihood of the rows changes by
    sum w log(1 - e + e q / p). That is concave in e; its maximum is what a place is worth. Places
    are rows: the worst explained, and ever fewer of the better ones. Where no place is worth the
    parameters of a component it stays empty. So the likelihood of these rows never falls.

    Attributes
    ----------
    rows : RowBlock
        All rows, or a sample of them; finite, with positive weights.
    frame : Frame
    floor : (D,)
        Added to every variance, in the frame.
    """

    rows: RowBlock
    frame: Frame
    floor: Array

    def __call__(
        self, parameters: Parameters, empty: Collection[int]
    ) -> tuple[Parameters, frozenset[int]]:
        """Return the mixture, and which of its empty components have been given a place."""
        family, D = parameters.family, self.frame.D
        worth = NEGLIGIBLE * (family.n_parameters(2, D) - family.n_parameters(1, D))
        log_density, seeded = self._log_density(parameters), set[int]()
        for k in sorted(empty):
            best = max(self._places(parameters, log_density), key=lambda place: place.gain)
            if not best.gain > worth:
                break  # what gains nothing for one gains nothing for the next
            parameters, log_density = _joined(parameters, k, best), best.log_density
            seeded.add(k)
        return parameters, frozenset(seeded)

    def _places(self, parameters: Parameters, log_density: Array) -> Iterator[_Place]:
        family = parameters.family
        ranks = np.unique(np.geomspace(1, len(log_density), 12).astype(np.intp)) - 1
        rows = self.rows.values[np.argsort(log_density, kind="stable")[ranks]]
        for mean in self.frame.inside(rows):
            if family.shares_scatter:
                yield self._place(parameters, mean, parameters.covariances, log_density)
                continue
            pooled = np.tensordot(parameters.weights, parameters.covariances, 1)[None]
            for width in _WIDTHS:
                covariances = family.add_floor(width * pooled, self.floor)
                yield self._place(parameters, mean, covariances, log_density)

    def _place(
        self, parameters: Parameters, mean: Array, covariances: Array, log_density: Array
    ) -> _Place:
        component = sound_parameters(parameters.family, np.ones(1), mean[None], covariances)
        ratio = self._log_density(component) - log_density
        w = np.ones(len(ratio)) if self.rows.weights is None else self.rows.weights
        share = 1.0 / (parameters.K + 1)
        for _ in range(_STEPS):
            odds = np.log(share) - np.log1p(-share)
            share = float(np.clip(expit(ratio + odds) @ w / w.sum(), np.finfo(float).tiny, _MOST))
        change = np.logaddexp(np.log1p(-share), np.log(share) + ratio)
        return _Place(float(change @ w), share, component, log_density + change)

    def _log_density(self, parameters: Parameters) -> Array:
        said = predict(Kernel(parameters, self.frame), self.rows, Wanted(log_density=True))
        assert said.log_density is not None
        return said.log_density


def _joined(parameters: Parameters, k: int, place: _Place) -> Parameters:
    """Return the mixture whose empty component k has been given ``place``."""
    family = parameters.family
    weights = parameters.weights * (1.0 - place.share)
    weights[k] = place.share
    means, covariances = np.array(parameters.means), np.array(parameters.covariances)
    means[k] = place.component.means[0]
    if not family.shares_scatter:
        covariances[k] = place.component.covariances[0]
    return sound_parameters(family, weights / weights.sum(), means, covariances)
