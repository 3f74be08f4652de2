"""K-means labels of a Zarr array by dask-ml, as its documentation advises: a program of its own.

python -m benchmarks.peers.dask_ml_labels DATA LABELS --clusters 16 --seed 0 prints what it did
as JSON.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("--clusters", required=True, type=int)
@click.option("--seed", required=True, type=int)
@click.option("--chunk-rows", required=True, type=int, help="Rows of a chunk in the workers.")
def command(data: Path, labels: Path, clusters: int, seed: int, chunk_rows: int) -> None:
    """Fit k-means to DATA (rows, D) on two local workers, and write LABELS (rows,)."""
    import dask.array as da
    from dask.distributed import LocalCluster, wait
    from dask_ml.cluster import KMeans

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        cluster.get_client(),
    ):
        begun = time.perf_counter()
        rows = da.from_zarr(str(data)).rechunk((chunk_rows, -1)).persist()
        wait(rows)
        read = time.perf_counter()
        model = KMeans(n_clusters=clusters, init="k-means||", random_state=seed).fit(rows)
        fitted = time.perf_counter()
        model.labels_.to_zarr(str(labels), overwrite=True)
        written = time.perf_counter()
    steps = {"read": read - begun, "fit": fitted - read, "labels": written - fitted}
    click.echo(json.dumps({"n_iter": int(model.n_iter_), "steps": steps}))


if __name__ == "__main__":
    command()
