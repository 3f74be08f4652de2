"""The picture of a run, put together from pieces that the prediction pass hands back.

The picture is every `stride`-th pixel counted in *global* coordinates, so a cell can cut its own
part without knowing its neighbours, and another chunking gives the same picture. Nothing is read
for it: the prediction pass holds the block anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dask_gmm.data.geometry import Geometry

MAX_SIDE = 1200  # pixels: sharp on a wide screen, and the page stays under 3 MB
MAX_FEATURES = 3  # red, green and blue; a picture of 128 features would be 700 MB
MOST_PICTURES = 4  # of many inputs; together they have as many pixels as one alone
MAP_SIDE = 320  # pixels of a map of one class's probability; there is one for every class
MOST_MAPS = 12  # classes, the first by label
MIN_SIDE = 8  # a decimated picture thinner than this shows nothing


@dataclass(frozen=True)
class Piece:
    """The part of the picture that one cell holds; small, and a copy of its block's values.

    Attributes
    ----------
    row, column : int
        Where the piece's first pixel stands in the picture.
    values : ndarray of shape (h, w, F)
        Raw values of the features shown, in the source's dtype.
    labels : ndarray of shape (h, w)
        0 where masked, else 1..K.
    uncertainty : ndarray of shape (h, w), float32, or None
    input : int
        The number of the input that it is of.
    """

    row: int
    column: int
    values: NDArray[Any]
    labels: NDArray[np.integer[Any]]
    uncertainty: NDArray[np.float32] | None
    input: int = 0


@dataclass(frozen=True)
class Quicklook:
    """What the report shows of a run over an image or a volume.

    Attributes
    ----------
    picture : ndarray of shape (h, w, F), floating
        Raw values of the features shown.
    labels : ndarray of shape (h, w), unsigned or signed integers
        0 where masked, else 1..K.
    uncertainty : ndarray of shape (h, w), float32, or None
        Entropy / log K, NaN where masked.
    stride : int
        Every `stride`-th pixel of both axes is shown.
    features : tuple of int, length F
        Which features `picture` holds, counted from 0; default: the first F.
    plane : tuple of int
        Index along each extra leading axis; empty for a two-dimensional source.
    probabilities : ndarray of shape (h', w', M), floating, or None
        Of the first M classes, 0 to 254 for 0 to 1, on a lattice of its own; no meaning where
        ``mapped`` is 0.
    mapped : ndarray of shape (h', w') or None
        Labels on that lattice.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """

    picture: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]]
    uncertainty: NDArray[np.float32] | None
    stride: int
    features: tuple[int, ...] = ()
    plane: tuple[int, ...] = ()
    probabilities: NDArray[np.floating[Any]] | None = None
    mapped: NDArray[np.integer[Any]] | None = None

    def upright(self, geometry: Geometry | None) -> Quicklook:
        """Return the picture as people hold it: north up, and of a head the crown.

        Rows of a map may be counted from the south, and a NIfTI volume's last axis points up.
        """
        if geometry is None or len(geometry.axes) < 2:
            return self
        row = geometry.axes[-2]
        on_earth = row.unit == "degree" or geometry.crs is not None
        if geometry.affine is not None and len(geometry.axes) == 3:
            turn: Callable[[Any], Any] = np.rot90
        elif on_earth and row.kind == "space" and row.step is not None and row.step > 0:
            turn = np.flipud
        else:
            return self
        names = ("picture", "labels", "uncertainty", "probabilities", "mapped")
        seen: dict[str, Any] = {name: getattr(self, name) for name in names}
        return replace(self, **{k: turn(v) for k, v in seen.items() if v is not None})

    def __post_init__(self) -> None:
        if self.picture.ndim != 3 or self.picture.shape[:2] != self.labels.shape:
            raise ValueError(
                f"picture has shape {self.picture.shape}, labels {self.labels.shape}; "
                "(h, w, F) and (h, w) are needed"
            )
        if self.uncertainty is not None and self.uncertainty.shape != self.labels.shape:
            raise ValueError(
                f"uncertainty has shape {self.uncertainty.shape}, labels {self.labels.shape}"
            )
        if not self.features:
            object.__setattr__(self, "features", tuple(range(self.picture.shape[2])))
        if len(self.features) != self.picture.shape[2]:
            raise ValueError(
                f"features names {len(self.features)} features, "
                f"picture holds {self.picture.shape[2]}"
            )


@dataclass(frozen=True)
class QuicklookPlan:
    """Which pixels of the leading axes make the picture; picklable, sent with the prediction.

    Attributes
    ----------
    leading_shape : tuple of int
        Shape of the source without its features axis.
    stride : int
        Every `stride`-th pixel, in global coordinates, along the last two leading axes.
    features : tuple of int
        The features shown.
    """

    leading_shape: tuple[int, ...]
    stride: int
    features: tuple[int, ...]

    @classmethod
    def for_shape(
        cls,
        leading_shape: Sequence[int],
        n_features: int,
        *,
        max_side: int = MAX_SIDE,
        most_features: int = MAX_FEATURES,
    ) -> QuicklookPlan | None:
        """Choose the stride that keeps the picture's larger side at `max_side` or below.

        Parameters
        ----------
        leading_shape : sequence of int
            Shape of the source without its features axis. The last two axes are the picture; of
            further axes the middle plane is taken.
        n_features : int
            The first `most_features` at most are shown.
        max_side : int
            Pixels.
        most_features : int

        Returns
        -------
        QuicklookPlan or None
            None where there is no picture: a table (one leading axis), an empty axis, or a strip
            so long that decimation would leave fewer than eight pixels across.
        """
        shape = tuple(int(n) for n in leading_shape)
        if len(shape) < 2 or min(shape) < 1 or n_features < 1:
            return None
        stride = max(1, -(-max(shape[-2:]) // max_side))
        if stride > 1 and -(-min(shape[-2:]) // stride) < MIN_SIDE:
            return None
        return cls(shape, stride, tuple(range(min(n_features, most_features))))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        height, width = self.leading_shape[-2:]
        return -(-height // self.stride), -(-width // self.stride)

    @property
    def plane(self) -> tuple[int, ...]:
        """Index of the plane shown, along each extra leading axis."""
        return tuple(n // 2 for n in self.leading_shape[:-2])

    def piece(
        self,
        region: Sequence[slice],
        values: NDArray[Any],
        labels: NDArray[np.integer[Any]],
        uncertainty: NDArray[np.floating[Any]] | None = None,
    ) -> Piece | None:
        """Cut one cell's part of the picture.

        Parameters
        ----------
        region : sequence of slice
            The cell, one slice per leading axis, step 1.
        values : ndarray of shape (n, D)
            The cell's rows in the region's C order; may be a strided view.
        labels : ndarray of shape (n,)
        uncertainty : ndarray of shape (n,), or None

        Returns
        -------
        Piece or None
            A copy, so that the block can be freed; None where the cell holds no pixel of it.

        Raises
        ------
        ValueError
            If the region does not fit the leading shape, or the rows do not fill the region.
        """
        n_rows = math.prod(stop - start for start, stop in self._bounds(region))
        if len(values) != n_rows or len(labels) != n_rows:
            raise ValueError(
                f"region {tuple(region)} holds {n_rows} rows; "
                f"got {len(values)} rows of values and {len(labels)} labels"
            )
        places = self.places(region)
        if places is None:
            return None
        # One feature at a time: what is read need not lie in the order of its rows.
        taken = np.stack([values[:, f][places] for f in self.features], axis=-1)
        doubt = None if uncertainty is None else uncertainty[places].astype(np.float32)
        return self.piece_of(region, taken, labels[places], doubt)

    def places(self, region: Sequence[slice]) -> NDArray[np.intp] | None:
        """Return which rows of a cell are pixels of the picture, (m,); None where none is."""
        bounds = self._bounds(region)
        cell = tuple(stop - start for start, stop in bounds)
        offsets = self._offsets(bounds)
        inside = all(a <= p < b for p, (a, b) in zip(self.plane, bounds[:-2], strict=True))
        if not inside or any(o >= n for o, n in zip(offsets, cell[-2:], strict=True)):
            return None
        at = [np.array([p - a]) for p, (a, _) in zip(self.plane, bounds[:-2], strict=True)]
        at += [np.arange(o, n, self.stride) for o, n in zip(offsets, cell[-2:], strict=True)]
        return np.ravel_multi_index(np.ix_(*at), cell).reshape(-1).astype(np.intp)

    def piece_of(
        self,
        region: Sequence[slice],
        values: NDArray[Any],
        labels: NDArray[np.integer[Any]],
        uncertainty: NDArray[np.float32] | None = None,
    ) -> Piece:
        """Return a cell's part of the picture from what is said of its pixels alone.

        Parameters
        ----------
        region : sequence of slice
        values : ndarray of shape (m, F)
            Of the rows at :meth:`places`, as copies.
        labels : ndarray of shape (m,)
        uncertainty : ndarray of shape (m,), or None
        """
        bounds = self._bounds(region)[-2:]
        offsets = self._offsets(bounds)
        ends = zip(offsets, bounds, strict=True)
        shape = tuple(-(-(stop - start - offset) // self.stride) for offset, (start, stop) in ends)
        return Piece(
            row=(bounds[0][0] + offsets[0]) // self.stride,
            column=(bounds[1][0] + offsets[1]) // self.stride,
            values=values.reshape(*shape, -1),
            labels=labels.reshape(shape),
            uncertainty=None if uncertainty is None else uncertainty.reshape(shape),
        )

    def _offsets(self, bounds: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Return where the first pixel of the global lattice at or after each border lies."""
        (top, _), (left, _) = bounds[-2:]
        return -top % self.stride, -left % self.stride

    def assemble(self, pieces: Iterable[Piece | None]) -> Quicklook:
        """Put the pieces of all cells together, in whatever order they came.

        Parameters
        ----------
        pieces : iterable of Piece or None
            One per cell; cells without a pixel of the picture gave None.

        Returns
        -------
        Quicklook
            `picture` is float32, or float64 where float32 would not hold the source's integers.

        Raises
        ------
        ValueError
            If a pixel of the picture is in no piece or in two, or some pieces lack uncertainty.
        """
        parts = [piece for piece in pieces if piece is not None]
        covered = np.zeros(self.shape, dtype=np.int32)
        for part in parts:
            covered[_window(part)] += 1
        if not np.all(covered == 1):
            row, column = (int(i) for i in np.argwhere(covered != 1)[0])
            raise ValueError(
                f"pixel ({row}, {column}) of the picture is in {int(covered[row, column])} pieces "
                f"of {len(parts)}; hand over the pieces of every cell once"
            )
        doubtful = [part.uncertainty is not None for part in parts]
        if any(doubtful) and not all(doubtful):
            raise ValueError(f"{doubtful.count(False)} of {len(parts)} pieces lack uncertainty")
        wide = any(np.promote_types(part.values.dtype, np.float32) != np.float32 for part in parts)
        picture = np.empty((*self.shape, len(self.features)), np.float64 if wide else np.float32)
        labels = np.empty(self.shape, np.result_type(*(part.labels for part in parts)))
        uncertainty = np.empty(self.shape, np.float32) if all(doubtful) else None
        for part in parts:
            window = _window(part)
            picture[window] = part.values
            labels[window] = part.labels
            if uncertainty is not None and part.uncertainty is not None:
                uncertainty[window] = part.uncertainty
        return Quicklook(picture, labels, uncertainty, self.stride, self.features, self.plane)

    def _bounds(self, region: Sequence[slice]) -> list[tuple[int, int]]:
        """(start, stop) of the region along each leading axis, checked against the shape."""
        if len(region) != len(self.leading_shape):
            raise ValueError(
                f"region has {len(region)} axes, the leading shape {self.leading_shape} "
                f"has {len(self.leading_shape)}"
            )
        cuts = [part.indices(n) for part, n in zip(region, self.leading_shape, strict=True)]
        if any(step != 1 for _, _, step in cuts):
            raise ValueError(f"region {tuple(region)} has a step; cells are contiguous")
        return [(start, stop) for start, stop, _ in cuts]


