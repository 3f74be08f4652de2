"""What a run will read and hold, told from metadata before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_gmm.data.features import bands_below, looks_around
from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sinks import JOINED_KINDS
from dask_gmm.data.sources import Source
from dask_gmm.data.sources.several import members_of
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.errors import ConfigurationError
from dask_gmm.mixture.families import Family, family
from dask_gmm.mixture.survey import sample_capacity
from dask_gmm.run.compression import CompressionPlan, plan_compression
from dask_gmm.run.config import Config
from dask_gmm.run.memory import PROCESS_BYTES, USABLE, USABLE_ELSEWHERE, Load, fits
from dask_gmm.run.smoothing import SmoothingPlan

#: How what is read would tell of changed bits, by the kind of source.
_WITH_CHECKSUMS = {
    "zarr": "write it with the codec crc32c, or zstd with checksum: true,",
    "parquet": "write it with page checksums (pyarrow: write_page_checksum=True)",
}


@dataclass(frozen=True)
class RunPlan:
    """The numbers of a run.

    Attributes
    ----------
    manifest : InputManifest
    leaves : tuple of range
        Runs of cells that one task reads.
    n_rows, n_features : int
    sample_rows : int
        Rows drawn for the starts, at most.
    load : Load
        What decides how much memory a worker needs.
    memory_limit : int or None
        What a worker may hold.
    compression : CompressionPlan
        Whether rows are counted.
    smoothing : SmoothingPlan or None
        What is done to probabilities before they are written.
    smoothing_in_words : str or None
    """

    manifest: InputManifest
    leaves: tuple[range, ...]
    n_rows: int
    n_features: int
    sample_rows: int
    load: Load
    memory_limit: int | None
    compression: CompressionPlan
    smoothing: SmoothingPlan | None = None
    smoothing_in_words: str | None = None

    @property
    def fits(self) -> bool:
        """Tell whether a worker can hold its part."""
        return fits(self.load, self.memory_limit)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        m = self.manifest
        return {
            "input": m.path,
            "rows": self.n_rows,
            "features": self.n_features,
            "dtype": str(np.dtype(m.dtype)),
            "chunks": m.n_cells,
            "leaves": len(self.leaves),
            "checksums": m.checksums,
            "stored_bytes": m.stored_bytes,
            "decoded_bytes_per_pass": m.decoded_bytes,
            "sample_rows": self.sample_rows,
            "count_compression": self.compression.sentence(),
            "smoothing": self.smoothing_in_words,
            "worker_bytes": self.load.worker_bytes,
            "worker_memory_limit": self.memory_limit,
            "fits": self.fits,
        }

    def warnings(self) -> list[str]:
        """Say what a careful user should know before the run."""
        if self.manifest.checksums:
            return []
        remedy = _WITH_CHECKSUMS.get(self.manifest.kind, "store it as Zarr with the codec crc32c")
        return [
            "source.path: the input is stored without checksums, so that nothing can tell whether "
            f"bits have changed since it was written; {remedy} if that matters"
        ]

    def on(self, memory_limit: int | None, threads: int) -> RunPlan:
        """Return the plan for workers whose size became known when they stood ready."""
        if memory_limit is None:
            return self
        return replace(self, memory_limit=memory_limit, load=replace(self.load, threads=threads))

    def require_fit(self) -> None:
        """Refuse a run that a worker could not hold, with the numbers that would do.

        Raises
        ------
        ConfigurationError
        """
        if self.fits or self.memory_limit is None:
            return
        load = self.load
        enough = math.ceil(load.worker_bytes / load.usable / 2**20)
        threads = "" if load.threads == 1 else f"{load.threads} threads, "
        text = (
            f"cluster.memory_limit: {_gib(self.memory_limit)} per worker is too little: "
            f"{_gib(PROCESS_BYTES)} for the process and {_gib(load.worker_bytes - PROCESS_BYTES)} "
            f"for {threads}chunks of {load.rows:,} rows (K={load.n_components}, "
            f"D={load.n_features}, {np.dtype(self.manifest.dtype)}) and a sample of "
            f"{load.sample_rows:,} are {_gib(load.worker_bytes)}, and {load.usable:.0%} of the "
            f"limit can be used; set cluster.memory_limit >= {enough}MiB"
        )
        rows = self._fitting_rows()
        if rows:
            text += f", or store the input in chunks of at most {rows:,} rows"
        raise ConfigurationError(text)

    def _fitting_rows(self) -> int:
        """Return the largest number of rows in a chunk that would fit, 0 if none does."""
        low, high = 0, self.load.rows
        while high - low > 1:
            middle = (low + high) // 2
            fit = fits(self.load.with_rows(middle), self.memory_limit)
            low, high = (middle, high) if fit else (low, middle)
        return low


def plan_run(config: Config, source: Source, manifest: InputManifest) -> RunPlan:
    """Work out the numbers of a run from the input's metadata.

    Raises
    ------
    ConfigurationError
        If the sample would be smaller than the number of components.
    """
    D = source.n_features
    kinds = tuple((family(name), K) for name, K in config.model.kinds)
    kind, K = max(kinds, key=lambda each: (each[1], each[0].n_features(D)))
    grid, itemsize = source.grid, source.dtype.itemsize
    leaves = cut_leaves(grid.rows_per_cell * manifest.row_bytes)
    cluster, smoothing = config.cluster, SmoothingPlan.configured(config, source)
    around_rows, field_bytes = (0, 0) if smoothing is None else smoothing.needs(source, K)
    load = Load(
        rows=grid.largest,
        n_rows=grid.n_rows_total,
        n_features=D,
        itemsize=itemsize,
        read_ahead=len(grid) > 1,
        row_bytes=_row_bytes(source, manifest),
        copied=manifest.copied,
        joined_bytes=_joined_bytes(config, manifest),
        pictured=len(members_of(source)[0].grid.shape) > 1,
        n_leaves=len(leaves),
        sample_rows=_sample_rows(config, kinds, D, grid.n_rows_total),
        family=kind,
        n_components=K,
        together=kinds * config.model.n_starts,
        outputs=tuple(config.written()),
        top=config.outputs.top,
        quantised=config.outputs.quantised,
        threads=cluster.tasks_per_worker,
        beside_bytes=source.beside_bytes,
        usable=USABLE if cluster.kind == "local" else USABLE_ELSEWHERE,
        around_rows=around_rows,
        field_bytes=field_bytes,
    )
    memory_limit = cluster.memory_per_worker
    compression = plan_compression(
        config.fit.compress, source.dtype, load, memory_limit, around=looks_around(source)
    )
    return RunPlan(
        manifest=manifest,
        leaves=leaves,
        n_rows=load.n_rows,
        n_features=D,
        sample_rows=load.sample_rows,
        load=replace(load, most_distinct=compression.most_distinct),
        memory_limit=memory_limit,
        compression=compression,
        smoothing=smoothing,
        smoothing_in_words=None if smoothing is None else smoothing.sentence(source),
    )


def _sample_rows(config: Config, kinds: Sequence[tuple[Family, int]], D: int, n_rows: int) -> int:
    wanted, K = config.fit.sample_rows, max(K for _, K in kinds)
    n_parameters = max(kind.n_parameters(K, D) for kind, K in kinds)
    sample = sample_capacity(n_parameters, D) if wanted == "auto" else wanted
    if sample < K:
        raise ConfigurationError(
            f"fit.sample_rows={sample}: the starts need at least as many rows as components; set "
            f"fit.sample_rows >= {K} (model.n_components)"
        )
    if config.select.criterion == "heldout":
        # What is compared is how the fits to the sample do on the rows outside it.
        n_rows = max(n_rows // 2, K)
    return min(sample, n_rows)


def _row_bytes(source: Source, manifest: InputManifest) -> int:
    """Return the bytes of a row of features, with its weight."""
    bands = bands_below(source)
    stored = bands.n_features * bands.dtype.itemsize
    return manifest.row_bytes - stored + source.n_features * source.dtype.itemsize


def _joined_bytes(config: Config, manifest: InputManifest) -> int | None:
    kinds = {config.output_kind(name) for name in config.outputs.written()}
    return 0 if kinds & JOINED_KINDS else manifest.joined_bytes


def _gib(n: float) -> str:
    return f"{n / 2**30:.2f} GiB"
