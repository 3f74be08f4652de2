"""Any cluster class that can be imported."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dask_gmm.engine.remote.meeting import Around, Meeting
from dask_gmm.engine.remote.scaling import scaled
from dask_gmm.errors import ConfigurationError


@contextmanager
def cluster_of_class(
    around: Around,
    *,
    n_workers: int,
    adapt: dict[str, int] | None,
    kwargs: dict[str, Any],
    **named: str,
) -> Iterator[Meeting]:
    """Start a cluster by its class; the key ``class`` holds its full name."""
    name = named["class"]
    make = _imported(name)
    try:
        cluster = make(**kwargs)
    except TypeError as error:
        raise ConfigurationError(f"cluster.kwargs: {name} refuses them ({error})") from error
    with cluster:
        scaled(cluster, n_workers, adapt)
        yield Meeting(
            cluster, f"see the logs of {name}'s service", getattr(cluster, "security", None)
        )


def _imported(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"cluster.class={name}: cannot be imported ({error}); install its package"
        ) from error
