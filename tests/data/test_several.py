"""Many inputs as one source: found, seen to be alike, numbered through."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.grid import Grid
from dask_gmm.data.several_cells import SeveralCells
from dask_gmm.data.sources import KINDS, MaskOptions, open_source
from dask_gmm.data.sources.opening import Likeness, unique_names
from dask_gmm.data.sources.several import manifests_of
from dask_gmm.errors import ConfigurationError, InputDataError

AXES = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 4)), min_size=1, max_size=3)
GRIDS = st.lists(
    AXES.map(lambda axes: Grid(tuple(n for n, _ in axes), tuple(c for _, c in axes))),
    min_size=1,
    max_size=4,
)


@given(grids=GRIDS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_cells_and_rows_are_numbered_through_and_keep_their_numbers_in_a_part(grids, data):
    cells = SeveralCells(tuple(grids))
    assert len(cells) == sum(map(len, grids))
    index = [cells.row_index(cell) for cell in range(len(cells))]
    np.testing.assert_array_equal(np.sort(np.concatenate(index)), np.arange(cells.n_rows_total))
    assert [len(each) for each in index] == cells.rows_per_cell.tolist()
    first = data.draw(st.integers(0, len(grids) - 1))
    part = cells.part(range(first, data.draw(st.integers(first, len(grids) - 1)) + 1))
    for cell in range(part.first_cell, part.first_cell + len(part)):
        np.testing.assert_array_equal(part.row_index(cell), index[cell])
        assert part.place(cell) == cells.place(cell)
        assert part.region(cell) == cells.region(cell)
        row = int(index[cell][-1])
        assert part.cell_of(row) == cell
        number, _ = cells.place(cell)
        span = zip(part.position(row), grids[number].region(cells.place(cell)[1]), strict=True)
        assert all(i == region.stop - 1 for i, region in span)
    outside = part.first_cell + len(part)
    with pytest.raises(IndexError):
        part.place(outside)


def written(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"b": (5, 6, 3), "a": (4, 9, 3), "c": (1, 30, 3)}
    return written(
        tmp_path / "in",
        **{name: rng.integers(0, 255, shape, dtype="u1") for name, shape in shapes.items()},
    )


def test_list_glob_and_folder_are_the_same_inputs_and_a_list_keeps_its_order(images):
    glob, folder, listed = (
        open_source("npy", path)
        for path in (f"{images}/*.npy", str(images), [f"{images}/{n}.npy" for n in "cab"])
    )
    assert glob.names == folder.names == ("a", "b", "c")
    assert listed.names == ("c", "a", "b")
    assert glob.manifest().fingerprint == folder.manifest().fingerprint
    assert glob.manifest().fingerprint != listed.manifest().fingerprint
    assert glob.grid.n_rows_total == 96
    rows = np.concatenate([glob.read(cell).values for cell in range(len(glob.grid))])
    expected = [np.load(images / f"{name}.npy").reshape(-1, 3) for name in "abc"]
    np.testing.assert_array_equal(rows, np.concatenate(expected))
    described = manifests_of(glob.manifest())
    assert [each.shape for each in described] == [(4, 9, 3), (5, 6, 3), (1, 30, 3)]


def test_one_file_alone_and_one_file_in_a_list_are_told_apart(images):
    alone, listed = open_source("npy", f"{images}/a.npy"), open_source("npy", [f"{images}/a.npy"])
    assert len(alone.grid.shape) == 2
    assert listed.names == ("a",)
    assert alone.manifest().fingerprint != listed.manifest().fingerprint


def test_a_folder_of_zarr_arrays_is_many_and_a_zarr_group_is_one(tmp_path):
    for name in ("x", "y"):
        array = zarr.create_array(
            str(tmp_path / f"in/{name}.zarr"), shape=(6, 4, 2), chunks=(3, 4, 2), dtype="f4"
        )
        array[...] = 1.0
    several = open_source("zarr", str(tmp_path / "in"))
    assert several.names == ("x", "y")
    assert several.where(1, 2) == (
        f"{tmp_path}/in/x.zarr: chunk (1, 0) of the leading axes to "
        f"{tmp_path}/in/y.zarr: chunk (0, 0) of the leading axes"
    )
    zarr.create_group(str(tmp_path / "in"))
    with pytest.raises(ConfigurationError, match=r"variable: found null.*x.zarr, y.zarr"):
        open_source("zarr", str(tmp_path / "in"))


def test_nothing_found_and_something_named_twice_are_refused(images, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputDataError, match=r"matches no file"):
        open_source("npy", f"{images}/*.nope")
    with pytest.raises(InputDataError, match=r"holds no file whose name ends in .npy"):
        open_source("npy", str(tmp_path / "empty"))
    with pytest.raises(ConfigurationError, match=r"a.npy is named twice"):
        open_source("npy", [str(images), f"{images}/a.npy"])


def test_a_name_with_brackets_that_exists_is_no_glob(images):
    (images / "a.npy").rename(images / "a[1].npy")
    assert open_source("npy", f"{images}/a[1].npy").grid.shape == (4, 9)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (np.zeros((3, 3, 4), "u1"), "has 4 features, but .*a.npy has 3"),
        (np.zeros((3, 3, 3), "u2"), "holds uint16, but .*a.npy holds uint8"),
        (np.zeros((3, 3, 3), "f4"), "holds float32, but .*a.npy holds uint8"),
    ],
)
def test_inputs_of_other_features_or_types_are_refused_by_name(images, odd, said):
    written(images, odd=odd)
    with pytest.raises(InputDataError, match=rf"odd\.npy: {said}"):
        open_source("npy", str(images))


def test_byte_order_is_no_other_type(images):
    written(images, d=np.zeros((3, 3, 3), ">i2"), e=np.ones((3, 3, 3), "<i2"))
    paths = [f"{images}/d.npy", f"{images}/e.npy"]
    assert open_source("npy", paths).names == ("d", "e")


def test_bands_out_of_order_are_refused_and_put_in_order_by_name(tmp_path):
    for name, bands in {"x": ["red", "nir"], "y": ["nir", "red"]}.items():
        array = zarr.create_array(
            str(tmp_path / f"{name}.zarr"),
            shape=(2, 2, 2),
            dtype="f4",
            attributes={"feature_names": bands},
        )
        array[...] = np.tile([1.0, 2.0] if bands[0] == "red" else [2.0, 1.0], (2, 2, 1))
    with pytest.raises(
        InputDataError, match=r"y.zarr: has the features nir, red, .* source.columns: \[red, nir\]"
    ):
        open_source("zarr", f"{tmp_path}/*.zarr")
    ordered = open_source("zarr", f"{tmp_path}/*.zarr", columns=("red", "nir"))
    for cell in range(2):
        np.testing.assert_array_equal(ordered.read(cell).values, np.tile([1.0, 2.0], (4, 1)))


def test_a_mask_is_found_by_the_input_s_name(images, tmp_path):
    for path in images.iterdir():
        shape = np.load(path).shape[:2]
        mask = np.zeros(shape, bool)
        mask[0] = path.stem != "b"
        written(tmp_path / "masks", **{path.stem: mask})
    several = open_source("npy", str(images), mask=MaskOptions(f"{tmp_path}/masks/{{stem}}.npy"))
    valid = [several.read(cell).valid.sum() for cell in range(3)]
    assert valid == [9, 0, 30]


def test_with_a_likeness_what_fails_is_left_out_and_named(images):
    written(images, odd=np.zeros((3, 3, 4), "u1"), a16=np.zeros((3, 3, 3), "u2"))
    (images / "broken.npy").write_bytes(b"nothing")
    like = Likeness("the model", 3, None, np.dtype("u1"))
    several = open_source("npy", str(images), like=like)
    assert several.names == ("a", "b", "c")
    reasons = {each.path.rpartition("/")[2]: each.reason for each in several.unopened}
    assert sorted(reasons) == ["a16.npy", "broken.npy", "odd.npy"]
    assert "but the model has 3" in reasons["odd.npy"]
    assert "but the model holds uint8" in reasons["a16.npy"]
    with pytest.raises(InputDataError, match=r"broken.npy"):
        open_source("npy", [f"{images}/broken.npy"], like=like)


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["/d/x.npy", "/d/y.npy"], ["x", "y"]),
        (["/d/monday/x.npy", "/d/tuesday/x.npy"], ["monday-x", "tuesday-x"]),
        (["/d/x.npy", "/d/X.npy"], ["1-x", "2-X"]),
        (["s3://b/a/x.npy", "s3://b/b/x.npy"], ["a-x", "b-x"]),
        (["/d/a\nb.npy", "/d/.npy"], ["a_b", "_npy"]),
    ],
)
def test_results_are_named_by_stems_made_unique(places, names):
    assert unique_names(places, KINDS["npy"]) == names
