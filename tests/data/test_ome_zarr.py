"""OME-Zarr as sources and sinks: levels, axes in any order, channels, pyramids."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05 import Image, ImageLabel

from dask_gmm.data.geometry import Axis, Geometry
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.ome_zarr import OmeZarrSink
from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError
from tests.volumes import quietly, write_ome_zarr

RNG = np.random.default_rng(11)
SIZES = {"t": 2, "c": 3, "z": 4, "y": 10, "x": 14}
LABELS = ("DAPI", "GFP", "phase")


def drawn(names):
    return RNG.integers(0, 255, [SIZES[n] for n in names]).astype(np.uint8)


def rows_of(source):
    found = np.empty((*source.grid.shape, source.n_features), source.dtype)
    for cell in range(len(source.grid)):
        region = source.grid.region(cell)
        found[region] = source.read(cell).values.reshape(found[region].shape)
    return found


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("names", ["tczyx", "czyx", "cyx", "yx", "zyx", "yxc"])
def test_channels_are_features_whatever_the_axes(tmp_path, version, names):
    values, chunks = drawn(names), tuple(min(5, SIZES[n]) for n in names)
    write_ome_zarr(
        tmp_path / "a.zarr", values, names, version=version, chunks=chunks, labels=LABELS
    )
    source = open_source("ome-zarr", str(tmp_path / "a.zarr"))
    leading = tuple(n for n in names if n != "c")
    assert source.grid.names == leading
    has_channels = "c" in names
    assert source.n_features == (3 if has_channels else 1)
    assert source.feature_names == (LABELS if has_channels else None)
    expected = np.moveaxis(values, names.index("c"), -1) if has_channels else values[..., None]
    np.testing.assert_array_equal(rows_of(source), expected)
    steps = {"t": 1.5, "z": 2.0, "y": 0.5, "x": 0.5}
    assert [axis.step for axis in source.geometry.axes] == [steps[n] for n in leading]
    assert source.geometry.axes[-1] == Axis("x", "space", "micrometer", 0.5, -2.0)


def test_a_level_and_channels_are_chosen_by_name(tmp_path):
    values = drawn("czyx")
    write_ome_zarr(tmp_path / "a.zarr", values, "czyx", labels=LABELS)
    path = str(tmp_path / "a.zarr")
    for wanted in ("s1", "1"):
        source = open_source("ome-zarr", path, variable=wanted, columns=("phase", "DAPI"))
        expected = np.moveaxis(values[[2, 0], :, ::2, ::2], 0, -1)
        np.testing.assert_array_equal(rows_of(source), expected)
        assert source.geometry.axes[-1].step == 1.0
    every = open_source("ome-zarr", path, feature_axis=None)
    assert (every.grid.shape, every.n_features) == (values.shape, 1)
    planes = open_source("ome-zarr", path, feature_axis="z")
    assert (planes.n_features, planes.feature_names) == (4, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variable": "s7"}, r"found 's7', but .* has the levels s0, s1, the finest first"),
        ({"columns": ("DAPY",)}, r"found 'DAPY'.*; did you mean 'DAPI'\?"),
        ({"feature_axis": "w"}, "names its axes"),
    ],
)
def test_a_wrong_name_is_refused(tmp_path, options, said):
    write_ome_zarr(tmp_path / "a.zarr", drawn("czyx"), "czyx", labels=LABELS)
    with pytest.raises(ConfigurationError, match=said):
        open_source("ome-zarr", str(tmp_path / "a.zarr"), **options)


def test_what_is_no_image_or_lacks_a_chunk_is_named(tmp_path):
    outer = tmp_path / "plate.zarr"
    zarr.create_group(str(outer), zarr_format=3)
    write_ome_zarr(outer / "0", drawn("cyx"), "cyx")
    with pytest.raises(InputDataError, match=r"is no image of OME-Zarr.*the images in it are 0"):
        open_source("ome-zarr", str(outer))
    (outer / "0/s0/c/0/0/0").unlink()
    source = open_source("ome-zarr", str(outer / "0"))
    with pytest.raises(InputDataError, match=r"0/s0: 1 of 1 chunks are missing: c/0/0/0"):
        source.manifest()
    document = json.loads((outer / "0/zarr.json").read_text())
    del document["attributes"]["ome"]["multiscales"][0]["axes"]
    (outer / "0/zarr.json").write_text(json.dumps(document))
    with pytest.raises(InputDataError, match="metadata are damaged"):
        open_source("ome-zarr", str(outer / "0"))


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 700), st.integers(200, 700)),
    chunks=st.tuples(st.integers(1, 3), st.integers(40, 300), st.integers(40, 300)),
    trailing=st.sampled_from([(), (2,)]),
    z_step=st.sampled_from([0.5, 1.0, 4.0]),
)
@settings(max_examples=15, deadline=None)
def test_every_level_is_the_finest_at_every_so_many_th_pixel(
    tmp_path_factory, shape, chunks, trailing, z_step
):
    path = tmp_path_factory.mktemp("pyramid") / "labels.zarr"
    axes = (
        Axis("z", "space", "micrometer", z_step, 0.0),
        Axis("y", "space", "micrometer", 1.0, 5.0),
        Axis("x", "space", "micrometer", 1.0, 0.0),
    )
    grid = Grid(shape, tuple(map(min, chunks, shape)), ("z", "y", "x"))
    colors = [(1, 2, 3), (4, 5, 6)] if not trailing else []
    dtype = np.uint8 if not trailing else np.float32
    sink = OmeZarrSink.create(path, grid, trailing, dtype, 0, Geometry(axes), colors=colors)
    values = np.random.default_rng(0).integers(0, 3, (*shape, *trailing)).astype(dtype)
    for cell in range(len(grid)):
        sink.write(cell, values[grid.region(cell)])
    assert sink.missing_cells() == []
    for work in sink.to_finish():
        for piece in work.batches():
            piece.join()
    group = zarr.open_group(str(path), mode="r")
    quietly((Image if trailing else ImageLabel).from_zarr, group)
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    finest = datasets[0]["coordinateTransformations"][0]["scale"]
    laid = np.moveaxis(values, -1, 0) if trailing else values
    for dataset in datasets:
        scale = dataset["coordinateTransformations"][0]["scale"]
        step = [round(a / b) for a, b in zip(scale, finest, strict=True)]
        array = group[dataset["path"]]
        np.testing.assert_array_equal(array[...], laid[tuple(slice(None, None, n) for n in step)])
        assert array.nchunks_initialized == array.nchunks
    assert max(array.shape[-2:]) <= 256


def test_results_without_two_axes_of_space_are_refused(tmp_path):
    axes = (Axis("t", "time"), Axis("x", "space"))
    with pytest.raises(ConfigurationError, match="two or three axes of space"):
        OmeZarrSink.create(tmp_path / "a", Grid((4, 5), (2, 5)), (), np.uint8, 0, Geometry(axes))
