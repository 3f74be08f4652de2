"""How many workers a cluster that we have started is to have."""

from __future__ import annotations

from typing import Any


def scaled(cluster: Any, n_workers: int, adapt: dict[str, int] | None) -> None:
    """Ask a cluster for workers: a fixed number, or as many as there is work for."""
    if adapt is None:
        cluster.scale(n_workers)
    else:
        cluster.adapt(minimum=adapt["minimum"], maximum=adapt["maximum"])
