"""Many inputs as one source: their cells and rows are numbered through, one input after the other.

What a model is fitted to is rows; which input a row came from plays no part. So inputs may be of
any shapes, and lie anywhere, as long as their features mean the same: equal in number, names, order
and type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dask_gmm.data.grid import Block
from dask_gmm.data.halo import Neighbourhood
from dask_gmm.data.manifest import InputManifest, SeveralManifest, together
from dask_gmm.data.several_cells import SeveralCells
from dask_gmm.data.sources import Source, begin_reading
from dask_gmm.errors import InputDataError


@dataclass(frozen=True)
class Unopened:
    """An input that could not be opened, or whose features are others: its path, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class SeveralSource:
    """Several inputs as one.

    Make one with `SeveralSource.of`.

    Parameters
    ----------
    members : tuple of Source
        The inputs, in order.
    names : tuple of str
        What each is called: its results are named so. No two are equal, in any case of letters.
    grid : SeveralCells
    tolerant : bool
        Whether a cell that cannot be read is a block that says so, and no error.
    unopened : tuple of Unopened
        Inputs that were named, and are none of the members.
    """

    members: tuple[Source, ...]
    names: tuple[str, ...]
    grid: SeveralCells = field(repr=False)
    tolerant: bool = False
    unopened: tuple[Unopened, ...] = ()

    @classmethod
    def of(
        cls, members: Sequence[Source], names: Sequence[str], unopened: Sequence[Unopened] = ()
    ) -> SeveralSource:
        """Join inputs whose features are alike."""
        grid = SeveralCells(tuple(member.grid for member in members))
        return cls(tuple(members), tuple(names), grid, unopened=tuple(unopened))

    @property
    def n_features(self) -> int:
        """D."""
        return self.members[0].n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the first input; others may be in another byte order."""
        return self.members[0].dtype

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Of the first input that has names."""
        named = (each.feature_names for each in self.members if each.feature_names is not None)
        return next(named, None)

    @property
    def feature_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """(D,), as stored."""
        return self.members[0].feature_dtypes

    @property
    def feature_steps(self) -> tuple[float, ...]:
        """(D,), of the values that `read` returns; 0: none."""
        return self.members[0].feature_steps

    @property
    def geometry(self) -> None:
        """None: every input has its own."""
        return None

    @property
    def beside_bytes(self) -> int:
        """The most that reading a cell of any input takes beyond its rows."""
        return max(member.beside_bytes for member in self.members)

    def part(self, cells: Sequence[int]) -> SeveralSource:
        """Return what a task needs that reads only these cells: the inputs that hold them."""
        first, last = self.grid.place(cells[0])[0], self.grid.place(cells[-1])[0]
        at = first - self.grid.first_input
        here = slice(at, at + last - first + 1)
        members = [
            member.part(self._own(number, cells))
            for number, member in enumerate(self.members[here], start=first)
        ]
        return replace(
            self,
            members=tuple(members),
            names=self.names[here],
            grid=self.grid.part(range(first, last + 1)),
            unopened=(),
        )

    def _own(self, number: int, cells: Sequence[int]) -> range:
        """Return those of consecutive cells that an input holds, as it numbers them itself."""
        own = self.grid.cells_of(number)
        return range(max(cells[0], own.start) - own.start, min(cells[-1] + 1, own.stop) - own.start)

    def where(self, first: int, last: int | None = None) -> str:
        """Name a cell, or a run of them, as their inputs do."""
        number, inner = self.grid.place(first)
        if last in (None, first):
            return self._member(number).where(inner)
        other, end = self.grid.place(last)
        if other == number:
            return self._member(number).where(inner, end)
        return f"{self._member(number).where(inner)} to {self._member(other).where(end)}"

    def read(self, cell: int) -> Block:
        """Read one cell as rows.

        Raises
        ------
        InputDataError
            Naming file and chunk, if the cell cannot be read; where this source is tolerant, the
            block has no rows, and its `failure` says so.
        """
        number, inner = self.grid.place(cell)
        try:
            return self._member(number).read(inner)
        except InputDataError as error:
            return self._failed(error)

    def reading(self) -> Callable[[int], Block]:
        """Return what reads cells, one after the other, as `read` does."""
        opened = dict[int, Callable[[int], Block]]()

        def read(cell: int) -> Block:
            number, inner = self.grid.place(cell)
            if number not in opened:
                opened.clear()
                opened[number] = begin_reading(self._member(number))
            try:
                return opened[number](inner)
            except InputDataError as error:
                return self._failed(error)

        return read

    def neighbourhoods(self, halo: Sequence[int]) -> Callable[[int], Neighbourhood]:
        """Return what reads cells, one after the other, each with a halo of its own input.

        Every input has as many axes as the halo.
        """
        opened = dict[int, Callable[[int], Neighbourhood]]()

        def read(cell: int) -> Neighbourhood:
            number, inner = self.grid.place(cell)
            if number not in opened:
                opened.clear()
                member: Any = self._member(number)  # of arrays: a table has no neighbours
                opened[number] = member.neighbourhoods(halo)
            try:
                return opened[number](inner)
            except InputDataError as error:
                return Neighbourhood(self._failed(error), (slice(0, 0),), (slice(0, 0),))

        return read

    def _failed(self, error: InputDataError) -> Block:
        """Return a block that says why there are no rows, where this source is tolerant."""
        if not self.tolerant:
            raise error
        return Block(np.empty((0, self.n_features), self.dtype), failure=str(error))

    def manifest(self) -> SeveralManifest:
        """Describe the inputs, each as it does itself."""
        found = [member.manifest() for member in self.members]
        marks = [each.fingerprint for each in found] + [each.path for each in self.unopened]
        return SeveralManifest(
            kind=found[0].kind,
            path=f"{len(found):,} inputs, the first is {found[0].path}",
            shape=(self.grid.n_rows_total, self.n_features),
            n_features=self.n_features,
            dtype=found[0].dtype,
            n_cells=len(self.grid),
            stored_bytes=sum(each.stored_bytes for each in found),
            decoded_bytes=sum(each.decoded_bytes for each in found),
            # One input in a list of its own is not the same input alone: its results lie elsewhere.
            fingerprint=together(["several", *marks]),
            members=tuple(found),
        )

    def _member(self, number: int) -> Source:
        return self.members[number - self.grid.first_input]


def members_of(source: Source) -> tuple[Source, ...]:
    """Return the inputs that a source consists of: itself, where it is one."""
    return source.members if isinstance(source, SeveralSource) else (source,)


def manifests_of(manifest: InputManifest) -> tuple[InputManifest, ...]:
    """Return the manifests of single inputs."""
    return manifest.members if isinstance(manifest, SeveralManifest) else (manifest,)


def input_of(source: Source, cell: int) -> Source:
    """Return the input that holds a cell."""
    if not isinstance(source, SeveralSource):
        return source
    return source._member(source.grid.place(cell)[0])
