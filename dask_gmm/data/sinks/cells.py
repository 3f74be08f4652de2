"""What sinks of arrays share: values are checked to fill their cell, refusals name the path."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.data.grid import Grid
from dask_gmm.errors import RunFailedError


class ArraySink(Protocol):
    """A sink whose cells are regions of one array."""

    @property
    def path(self) -> str:
        """Absolute path of the array."""

    @property
    def grid(self) -> Grid:
        """The leading axes, cut into cells."""

    @property
    def trailing(self) -> tuple[int, ...]:
        """Lengths of the axes behind the leading ones."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""


def as_cell(sink: ArraySink, cell: int, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values as what is written of a cell, (*cell shape, *trailing), C-contiguous.

    Parameters
    ----------
    sink : ArraySink
    cell : int
    values : ndarray, shape (n, *trailing) or (*cell shape, *trailing)
        Of a dtype that casts to the sink's within its kind.

    Raises
    ------
    RunFailedError
        If they do not fill the cell.
    """
    shape = tuple(s.stop - s.start for s in sink.grid.region(cell)) + sink.trailing
    rows = (sink.grid.n_rows(cell), *sink.trailing)
    if values.shape not in (rows, shape) or not np.can_cast(values.dtype, sink.dtype, "same_kind"):
        raise RunFailedError(
            f"{sink.path}: cell {cell} takes {sink.dtype} of shape {rows} or {shape}, "
            f"found {values.dtype} of shape {values.shape}"
        )
    return np.ascontiguousarray(values, dtype=sink.dtype).reshape(shape)


def checksum(block: npt.NDArray[Any]) -> str:
    """Return BLAKE2b-128 of a block's bytes in C order, 32 hexadecimal digits."""
    return hashlib.blake2b(block.data, digest_size=16).hexdigest()


def cannot_write(path: str, error: OSError) -> RunFailedError:
    """Return the error that names path and reason of a refusal."""
    reason = error.strerror or str(error)
    return RunFailedError(
        f"{path}: cannot be written ({reason}); make room or make it writable, then start again"
    )


def halves(folder: Path) -> Iterator[Path]:
    """Find the files below `folder` that killed processes had on the way; see :func:`appearing`."""
    yield from folder.rglob(f".{'[0-9a-f]' * 32}.*")


@contextmanager
def appearing(target: Path, *, replaces: bool = False) -> Iterator[Path | None]:
    """Give a path to write to, which becomes `target` when all is written; None if it is there.

    A task may run twice at once, where its first worker was given up too early: each has a file of
    its own on the way, and what they write is the same.
    """
    if target.exists() and not replaces:
        yield None
        return
    way = target.with_name(f".{uuid.uuid4().hex}.{target.name}")  # writers look at the suffix
    with refusals_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield way
            way.replace(target)
        finally:
            way.unlink(missing_ok=True)


@contextmanager
def refusals_named(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into a message that names path and reason."""
    try:
        yield
    except OSError as error:
        raise cannot_write(str(path), error) from error
