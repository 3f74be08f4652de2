from __future__ import annotations

import hashlib
import pickle
import resource
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.zarr import ZarrSink
from dask_gmm.errors import RunFailedError


@st.composite
def results(draw):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    grid = Grid(shape, tuple(draw(st.integers(1, n)) for n in shape))
    trailing = draw(st.sampled_from([(), (1,), (5,)]))
    dtype = np.dtype(draw(st.sampled_from(["u1", "<u2", ">u2", "f4", ">f8"])))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return grid, rng.integers(0, 3, grid.shape + trailing).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(results(), st.randoms())
def test_cells_written_in_any_order_make_the_array(result, random):
    grid, array = result
    trailing = array.shape[len(grid.shape) :]
    cells = list(range(len(grid)))
    random.shuffle(cells)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "out")
        sink = ZarrSink.create(path, grid, trailing, array.dtype, 0, {"kind": "test"})
        for i, cell in enumerate(cells):
            assert sink.missing_cells() == sorted(cells[i:])
            values = array[grid.region(cell)]
            if cell % 2:  # rows are as good as the region's own shape
                values = values.reshape(-1, *trailing)
            canonical = values.astype(array.dtype.newbyteorder("<")).tobytes()
            expected = hashlib.blake2b(canonical, digest_size=16).hexdigest()
            assert sink.write(cell, values) == expected
        assert sink.missing_cells() == []
        written = zarr.open_array(str(path), mode="r")
        np.testing.assert_array_equal(written[...], array)
        assert written.chunks == grid.chunks + trailing
        assert dict(written.attrs) == {"kind": "test"}


@pytest.fixture
def sink(tmp_path):
    grid = Grid((5, 6), (2, 6), ("y", "x"))
    return ZarrSink.create(tmp_path / "out", grid, (3,), "f4", np.nan, {})


def test_unwritten_cells_read_as_the_fill_value_and_axes_keep_their_names(sink):
    sink.write(1, np.zeros((12, 3), "f4"))
    array = zarr.open_array(sink.path, mode="r")
    assert np.isnan(array[:2]).all()
    assert (array[2:4] == 0).all()
    assert array.metadata.dimension_names == ("y", "x", None)


def test_a_cell_of_nothing_but_the_fill_value_is_written(sink):
    sink.write(0, np.full((12, 3), np.nan, "f4"))
    assert sink.missing_cells() == [1, 2]


def test_an_empty_chunk_file_is_not_a_written_cell(sink):
    sink.write(0, np.zeros((12, 3), "f4"))
    Path(sink.path, "c", "0", "0", "0").write_bytes(b"")
    assert sink.missing_cells() == [0, 1, 2]


def test_a_pickled_sink_writes_the_same_array(sink):
    twin = pickle.loads(pickle.dumps(sink))
    assert twin.write(0, np.ones((12, 3), "f4")) == sink.write(0, np.ones((12, 3), "f4"))
    assert sink.missing_cells() == [1, 2]


def test_a_float64_cell_is_rounded_and_the_checksum_is_that_of_the_array(sink):
    values = np.random.default_rng(0).random((12, 3))
    assert sink.write(0, values) == sink.write(0, values.astype("f4"))


@pytest.mark.parametrize(
    "values", [np.ones((11, 3), "f4"), np.ones((12, 2), "f4"), np.ones((12, 3), "c8")]
)
def test_values_that_do_not_fill_a_cell(sink, values):
    with pytest.raises(RunFailedError, match=r"/out: cell 0 takes float32 of shape \(12, 3\)"):
        sink.write(0, values)


def test_nothing_is_overwritten(sink, tmp_path):
    with pytest.raises(RunFailedError, match="/out: exists already"):
        ZarrSink.create(tmp_path / "out", sink.grid, (3,), "f4", 0, {})


def test_a_cell_that_is_not_one_whole_chunk(sink, tmp_path):
    zarr.create_array(str(tmp_path / "other"), shape=(5, 6, 3), chunks=(3, 6, 3), dtype="f4")
    other = ZarrSink(str(tmp_path / "other"), sink.grid, (3,), sink.dtype)
    with pytest.raises(RunFailedError, match=r"/other: .* a cell must be exactly one chunk"):
        other.write(0, np.ones((12, 3), "f4"))


def test_an_output_that_cannot_be_created(sink, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFailedError, match=r"/file/out: cannot be written \(Not a directory\)"):
        ZarrSink.create(tmp_path / "file" / "out", sink.grid, (), "u1", 0, {})


def test_an_output_that_vanished(sink, tmp_path):
    gone = ZarrSink(str(tmp_path / "gone"), sink.grid, (3,), sink.dtype)
    with pytest.raises(RunFailedError, match="/gone: the output array cannot be opened"):
        gone.write(0, np.ones((12, 3), "f4"))


def test_a_disk_without_room_names_path_and_reason(sink):
    noise = np.random.default_rng(0).random((12, 3)).astype("f4")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
        with pytest.raises(RunFailedError, match=r"/out: cannot be written \(File too large\)"):
            sink.write(0, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert sink.missing_cells() == [0, 1, 2]
    sink.write(0, noise)
    assert sink.missing_cells() == [1, 2]
