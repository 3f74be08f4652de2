"""The process of scikit-learn: it loads a Zarr array, fits it, and tells what it has on the way.

``python -m benchmarks.peers.sklearn_process ASKED.json TOLD.jsonl`` writes a line for everything
that happens, so that what was done is known of a fit that was stopped, too. Nothing of dask-gmm is
imported here: it would count as scikit-learn's time and memory.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

Tell = Callable[..., None]


@dataclass(frozen=True)
class Peer:
    """How scikit-learn fits.

    Attributes
    ----------
    path : str
        The Zarr array.
    K : int
    dtype : str
        Of the array in memory, and of the start; scikit-learn computes in it.
    threads : int
        Of BLAS; its k-means has two of its own.
    max_iter : int
    tol : float
    start : str, optional
        A file of weights, means and precisions; by default scikit-learn's own k-means.
    """

    path: str
    K: int
    dtype: str
    threads: int
    max_iter: int
    tol: float
    start: str | None = None


class Told(GaussianMixture):
    """The peer, unchanged but that it tells what it has after every iteration."""

    tell: Tell

    def _initialize(self, *arguments: Any, **others: Any) -> None:
        super()._initialize(*arguments, **others)
        self.tell("start")

    def _compute_lower_bound(self, log_resp: Any, log_prob_norm: Any) -> Any:
        names = ("weights", "means", "covariances")
        parameters = {name: np.asarray(getattr(self, f"{name}_"), float).tolist() for name in names}
        self.tell("iteration", bound_before=float(log_prob_norm), **parameters)
        return super()._compute_lower_bound(log_resp, log_prob_norm)


def fit_peer(peer: Peer, tell: Tell) -> None:
    """Load, and fit."""
    start = {}
    if peer.start is not None:
        with np.load(peer.start) as given:
            start = {f"{name}_init": given[name].astype(peer.dtype) for name in given.files}
    tell("imported")
    X = zarr.open_array(peer.path, mode="r")[:].astype(peer.dtype, copy=False)
    tell("loaded")
    model = Told(peer.K, max_iter=peer.max_iter, tol=peer.tol, random_state=0, **start)
    model.tell = tell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a given number of iterations is meant
        model.fit(X)
    tell("fitted", converged=bool(model.converged_), peak_bytes=_peak_bytes())


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def main(asked: str, told: str) -> None:
    """Carry out a fit of scikit-learn's, as asked for in a file, and tell of it into another."""
    with Path(told).open("w") as file:

        def tell(event: str, **values: Any) -> None:
            file.write(json.dumps({"event": event, "at": time.monotonic(), **values}) + "\n")
            file.flush()

        fit_peer(Peer(**json.loads(Path(asked).read_text())), tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