@dataclass(frozen=True)
class Look:
    """What is looked at of one input.

    Attributes
    ----------
    picture : QuicklookPlan
    maps : QuicklookPlan or None
        Whose features are probabilities of classes; None where there is one class alone.
    """

    picture: QuicklookPlan
    maps: QuicklookPlan | None

    @classmethod
    def at(cls, shapes: Sequence[Sequence[int]], n_features: int, K: int) -> dict[int, Look]:
        """Return what is looked at of the first inputs, by their numbers.

        Parameters
        ----------
        shapes : sequence of sequence of int
            The leading shape of every input.
        n_features : int
        K : int
            Number of classes.
        """
        shown = min(len(shapes), MOST_PICTURES)
        side = int(MAX_SIDE / math.sqrt(max(shown, 1)))
        found = {}
        for number, shape in enumerate(shapes[:shown]):
            plan = QuicklookPlan.for_shape(shape, n_features, max_side=side)
            maps = QuicklookPlan.for_shape(shape, K, max_side=MAP_SIDE, most_features=MOST_MAPS)
            if plan is not None:
                found[number] = cls(plan, maps if K > 1 else None)
        return found

    def assemble(self, pieces: Iterable[Piece], maps: Iterable[Piece]) -> Quicklook:
        """Put the pieces of an input together."""
        seen = self.picture.assemble(pieces)
        if self.maps is None:
            return seen
        chances = self.maps.assemble(maps)
        return replace(seen, probabilities=chances.picture, mapped=chances.labels)


def _window(piece: Piece) -> tuple[slice, slice]:
    """Where the piece stands in the picture."""
    height, width = piece.labels.shape
    return slice(piece.row, piece.row + height), slice(piece.column, piece.column + width)
