"""Gaussian mixture clustering for data that does not fit in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_gmm.estimator import GaussianMixture
    from dask_gmm.features import make_features
    from dask_gmm.selecting import Selection, select_components
    from dask_gmm.smoothing import smooth_posterior
    from dask_gmm.verbosity import Iteration

__version__ = "0.1.0"
__all__ = [
    "GaussianMixture",
    "Iteration",
    "Selection",
    "__version__",
    "make_features",
    "select_components",
    "smooth_posterior",
]


def __getattr__(name: str) -> Any:
    # The estimator pulls in scikit-learn; the command line must start without it.
    if name == "GaussianMixture":
        from dask_gmm.estimator import GaussianMixture

        return GaussianMixture
    if name == "make_features":
        from dask_gmm.features import make_features

        return make_features
    if name in {"Selection", "select_components"}:
        from dask_gmm import selecting

        return getattr(selecting, name)
    if name == "smooth_posterior":
        from dask_gmm.smoothing import smooth_posterior

        return smooth_posterior
    if name == "Iteration":
        from dask_gmm.verbosity import Iteration

        return Iteration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
