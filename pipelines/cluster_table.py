"""Cluster a Parquet table: ``python -m pipelines.cluster_table [--draw] CONFIG [KEY=VALUE]``.

With ``--draw`` a small table is drawn from a known mixture first, where ``configs/table.yaml``
looks for one, so that this runs end to end by itself; what was found then stands beside the truth.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured

WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
MEANS = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 4.0], [0.0, 9.0, -4.0], [-7.0, -7.0, 2.0]])
SPREADS = np.array([1.0, 1.5, 0.8, 1.2])
TABLE = Path("data/table.parquet")
FILES, ROWS, ROW_GROUP = 12, 5_000, 1_000


def main(arguments: Sequence[str]) -> int:
    """Draw the table if need be, cluster it, and return the exit code."""
    words = [word for word in arguments if word != "--draw"]
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    drawn = len(words) < len(arguments)
    if drawn and not TABLE.exists():
        draw_table(TABLE)
    return exit_code(lambda: cluster(*words, drawn=drawn))


def cluster(path: str, *overrides: str, drawn: bool) -> None:
    """Carry out a configuration, and print the classes and how many rows each file has of them."""
    outcome = run_configured(load_config(path, overrides=overrides))
    for each in outcome.manifest["classes"]:
        mean = ", ".join(f"{value:.2f}" for value in each["mean"])
        print(f"class {each['label']}: {each['weight']:.2%}, mean {mean}")
    if drawn:
        for weight, mean in zip(WEIGHTS, MEANS, strict=True):
            print(f"drawn: {weight:.2%}, mean {', '.join(f'{value:.2f}' for value in mean)}")
    labels = outcome.manifest["outputs"].get("labels")
    if labels is not None:
        count_classes(outcome.run_dir / labels["path"])
    print(outcome.run_dir / "report.html")


def draw_table(folder: Path) -> None:
    """Draw rows of the known mixture, some with a null, each file from a seed of its own."""
    folder.mkdir(parents=True)
    for i in range(FILES):
        rng = np.random.default_rng([2026, i])
        k = rng.choice(len(WEIGHTS), ROWS, p=WEIGHTS)
        rows = MEANS[k] + SPREADS[k, None] * rng.normal(size=(ROWS, 3))
        columns = {
            "customer": pa.array([f"{i:02}-{row:04}" for row in range(ROWS)]),
            **{name: pa.array(rows[:, j].astype("f4")) for j, name in enumerate("xyz")},
            "visits": pa.array(rng.integers(1, 4, ROWS)),
        }
        columns["z"] = pa.array(rows[:, 2], mask=rng.random(ROWS) < 0.01)
        pq.write_table(
            pa.table(columns),
            folder / f"part-{i:02}.parquet",
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
        )


def count_classes(folder: Path) -> None:
    """Print how many rows of every label each file of results has."""
    for path in sorted(folder.rglob("*.parquet")):
        labels = pq.ParquetFile(path).read(columns=["label"])["label"].to_numpy()
        counted = ", ".join(f"{label}: {n:,}" for label, n in enumerate(np.bincount(labels)))
        print(f"{path.relative_to(folder)}: {counted}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
