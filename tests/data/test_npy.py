"""NumPy files in and out: any order of axes and bytes, honest about what is there."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data import npy_array
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.npy import NpySink
from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError, RunFailedError


def rows(source):
    values = np.zeros((source.grid.n_rows_total, source.n_features), source.dtype)
    for cell in range(len(source.grid)):
        values[source.grid.row_index(cell)] = source.read(cell).values
    return values


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cells_put_together_are_the_array(tmp_path_factory, data):
    ndim = data.draw(st.integers(1, 4), "ndim")
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=ndim, max_size=ndim), "shape"))
    dtype = data.draw(st.sampled_from(("u1", "?", ">i2", "<f4", ">f8")), "dtype")
    order = data.draw(st.sampled_from("CF"), "order")
    axis = data.draw(st.sampled_from([None, *range(-ndim, ndim)] if ndim > 1 else [None]), "axis")
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype, order=order)
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, array)
    expected = array.reshape(-1, 1) if axis is None else np.moveaxis(array, axis, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npy_array, "CELL_BYTES", data.draw(st.integers(1, 400), "cell bytes"))
        source = open_source("npy", str(path), feature_axis=axis)
        np.testing.assert_array_equal(rows(source), expected.reshape(-1, source.n_features))
        manifest = source.manifest()
    assert manifest.decoded_bytes == array.nbytes
    assert json.loads(json.dumps(manifest.to_json())) == manifest.to_json()


@pytest.mark.parametrize(("order", "cell"), [("C", (512, 1024)), ("F", (2048, 256))])
def test_a_cell_is_16_mebibytes_of_what_lies_together(tmp_path, order, cell):
    path = tmp_path / "a.npy"
    np.lib.format.open_memmap(
        path, mode="w+", dtype="f8", shape=(2048, 1024, 4), fortran_order=order == "F"
    )
    source = open_source("npy", str(path))
    assert source.grid.chunks == cell
    assert source.grid.n_rows(0) * 4 * 8 == 16 << 20
    assert len(pickle.dumps(source)) < 1500


def test_a_file_that_is_truncated_or_no_npy(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(4000.0).reshape(-1, 2))
    source = open_source("npy", str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    for look in (lambda: open_source("npy", str(path)), source.manifest, lambda: source.read(0)):
        with pytest.raises(InputDataError, match=r"a\.npy: is truncated \(32,127 bytes, .* 32,128"):
            look()
    for content in (b"", b"\x93NUMPY", whole[:40], b"x" * 200):
        path.write_bytes(content)
        with pytest.raises(InputDataError, match=r"a\.npy: is no \.npy file"):
            open_source("npy", str(path))
    path.unlink()
    with pytest.raises(InputDataError, match=r"a\.npy: does not exist"):
        open_source("npy", str(path))
    np.save(path, np.array([[1, "x"]], dtype=object))
    with pytest.raises(InputDataError, match="has dtype object; allowed are real numbers"):
        open_source("npy", str(path))


def test_what_does_not_apply_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((4, 2)))
    with pytest.raises(ConfigurationError, match=r"source\.variable: does not apply to kind npy"):
        open_source("npy", str(path), variable="x")
    with pytest.raises(ConfigurationError, match=r"source\.missing_chunks: does not apply"):
        open_source("npy", str(path), missing_chunks="fill")
    with pytest.raises(ConfigurationError, match="must be a local file"):
        open_source("npy", "s3://bucket/a.npy")


# --- written -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    chunk=st.integers(1, 5),
    trailing=st.sampled_from([(), (3,)]),
    data=st.data(),
)
def test_disjoint_cells_make_the_array(tmp_path_factory, shape, chunk, trailing, data):
    path = tmp_path_factory.mktemp("npy") / "deep" / "a.npy"
    grid = Grid(tuple(shape), tuple(min(chunk, n) for n in shape))
    sink = pickle.loads(pickle.dumps(NpySink.create(path, grid, trailing, ">f4")))
    array = np.random.default_rng(0).normal(size=(*shape, *trailing)).astype("f4")
    order = data.draw(st.permutations(range(len(grid))))
    for n_written, cell in enumerate(order):
        assert sink.missing_cells() == sorted(order[n_written:])
        sink.write(cell, array[grid.region(cell)].reshape(-1, *trailing))
    assert sink.missing_cells() == []
    found = np.load(path)
    assert found.dtype.str == "<f4"
    np.testing.assert_array_equal(found, array)


def test_a_cell_that_was_not_written_is_missing_though_its_bytes_are_there(tmp_path):
    sink = NpySink.create(tmp_path / "a.npy", Grid((4,), (2,)), (), "u1")
    sink.write(1, np.zeros(2, "u1"))
    assert np.load(tmp_path / "a.npy").shape == (4,)
    assert sink.missing_cells() == [0]
    (tmp_path / "a.npy").write_bytes(b"short")
    assert sink.missing_cells() == [0, 1]
    (tmp_path / "a.npy").unlink()
    assert sink.missing_cells() == [0, 1]


def test_what_is_there_is_never_overwritten_and_other_shapes_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    sink = NpySink.create(path, Grid((4,), (2,)), (), "u1")
    with pytest.raises(RunFailedError, match=r"a\.npy: exists already"):
        NpySink.create(path, Grid((4,), (2,)), (), "u1")
    with pytest.raises(RunFailedError, match=r"cell 0 takes uint8 of shape"):
        sink.write(0, np.zeros(3, "u1"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunFailedError, match=r"cannot be written"):
        NpySink.create(tmp_path / "file" / "a.npy", Grid((4,), (2,)), (), "u1")


def test_a_file_that_is_whole_and_whose_record_was_swept_away_misses_nothing(tmp_path):
    """As after the end of a run, whose results are not moved into place yet."""
    grid = Grid((4,), (2,))
    sink = NpySink.create(tmp_path / "a.npy", grid, (), "u1")
    for cell in range(2):
        sink.write(cell, np.zeros(2, "u1"))
    (tmp_path / "a.npy.cells").unlink()
    assert NpySink.create(tmp_path / "a.npy", grid, (), "u1", again=True).missing_cells() == []
