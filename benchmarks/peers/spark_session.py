"""Spark on this machine: its session, rows that it holds in memory, what its mixtures have."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.known import Array


@contextmanager
def spark_session(memory: str) -> Iterator[Any]:
    """Start Spark in this machine's memory, on two cores, listening on the loopback only."""
    if shutil.which("java") is None:
        raise click.ClickException("Spark needs Java 17: install it, and put java in the PATH")
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise click.ClickException('Spark: pip install "dask-gmm[bench]"') from None
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        yield session
    finally:
        session.stop()


def cached_rows(session: Any, files: Sequence[Path], expected: int) -> Any:
    """Return the rows of Parquet files as Spark's column of vectors, held in its memory."""
    from pyspark.ml.feature import VectorAssembler

    table = session.read.parquet(*map(str, files))
    rows = VectorAssembler(inputCols=table.columns, outputCol="features").transform(table)
    rows = rows.select("features").cache()
    if rows.count() != expected:  # and now it is in memory
        raise SystemExit(f"Spark has read another number of rows than {expected:,}")
    return rows


def files_of(path: Path) -> list[Path]:
    """Return the Parquet files of a folder, in order."""
    return sorted(path.glob("*.parquet"))


def found_parameters(model: Any) -> tuple[Array, Array, Array]:
    """Return weights (K,), means (K, D) and covariances (K, D, D) of a model of Spark's."""
    gaussians = model.gaussiansDF.collect()
    means = np.array([each["mean"].toArray() for each in gaussians])
    covariances = np.array([each["cov"].toArray() for each in gaussians])
    return np.array(model.weights), means, covariances


def versions(session: Any) -> dict[str, str]:
    """Return those of Spark and Java."""
    java = session.sparkContext._jvm.java.lang.System.getProperty("java.version")
    return {"spark": session.version, "java": str(java)}
