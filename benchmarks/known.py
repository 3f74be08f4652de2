"""A mixture whose parameters are known, drawn block by block: the same rows for any writer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
#: So few values are drawn and written sooner than two processes start.
SMALL = 4_000_000


@dataclass(frozen=True)
class Known:
    """A mixture of K full covariances in D features, and how many of its rows there are.

    Attributes
    ----------
    D, K, rows : int
    block_rows : int
        Rows of a block; block i is drawn with the seed (seed, i).
    seed : int
    unit : float
        What features are multiplied by: the same mixture in another unit.
    apart : float
        Standard deviation of the means; the smaller, the more the components overlap.
    least_variance : float
        In any direction of a component; the less, the longer they are.
    """

    D: int
    K: int
    rows: int
    block_rows: int
    seed: int = 0
    unit: float = 1.0
    apart: float = 4.0
    least_variance: float = 0.5

    def parameters(self) -> tuple[Array, Array, Array]:
        """Return weights (K,), means (K, D) and covariances (K, D, D)."""
        generator = np.random.default_rng([self.seed, self.D, self.K])
        weights = generator.dirichlet(np.full(self.K, 20.0))
        means = self.apart * self.unit * generator.standard_normal((self.K, self.D))
        factors = 0.4 * generator.standard_normal((self.K, self.D, self.D))
        covariances = factors @ factors.transpose(0, 2, 1) + self.least_variance * np.eye(self.D)
        return weights, means, self.unit**2 * covariances

    @property
    def n_blocks(self) -> int:
        """Number of blocks; the last one may be shorter."""
        return -(-self.rows // self.block_rows)

    def length(self, number: int) -> int:
        """Return the rows of a block."""
        return min(self.block_rows, self.rows - number * self.block_rows)

    def block(self, number: int) -> npt.NDArray[np.float32]:
        """Draw a block (n, D)."""
        return self.drawn(number)[0]

    def drawn(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Draw a block (n, D), and from which component each of its rows is (n,)."""
        weights, means, covariances = self.parameters()
        generator = np.random.default_rng([self.seed, number])
        n, end = self.length(number), 0
        rows = np.empty((n, self.D), np.float32)
        counts = generator.multinomial(n, weights)
        for k, mine in enumerate(counts):
            start, end = end, end + mine
            noise = generator.standard_normal((mine, self.D), np.float32)
            factor = np.linalg.cholesky(covariances[k]).astype(np.float32)
            rows[start:end] = noise @ factor.T + means[k].astype(np.float32)
        order = generator.permutation(n)
        return rows[order], np.repeat(np.arange(self.K), counts)[order]

    def blocks(self, most_rows: int) -> Iterator[npt.NDArray[np.float32]]:
        """Draw blocks until there are so many rows."""
        drawn = 0
        for number in range(self.n_blocks):
            if drawn >= most_rows:
                return
            yield self.block(number)
            drawn += self.length(number)


