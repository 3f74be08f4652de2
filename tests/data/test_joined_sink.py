"""One file out of the cells of many tasks: whole or absent, whatever the cutting."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import joined
from dask_gmm.data.sinks.joined import JoinedSink, Parts
from dask_gmm.errors import RunFailedError


@dataclass(frozen=True)
class RawWriter:
    """The values one after the other."""

    fails: bool = False

    def write(self, path, parts):
        with path.open("wb") as file:
            for region in parts.runs():
                file.write(parts.read(region).tobytes())
                if self.fails:
                    raise OSError(28, "No space left on device")


def filled(path, grid, trailing=(), writer=None, cells=None):
    values = np.arange(prod(grid.shape + trailing), dtype="<i4").reshape(grid.shape + trailing)
    sink = JoinedSink.create(path, grid, trailing, "i4", writer or RawWriter())
    for cell in range(len(grid)) if cells is None else cells:
        sink.write(cell, values[grid.region(cell)])
    return sink, values


@st.composite
def cut_shapes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    return Grid(shape, chunks), tuple(draw(st.lists(st.integers(1, 3), max_size=1)))


@given(cut=cut_shapes(), rows=st.integers(1, 40))
def test_the_file_holds_the_values_in_order(cut, rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("joined") / "out.raw"
    sink, values = filled(path, *cut)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joined, "JOINED_ROWS", rows)
        runs = sink.file.parts.runs()
        assert all(prod(span.stop - span.start for span in run) <= rows for run in runs)
        (piece,) = sink.to_finish()[0].batches()
        piece.join()
    assert path.read_bytes() == values.tobytes()


def test_tiles_are_squares_over_planes(tmp_path):
    parts = Parts(str(tmp_path), Grid((2, 5, 7), (1, 5, 7)), (), np.dtype("u1"))
    found = [tuple((s.start, s.stop) for s in each) for each in parts.tiles(4)]
    assert found[:2] == [((0, 1), (0, 4), (0, 4)), ((0, 1), (0, 4), (4, 7))]
    assert len(found) == 8


def test_what_is_missing_is_said_until_the_file_is_there(tmp_path):
    path = tmp_path / "out.raw"
    sink, values = filled(path, Grid((4, 4), (2, 2)), cells=[0, 3])
    assert sink.missing_cells() == [1, 2]
    again = JoinedSink.create(path, sink.grid, (), "i4", RawWriter(), again=True)
    assert again.missing_cells() == [1, 2]
    for cell in (1, 2):
        again.write(cell, values[sink.grid.region(cell)])
    assert again.missing_cells() == []
    (work,) = again.to_finish()
    work.join()
    work.discard_parts()
    assert [each.name for each in tmp_path.iterdir()] == ["out.raw"]
    assert again.missing_cells() == []
    work.join()  # done already: a killed process may have come so far
    assert path.read_bytes() == values.tobytes()


def test_a_half_never_bears_the_name(tmp_path):
    path = tmp_path / "out.raw"
    sink, _ = filled(path, Grid((4, 4), (2, 2)), writer=RawWriter(fails=True))
    with pytest.raises(RunFailedError, match=r"out\.raw: cannot be written \(No space left"):
        sink.to_finish()[0].join()
    assert [each.name for each in tmp_path.iterdir()] == ["out.raw.parts"]
    assert sink.missing_cells() == []


def test_nothing_that_exists_is_written_over(tmp_path):
    (tmp_path / "out.raw").write_text("mine")
    with pytest.raises(RunFailedError, match="exists already"):
        filled(tmp_path / "out.raw", Grid((2,), (2,)))


def test_values_that_do_not_fill_the_cell_are_refused(tmp_path):
    sink, _ = filled(tmp_path / "out.raw", Grid((2,), (2,)))
    with pytest.raises(RunFailedError, match="cell 0 takes int32 of shape"):
        sink.write(0, np.zeros(3, "i4"))
