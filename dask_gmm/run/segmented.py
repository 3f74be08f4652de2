"""What the prediction pass has found: counts per input, and what the report is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from dask_gmm.mixture.profile import Profile
from dask_gmm.run.quicklook import Piece


@dataclass(frozen=True)
class Counted:
    """The rows of one input: a monoid.

    Attributes
    ----------
    class_rows : (K + 1,)
        Rows per label; label 0 are those that do not take part.
    nodata, invalid : int
        How many of those hold a value that stands for no data, or NaN or infinity.
    log_likelihood : float
        Sum of weight times log-density, in nats, in original units.
    entropy : float
        Sum of weight times the entropy of the responsibilities, in nats.
    weight : float
        Sum of the weights of the rows that take part.
    changed : int
        Rows whose label the field has changed.
    """

    class_rows: npt.NDArray[np.int64]
    nodata: int = 0
    invalid: int = 0
    log_likelihood: float = 0.0
    entropy: float = 0.0
    weight: float = 0.0
    changed: int = 0

    def __add__(self, other: Counted) -> Counted:
        names = (each.name for each in fields(Counted))
        return Counted(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def used(self) -> int:
        """Rows that take part."""
        return int(self.class_rows[1:].sum())

    def to_json(self) -> dict[str, int]:
        """Return the counts as the manifest has them."""
        total, masked = int(self.class_rows.sum()), int(self.class_rows[0])
        return {
            "total": total,
            "masked": masked,
            "nodata": self.nodata,
            "invalid": self.invalid,
            "used": self.used,
        }


@dataclass(frozen=True)
class Segmented:
    """What the prediction pass found: a monoid.

    Attributes
    ----------
    inputs : mapping of int to Counted
        By the number of the input.
    checksums : tuple of (int, mapping of str to str)
        Per cell, the checksum of what was written of each output.
    pieces, maps : tuple of Piece
        Of the report's pictures, and of its maps of probabilities.
    profile : Profile or None
        Of all rows that were read; None where it is not asked for.
    failures : mapping of int to str
        Why an input could not be read, by its number.
    """

    inputs: Mapping[int, Counted] = field(default_factory=dict)
    checksums: tuple[tuple[int, Mapping[str, str]], ...] = ()
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    maps: tuple[Piece, ...] = field(default=(), repr=False)
    profile: Profile | None = None
    failures: Mapping[int, str] = field(default_factory=dict)

    def __add__(self, other: Segmented) -> Segmented:
        inputs = dict(self.inputs)
        for number, counted in other.inputs.items():
            inputs[number] = inputs[number] + counted if number in inputs else counted
        return Segmented(
            inputs,
            self.checksums + other.checksums,
            self.pieces + other.pieces,
            self.maps + other.maps,
            _both(self.profile, other.profile),
            {**other.failures, **self.failures},
        )

    @property
    def total(self) -> Counted:
        """The rows of all inputs that could be read."""
        first, *others = (self.inputs[i] for i in sorted(self.inputs.keys() - self.failures.keys()))
        return sum(others, start=first)


def _both(a: Profile | None, b: Profile | None) -> Profile | None:
    return a if b is None else b if a is None else a + b
