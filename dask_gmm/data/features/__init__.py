"""Features: what a source's bands are turned into, block by block, the same for every chunking."""

from __future__ import annotations

from dask_gmm.data.features.source import (
    FeatureSource,
    bands_below,
    looks_around,
    members_with_features,
    with_features,
)

__all__ = [
    "FeatureSource",
    "bands_below",
    "looks_around",
    "members_with_features",
    "with_features",
]
