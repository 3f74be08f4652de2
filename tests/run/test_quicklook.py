"""The picture put together from cells equals the picture cut from the whole array."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.run.quicklook import Quicklook, QuicklookPlan


@st.composite
def cut_arrays(draw):
    """A leading shape, its chunks, the longest side of the picture, D, dtype, layout, a seed."""
    shape = draw(st.lists(st.integers(1, 23), min_size=2, max_size=4).map(tuple))
    chunks = tuple(draw(st.integers(1, n + 2)) for n in shape)
    return (
        shape,
        chunks,
        draw(st.integers(3, 25)),
        draw(st.integers(1, 5)),
        draw(st.sampled_from(["uint8", "<i2", ">u2", "float32", "int32", "float64"])),
        draw(st.booleans()),
        draw(st.integers(0, 2**32 - 1)),
    )


def _regions(shape, chunks):
    cuts = [
        [slice(start, min(start + c, n)) for start in range(0, n, c)]
        for n, c in zip(shape, chunks, strict=True)
    ]
    return list(itertools.product(*cuts))


@settings(deadline=None, max_examples=150)
@given(cut_arrays())
def test_pieces_of_any_chunk_grid_make_the_decimated_array(case):
    shape, chunks, max_side, n_features, dtype, features_first, seed = case
    plan = QuicklookPlan.for_shape(shape, n_features, max_side=max_side)
    if plan is None:  # a strip too thin to show
        return
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 250, (*shape, n_features)).astype(dtype)
    labels = rng.integers(0, 7, shape).astype(np.uint8)
    uncertainty = rng.random(shape).astype(np.float32)
    pieces = []
    for region in _regions(shape, chunks):
        rows = array[region].reshape(-1, n_features)
        if features_first:  # what a features-first source hands over: a transposed view
            rows = np.ascontiguousarray(rows.T).T
        columns = labels[region].ravel(), uncertainty[region].ravel()
        pieces.append(pickle.loads(pickle.dumps(plan)).piece(region, rows, *columns))
    rng.shuffle(pieces)
    quicklook = plan.assemble(pieces)

    window = (*(n // 2 for n in shape[:-2]), *[slice(None, None, plan.stride)] * 2)
    np.testing.assert_array_equal(quicklook.picture, array[window][..., :3])
    np.testing.assert_array_equal(quicklook.labels, labels[window])
    np.testing.assert_array_equal(quicklook.uncertainty, uncertainty[window])
    assert quicklook.picture.dtype.kind == "f"
    assert max(quicklook.labels.shape) <= max(max_side, 1)


def test_the_larger_side_decides_the_stride():
    plan = QuicklookPlan.for_shape((2700, 5400), 3)
    assert plan.stride == 5
    assert plan.shape == (540, 1080)
    assert QuicklookPlan.for_shape((1200, 900), 3).stride == 1
    assert QuicklookPlan.for_shape((1201, 900), 3).stride == 2


def test_a_volume_shows_its_middle_plane():
    plan = QuicklookPlan.for_shape((301, 370, 316), 1)
    assert plan.plane == (150,)
    assert plan.stride == 1


@pytest.mark.parametrize("shape", [(1000,), (), (0, 10), (10, 0), (10_000_000, 4)])
def test_tables_empty_arrays_and_thin_strips_have_no_picture(shape):
    assert QuicklookPlan.for_shape(shape, 3) is None


def test_a_piece_keeps_no_hold_on_its_block():
    values, labels = np.arange(300.0).reshape(100, 3), np.ones(100, np.uint8)
    doubt = np.zeros(100, np.float32)
    plan = QuicklookPlan.for_shape((10, 10), 3)
    piece = plan.piece((slice(0, 10), slice(0, 10)), values, labels, doubt)
    for mine, theirs in (
        (piece.values, values),
        (piece.labels, labels),
        (piece.uncertainty, doubt),
    ):
        assert not np.shares_memory(mine, theirs)
    piece = plan.piece((slice(0, 10), slice(0, 10)), values[:, :1].repeat(3, 1), labels)
    assert piece.uncertainty is None


def test_a_cell_between_the_pixels_gives_no_piece():
    plan = QuicklookPlan.for_shape((20, 20), 1, max_side=2)
    assert plan is None  # 2 pixels across show nothing
    plan = QuicklookPlan.for_shape((40, 40), 1, max_side=10)
    cell = (slice(1, 4), slice(0, 4))
    assert plan.piece(cell, np.zeros((12, 1)), np.ones(12, np.uint8)) is None


def test_rows_that_do_not_fill_the_cell_are_refused():
    plan = QuicklookPlan.for_shape((10, 10), 1)
    with pytest.raises(ValueError, match=r"holds 20 rows; got 19 rows of values and 20 labels"):
        plan.piece((slice(0, 2), slice(0, 10)), np.zeros((19, 1)), np.ones(20, np.uint8))
    with pytest.raises(ValueError, match="region has 1 axes"):
        plan.piece((slice(0, 2),), np.zeros((20, 1)), np.ones(20, np.uint8))


def test_a_missing_or_doubled_cell_is_refused():
    plan = QuicklookPlan.for_shape((10, 10), 1)
    halves = [
        plan.piece((rows, slice(0, 10)), np.zeros((50, 1)), np.ones(50, np.uint8))
        for rows in (slice(0, 5), slice(5, 10))
    ]
    with pytest.raises(ValueError, match=r"pixel \(5, 0\) of the picture is in 0 pieces"):
        plan.assemble(halves[:1])
    with pytest.raises(ValueError, match=r"pixel \(0, 0\) of the picture is in 2 pieces"):
        plan.assemble([*halves, halves[0]])


def test_uncertainty_comes_from_all_cells_or_none():
    plan = QuicklookPlan.for_shape((2, 2), 1)
    values, labels = np.zeros((2, 1)), np.ones(2, np.uint8)
    doubtful = plan.piece((slice(0, 1), slice(0, 2)), values, labels, np.zeros(2))
    plain = plan.piece((slice(1, 2), slice(0, 2)), values, labels)
    with pytest.raises(ValueError, match="1 of 2 pieces lack uncertainty"):
        plan.assemble([doubtful, plain])


def test_a_quicklook_of_mixed_shapes_is_refused():
    with pytest.raises(ValueError, match=r"picture has shape \(2, 2, 1\), labels \(2, 3\)"):
        Quicklook(np.zeros((2, 2, 1)), np.zeros((2, 3), int), None, 1)


def test_pictures_stand_upright():
    labels = np.arange(6).reshape(2, 3)
    look = Quicklook(labels[..., None].astype(np.float32), labels, None, 1)
    ascending = Axis("lat", "space", "degree", 1.0, -89.5)
    across = Axis("lon", "space", "degree", 1.0, 0.5)
    north = look.upright(Geometry((ascending, across)))
    np.testing.assert_array_equal(north.labels, labels[::-1])
    np.testing.assert_array_equal(north.picture[..., 0], labels[::-1])
    as_read = Geometry((replace(ascending, step=-1.0), across))
    micrometers = Geometry((replace(ascending, unit="micrometer"), across))
    for geometry in (None, as_read, micrometers):
        np.testing.assert_array_equal(look.upright(geometry).labels, labels)
    space = tuple(Axis(name, "space", "millimetre", 1.0) for name in "xyz")
    head = look.upright(Geometry(space, affine=tuple(map(tuple, np.eye(4).tolist()))))
    np.testing.assert_array_equal(head.labels, labels.T[::-1])  # the last axis points up
