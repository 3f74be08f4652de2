"""Where a fit stands between two readings: a frozen value, which a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dask_gmm.fit.acceleration import Memory
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import family
from dask_gmm.mixture.parameters import Parameters

_PARTS = ("weights", "means", "covariances", "factors")


@dataclass(frozen=True, eq=False)
class State:
    """Where one fit stands: everything that its next step depends on.

    Attributes
    ----------
    parameters : Parameters
        What the next reading evaluates; where the fit has ended, its result.
    history : tuple of float
        Mean log-likelihood (nats per row) of every mixture evaluated so far.
    refused : tuple of int
        Evaluations (from 0) of extrapolations that would have lowered the likelihood.
    gains : tuple of float
        What each M-step gained of the expected log-likelihood, nats per row; refused evaluations
        led to none.
    remaining : float or None
        What is predicted to be still to gain of the likelihood, nats per row, after the last
        evaluation that was not refused.
    memory : Memory
        The acceleration's.
    tried, reseeded : frozenset of int
        Components that were found empty, and those of them that were put where they gain.
    status : tuple of str
        What was done about each component, known when the fit has ended.
    converged : bool
    stopped_by : str or None
        Why the fit has ended, in words; None while it goes on.
    """

    parameters: Parameters
    history: tuple[float, ...] = ()
    refused: tuple[int, ...] = ()
    gains: tuple[float, ...] = ()
    remaining: float | None = None
    memory: Memory = field(default_factory=Memory.empty)
    tried: frozenset[int] = frozenset()
    reseeded: frozenset[int] = frozenset()
    status: tuple[str, ...] = ()
    converged: bool = False
    stopped_by: str | None = None

    @property
    def running(self) -> bool:
        """Tell whether there is a next step."""
        return self.stopped_by is None

    @property
    def kept(self) -> tuple[float, ...]:
        """The history without the evaluations that were refused."""
        return tuple(each for i, each in enumerate(self.history) if i not in self.refused)

    def pack(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state as named float64 arrays and as JSON values; :meth:`unpack` reads them.

        The pair is exact: a fit that goes on from it takes the same steps to the last bit.
        """
        arrays = {
            "history": np.array(self.history, dtype=np.float64),
            "gains": np.array(self.gains, dtype=np.float64),
            "points": self.memory.points,
            "images": self.memory.images,
            **_packed("parameters", self.parameters),
        }
        if self.memory.fallback is not None:
            arrays |= _packed("fallback", self.memory.fallback)
        return arrays, {
            "covariance_type": self.parameters.family.name,
            "refused": list(self.refused),
            "remaining": self.remaining,
            "refusals": self.memory.refused,
            "wait": self.memory.wait,
            "tried": sorted(self.tried),
            "reseeded": sorted(self.reseeded),
            "status": list(self.status),
            "converged": self.converged,
            "stopped_by": self.stopped_by,
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> State:
        """Return the state that :meth:`pack` has taken apart."""
        kind = family(values["covariance_type"])

        def parameters(name: str) -> Parameters:
            return Parameters(kind, *(arrays[f"{name}.{part}"] for part in _PARTS))

        fallback = parameters("fallback") if "fallback.means" in arrays else None
        points, images = np.array(arrays["points"]), np.array(arrays["images"])
        return cls(
            parameters("parameters"),
            tuple(arrays["history"].tolist()),
            tuple(values["refused"]),
            tuple(arrays["gains"].tolist()),
            values["remaining"],
            Memory(points, images, fallback, values["refusals"], values["wait"]),
            frozenset(values["tried"]),
            frozenset(values["reseeded"]),
            tuple(values["status"]),
            values["converged"],
            values["stopped_by"],
        )


def _packed(name: str, parameters: Parameters) -> dict[str, Array]:
    return {f"{name}.{part}": getattr(parameters, part) for part in _PARTS}