def write_zarr(
    path: Path, known: Known, codec: str = "blosc-lz4", in_shard: int = 0, dtype: str = "f4"
) -> None:
    """Write all rows as a Zarr array (rows, D) whose chunks are the blocks, on two processes.

    With ``in_shard`` a block is a shard of so many chunks.
    """
    import zarr
    from zarr.codecs import BloscCodec, ZstdCodec

    codecs: dict[str, Any] = {
        "none": None,
        "blosc-lz4": BloscCodec(cname="lz4"),
        "blosc-zstd": BloscCodec(cname="zstd"),
        "zstd": ZstdCodec(),
    }
    shutil.rmtree(path, ignore_errors=True)
    zarr.create_array(
        str(path),
        shape=(known.rows, known.D),
        chunks=(known.block_rows // (in_shard or 1), known.D),
        shards=(known.block_rows, known.D) if in_shard else None,
        dtype=dtype,
        compressors=codecs[codec],
        config={"write_empty_chunks": True},
    )
    _on_two(partial(_write_chunk, path, known), known.n_blocks, known)


def written_once(directory: Path, known: Known) -> Path:
    """Return a folder whose ``data.zarr`` holds all rows: written if it does not, then kept.

    Whoever asks for the same mixture and as many rows finds the same folder.
    """
    folder = directory.absolute() / f"{known.rows}-{known.D}-{known.K}"
    if not (folder / "written").exists():
        folder.mkdir(parents=True, exist_ok=True)
        before = time.perf_counter()
        write_zarr(folder / "data.zarr", known)
        (folder / "written").write_text(f"{time.perf_counter() - before:.1f} seconds\n")
    return folder


def write_parquet(path: Path, known: Known, files: int = 4, compression: str = "snappy") -> None:
    """Write all rows as a directory of Parquet files, columns x0, x1, ...; a block a row group."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    _on_two(partial(_write_file, path, known, files, compression), files, known)


def _on_two(task: Callable[[int], None], n: int, known: Known) -> None:
    if known.rows * known.D < SMALL:
        for number in range(n):
            task(number)
        return
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(task, range(n), chunksize=max(1, min(64, n // 8))):
            pass


def _write_chunk(path: Path, known: Known, number: int) -> None:
    import zarr

    start, rows = number * known.block_rows, known.block(number)
    zarr.open_array(str(path), mode="r+")[start : start + len(rows)] = rows


def _write_file(path: Path, known: Known, files: int, compression: str, number: int) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    names = [f"x{i}" for i in range(known.D)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    mine = range(number * known.n_blocks // files, (number + 1) * known.n_blocks // files)
    # Random floats repeat nothing: a dictionary of them only costs time.
    file = path / f"part-{number:03}.parquet"
    with ParquetWriter(file, schema, use_dictionary=False, compression=compression) as writer:
        for block in mine:
            columns = [np.ascontiguousarray(column) for column in known.block(block).T]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=known.block_rows)


def standard_errors(known: Known, sample_rows: int = 200_000) -> tuple[Array, Array, Array]:
    """Return the sampling errors of weights, means and covariances for all of the rows.

    They are those of the maximum-likelihood estimate: the inverse of Fisher's information, which is
    the mean outer product of the scores over a sample. Overlap of components is thereby counted.
    """
    weights, means, covariances = known.parameters()
    D, K = known.D, known.K
    precisions = np.linalg.inv(covariances)
    upper, off = np.triu_indices(D), np.triu_indices(D)[0] != np.triu_indices(D)[1]
    information, n = 0.0, 0
    for rows in known.blocks(sample_rows):
        x = rows[:sample_rows].astype(float)
        apart = x[:, None, :] - means
        pulled = np.einsum("nkd,kde->nke", apart, precisions)
        log_joint = -0.5 * np.einsum("nkd,nkd->nk", apart, pulled)
        log_joint += np.log(weights) + 0.5 * np.linalg.slogdet(precisions)[1]
        R = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        R /= R.sum(axis=1, keepdims=True)
        of_weights = R[:, :-1] / weights[:-1] - R[:, -1:] / weights[-1]
        of_covariances = 0.5 * (pulled[..., :, None] * pulled[..., None, :] - precisions)
        of_covariances = of_covariances[..., upper[0], upper[1]] * (1 + off)
        parts = (of_weights, R[..., None] * pulled, R[..., None] * of_covariances)
        scores = np.concatenate([part.reshape(len(x), -1) for part in parts], axis=1)
        information, n = information + scores.T @ scores, n + len(x)
    variance = np.linalg.inv(information / n) / known.rows
    errors = np.sqrt(np.diagonal(variance))
    of_last = np.sqrt(variance[: K - 1, : K - 1].sum())  # the weights sum to 1
    form = np.empty((K, D, D))
    form[:, upper[0], upper[1]] = form[:, upper[1], upper[0]] = errors[K - 1 + K * D :].reshape(
        K, -1
    )
    return np.append(errors[: K - 1], of_last), errors[K - 1 :][: K * D].reshape(K, D), form
