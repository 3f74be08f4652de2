"""What every stored array offers, whatever its format: a shape, and regions of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_gmm.errors import ConfigurationError, InputDataError


@dataclass(frozen=True)
class Inventory:
    """What a stored array consists of, told without decoding any of it.

    Attributes
    ----------
    chunks : tuple of int
        Shape of what is decoded together.
    zarr_format : int or None
    stored_bytes : int
    missing : tuple of str
        Keys of absent chunks, which read as the fill value.
    fingerprint : str
    checksums : bool
        Whether reading notices bits that have changed.
    """

    chunks: tuple[int, ...]
    zarr_format: int | None
    stored_bytes: int
    missing: tuple[str, ...]
    fingerprint: str
    checksums: bool = False


class StoredArray(Protocol):
    """An array in storage: a small frozen value that travels to workers."""

    @property
    def name(self) -> str:
        """Absolute path or URL, without credentials."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored, byte order included."""

    @property
    def axis_names(self) -> tuple[str | None, ...] | None:
        """Names of the axes, where the format knows them."""

    @property
    def objects(self) -> tuple[int, ...]:
        """Shape of what is fetched together: a chunk, a shard, or all of the array."""

    @property
    def decoded_together(self) -> int:
        """Bytes that reading a single element decodes."""

    def cell_shape(self, feature_axis: int | None) -> tuple[int, ...]:
        """Return the leading shape of a full cell, the unit in which it is best read."""

    def read(self, selection: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read a region into memory that nothing else holds; it may be read-only.

        Raises
        ------
        InputDataError
            Naming file and chunk, if something is missing, truncated or corrupt.
        """

    def chunk_at(self, index: Sequence[int]) -> str:
        """Say in which chunk an element lies, for messages."""

    def inventory(self) -> Inventory:
        """Look at what is stored, without decoding it.

        Raises
        ------
        InputDataError
            If something is missing (unless it may be filled) or empty.
        """


def check_content(array: StoredArray) -> None:
    """Check that an array holds rows of real numbers.

    Raises
    ------
    InputDataError
        If it has no axes, an axis of length zero, or a dtype that is no real number.
    """
    if not array.shape:
        raise InputDataError(
            f"{array.name}: is a single number (shape ()); allowed is an array with rows"
        )
    if 0 in array.shape:
        raise InputDataError(f"{array.name}: is empty (shape {array.shape}); there is no row")
    if array.dtype.kind not in "biuf":
        raise InputDataError(
            f"{array.name}: has dtype {array.dtype}; allowed are real numbers (bool, integers, "
            "floating point): convert the array, or choose another variable"
        )


def step_of(dtype: np.dtype[Any]) -> float:
    """Return the step from one value of a dtype to the next; 0 for floating point."""
    return 1.0 if dtype.kind in "iub" else 0.0


def resolve_feature_axis(axis: int | str | None, array: StoredArray) -> int | None:
    """Return the feature axis as a number from 0, or None for one feature without an axis.

    Raises
    ------
    ConfigurationError
        If there is no such axis, or no other axis beside it.
    """
    ndim, text = len(array.shape), f"{array.name} has shape {array.shape}"
    names = array.axis_names or ()
    if axis is None:
        return None
    if isinstance(axis, str):
        if names.count(axis) != 1:
            known = [name for name in names if name]
            raise ConfigurationError(
                f"source.feature_axis: found {axis!r}, but {array.name} "
                + (f"names its axes {known}" if known else "does not name its axes")
                + f"; allowed: one of the names, {-ndim} to {ndim - 1}, or null for one feature"
            )
        number = names.index(axis)
    else:
        if not -ndim <= axis < ndim:
            raise ConfigurationError(
                f"source.feature_axis: found {axis}, but {text}; "
                f"allowed: {-ndim} to {ndim - 1}, a name, or null for one feature"
            )
        number = axis % ndim
    if ndim == 1:
        raise ConfigurationError(
            f"source.feature_axis: found {axis!r}, but {text}, and its only axis as features would "
            "leave one row; set feature_axis: null for one feature"
        )
    return number


def without(per_axis: tuple[Any, ...], axis: int | None) -> tuple[Any, ...]:
    """Return what belongs to the leading axes: all but the features'."""
    return tuple(each for number, each in enumerate(per_axis) if number != axis)
