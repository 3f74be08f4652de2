"""What a run will read and hold, told from metadata before anything is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sources import Source
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.errors import ConfigurationError
from dask_gmm.mixture.blocking import workspace_bytes
from dask_gmm.mixture.families import Family, family
from dask_gmm.mixture.survey import sample_capacity
from dask_gmm.run.config import Config

#: Resident bytes of a worker process that has imported everything and holds no data.
PROCESS_BYTES = 320 << 20
#: A Dask worker stops taking tasks at this share of its memory limit.
USABLE = 0.8


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
    reading_bytes, output_bytes : int
        What one task holds while it reads and computes, and on top of it while it writes results.
    worker_bytes : int
        What a worker will hold at its peak: its process and one task per thread.
    memory_limit : int or None
        What a worker may hold.
    """

    manifest: InputManifest
    leaves: tuple[range, ...]
    n_rows: int
    n_features: int
    sample_rows: int
    reading_bytes: int
    output_bytes: int
    worker_bytes: int
    memory_limit: int | None

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
            "stored_bytes": m.stored_bytes,
            "decoded_bytes_per_pass": m.decoded_bytes,
            "sample_rows": self.sample_rows,
            "worker_bytes": self.worker_bytes,
            "worker_memory_limit": self.memory_limit,
            "fits": self.fits,
        }

    @property
    def fits(self) -> bool:
        """Tell whether a worker can hold its part."""
        return self.memory_limit is None or self.worker_bytes <= USABLE * self.memory_limit

    def require_fit(self, config: Config) -> None:
        """Refuse a run that a worker could not hold, with the numbers that would do.

        Raises
        ------
        ConfigurationError
        """
        if self.fits or self.memory_limit is None:
            return
        threads = config.cluster.threads_per_worker
        task = self.reading_bytes + self.output_bytes
        enough = math.ceil(self.worker_bytes / USABLE / 2**20)
        text = (
            f"cluster.memory_limit: {_gib(self.memory_limit)} per worker is too little: "
            f"{threads} x {_gib(task)} for chunks of {self._cell_rows:,} rows "
            f"(K={config.model.n_components}, D={self.n_features}, {self.manifest.dtype}) and "
            f"{_gib(PROCESS_BYTES)} for the process are {_gib(self.worker_bytes)}, and "
            f"{USABLE:.0%} of the limit can be used; set cluster.memory_limit >= {enough}MiB"
        )
        room = USABLE * self.memory_limit - PROCESS_BYTES
        if room > threads * (8 << 20):
            rows = int(self._cell_rows * room / (threads * task))
            text += f", or store the input in chunks of at most {rows:,} rows"
        raise ConfigurationError(text)

    @property
    def _cell_rows(self) -> int:
        return math.prod(self.manifest.cell_shape)


def plan_run(config: Config, source: Source, manifest: InputManifest) -> RunPlan:
    """Work out the numbers of a run from the input's metadata."""
    K, D = config.model.n_components, source.n_features
    kind = family(config.model.covariance_type)
    grid, itemsize = source.grid, source.dtype.itemsize
    n_rows = grid.n_rows_total
    wanted = config.fit.sample_rows
    sample = sample_capacity(kind.n_parameters(K, D), D) if wanted == "auto" else wanted
    if sample < K:
        raise ConfigurationError(
            f"fit.sample_rows={sample}: the starts need at least as many rows as components; set "
            f"fit.sample_rows >= {K} (model.n_components)"
        )
    sample = min(sample, n_rows)
    cell_rows = math.prod(grid.chunks)
    reading = reading_bytes(cell_rows, itemsize, kind, K, D)
    sampling = 4 * sample * 8 * (D + 2)
    outputs = output_bytes(cell_rows, K, config.outputs.written())
    threads = config.cluster.threads_per_worker
    return RunPlan(
        manifest=manifest,
        leaves=cut_leaves([grid.n_rows(cell) * D * itemsize for cell in range(len(grid))]),
        n_rows=n_rows,
        n_features=D,
        sample_rows=sample,
        reading_bytes=reading,
        output_bytes=max(outputs, sampling),
        worker_bytes=PROCESS_BYTES + threads * (reading + max(outputs, sampling)),
        memory_limit=config.cluster.memory_limit if config.cluster.kind == "local" else None,
    )


def reading_bytes(cell_rows: int, itemsize: int, kind: Family, K: int, D: int) -> int:
    """Return what a task holds while it reads and computes.

    Two cells, the one worked on and the one read ahead, each decoded beside its stored bytes; the
    row numbers of the survey; the kernel's buffers and statistics.
    """
    cell = cell_rows * D * itemsize
    statistics = 8 * K * (D + 1) ** 2
    return 4 * cell + 16 * cell_rows + workspace_bytes(kind, K, D) + 4 * statistics


def output_bytes(cell_rows: int, K: int, outputs: Any) -> int:
    """Return what a task holds of results: each once computed, masked, and once encoded."""
    per_row = {"labels": 2, "probabilities": 4 * K, "uncertainty": 4, "log_density": 8}
    always = per_row["labels"] + per_row["uncertainty"] + per_row["log_density"] + 1
    return cell_rows * (always + 3 * sum(per_row[name] for name in outputs))


def _gib(n: float) -> str:
    return f"{n / 2**30:.2f} GiB"
