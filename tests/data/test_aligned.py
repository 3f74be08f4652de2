"""Masks, weights and no-data values, laid over arrays in whatever chunks."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.errors import ConfigurationError, InputDataError

SHAPE = (9, 11)


def write(path, array, chunks=None, **options):
    options.setdefault("config", {"write_empty_chunks": True})
    z = zarr.create_array(
        str(path), shape=array.shape, dtype=array.dtype, chunks=chunks or array.shape, **options
    )
    z[...] = array
    return str(path)


def values(dtype="f4", seed=0):
    return np.random.default_rng(seed).integers(0, 9, (*SHAPE, 3)).astype(dtype)


def together(source):
    """Return valid (n,), weights (n,) and the number of nodata rows of all cells."""
    n = source.grid.n_rows_total
    valid, weights, n_nodata = np.ones(n, bool), np.ones(n), 0
    for cell in range(len(source.grid)):
        block, here = source.read(cell), source.grid.row_index(cell)
        valid[here] = True if block.valid is None else block.valid
        weights[here] = 1.0 if block.weights is None else block.weights
        n_nodata += block.n_nodata
    return valid, weights, n_nodata


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_chunks_and_formats_give_the_same_rows(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("aligned")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    array = values()
    dtype = data.draw(st.sampled_from(["?", "u1", ">i2"]), "mask dtype")
    mask = rng.integers(0, 2, SHAPE).astype(dtype)
    keep = data.draw(st.sampled_from(["nonzero", "zero"]), "keep")
    frequencies = rng.integers(0, 4, SHAPE).astype(data.draw(st.sampled_from(["u1", ">f4", "f8"])))
    nodata = data.draw(st.sampled_from([None, 3, (3, 5)]), "nodata")

    def stored(array, name):
        chunks = tuple(data.draw(st.integers(3, n), f"chunks of {name}") for n in array.shape)
        if name != "a" and data.draw(st.booleans(), f"{name} as npy"):
            np.save(folder / f"{name}.npy", array)
            return str(folder / f"{name}.npy")
        return write(folder / name, array, chunks, zarr_format=2)

    source = open_source(
        "zarr",
        stored(array, "a"),
        mask=MaskOptions(stored(mask, "mask"), keep),
        weights=stored(frequencies, "weights"),
        nodata=nodata,
    )
    kept = ((mask != 0) if keep == "nonzero" else (mask == 0)).ravel()
    empty = np.isin(array, () if nodata is None else nodata).any(axis=-1).ravel()
    valid, weights, n_nodata = together(source)
    np.testing.assert_array_equal(valid, kept & ~empty)
    np.testing.assert_array_equal(weights, np.where(valid, frequencies.ravel(), 0))
    assert n_nodata == (kept & empty).sum()
    assert source.manifest().n_cells == len(source.grid)


def test_mask_and_weights_are_part_of_the_fingerprint(tmp_path):
    path = write(tmp_path / "a", values())
    ones = np.ones(SHAPE, "u1")
    mask, weights = write(tmp_path / "m", ones), write(tmp_path / "w", ones)
    found = [
        open_source("zarr", path).manifest(),
        open_source("zarr", path, mask=MaskOptions(mask)).manifest(),
        open_source("zarr", path, mask=MaskOptions(mask), weights=weights).manifest(),
    ]
    write(tmp_path / "w", ones, overwrite=True)
    found.append(open_source("zarr", path, mask=MaskOptions(mask), weights=weights).manifest())
    assert len({each.fingerprint for each in found}) == 4
    assert (found[2].mask, found[2].weights) == (mask, weights)
    assert found[2].stored_bytes > found[1].stored_bytes > found[0].stored_bytes


def test_what_does_not_fit_is_refused_before_anything_is_read(tmp_path):
    path = write(tmp_path / "a", values())
    small = write(tmp_path / "small", np.ones((9, 10), "u1"))
    real = write(tmp_path / "real", np.ones(SHAPE))
    words = write(tmp_path / "words", np.full(SHAPE, "a", dtype="S1"), zarr_format=2)
    with pytest.raises(
        ConfigurationError, match=r"source\.mask: .*/small has shape \(9, 10\), but"
    ):
        open_source("zarr", path, mask=MaskOptions(small))
    with pytest.raises(ConfigurationError, match=r"source\.weights: .*leading shape .* \(9, 11\);"):
        open_source("zarr", path, weights=small)
    with pytest.raises(ConfigurationError, match=r"/real has dtype float64; allowed are bool and"):
        open_source("zarr", path, mask=MaskOptions(real))
    with pytest.raises(ConfigurationError, match="found 'some'; allowed: nonzero, zero"):
        open_source("zarr", path, mask=MaskOptions(small, "some"))
    with pytest.raises(InputDataError, match="/words: has dtype"):
        open_source("zarr", path, weights=words)
    with pytest.raises(InputDataError, match="/nowhere: does not exist"):
        open_source("zarr", path, weights=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("kind", ["zarr", "npy"])
def test_weights_that_are_none_name_file_and_chunk(tmp_path, bad, kind):
    path = write(tmp_path / "a", values(), (9, 11, 3))
    weights = np.ones(SHAPE)
    weights[7, 8] = bad
    where = write(tmp_path / "w", weights, (3, 4))
    chunk = "chunk c/2/2"
    if kind == "npy":
        where, chunk = f"{where}.npy", r"the block at \(7, 8\)"
        np.save(where, weights)
    source = open_source("zarr", path, weights=where)
    with pytest.raises(InputDataError, match=rf"{where}: {chunk} holds .* {bad} at \(7, 8\)"):
        together(source)
    mask = np.ones(SHAPE, bool)
    mask[7, 8] = False
    masked = MaskOptions(write(tmp_path / "m", mask))
    valid, found, _ = together(open_source("zarr", path, weights=where, mask=masked))
    assert not valid.reshape(SHAPE)[7, 8]
    assert found.reshape(SHAPE)[7, 8] == 0


def test_a_damaged_mask_is_refused(tmp_path):
    path = write(tmp_path / "a", values())
    mask = MaskOptions(write(tmp_path / "m", np.ones(SHAPE, "u1"), (3, 4)))
    source = open_source("zarr", path, mask=mask)
    (tmp_path / "m/c/1/1").unlink()
    with pytest.raises(InputDataError, match=r"/m: 1 of 9 chunks are missing: c/1/1"):
        source.manifest()
    with pytest.raises(InputDataError, match=r"/m: chunk c/1/1 is missing"):
        source.read(0)


# --- no data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "attributes", "expected"),
    [
        ("u1", {"_FillValue": 3}, 3),
        ("u1", {"missing_value": 4}, 4),
        ("i2", {"nodata": 5, "missing_value": [4]}, 4),
        ("f4", {"_FillValue": base64.standard_b64encode(struct.pack("<d", 3.0)).decode()}, 3),
        ("f4", {"_FillValue": "NaN"}, None),
        ("u1", {"_FillValue": -9999}, None),
        ("f4", {"_FillValue": 1e300}, None),
        ("u1", {}, None),
    ],
)
def test_auto_is_what_the_array_declares(tmp_path, dtype, attributes, expected):
    """The array's own fill value (0, here as nearly everywhere) does not stand for no data."""
    array = values(dtype)
    path = write(tmp_path / "a", array, attributes=attributes)
    valid, _, n_nodata = together(open_source("zarr", path))
    empty = np.zeros(valid.shape, bool) if expected is None else (array == expected).any(-1).ravel()
    np.testing.assert_array_equal(valid, ~empty)
    assert n_nodata == empty.sum()
    assert together(open_source("zarr", path, nodata=None))[2] == 0


def test_nan_may_stand_for_no_data(tmp_path):
    array = values()
    array[array == 3] = np.nan
    path = write(tmp_path / "a", array)
    valid, _, n_nodata = together(open_source("zarr", path, nodata=float("nan")))
    assert n_nodata == np.isnan(array).any(axis=-1).sum() == (~valid).sum()


def test_no_data_that_cannot_occur_or_is_no_number(tmp_path):
    path = write(tmp_path / "a", values("u1"))
    for nodata in (-9999, 256, 0.5, (0, 300), float("nan")):
        with pytest.raises(ConfigurationError, match=r"source\.nodata: found .* cannot hold"):
            open_source("zarr", path, nodata=nodata)
    odd = write(tmp_path / "b", values("u1"), attributes={"_FillValue": "none"})
    with pytest.raises(
        ConfigurationError, match="attribute _FillValue = 'none', which is no number"
    ):
        open_source("zarr", odd)
    group = zarr.create_group(str(tmp_path / "g"))
    for name, nodata in (("red", 0), ("nir", 255)):
        group.create_array(name, shape=(4,), dtype="u1", attributes={"_FillValue": nodata})
    with pytest.raises(ConfigurationError, match=r"declare different values \(\[0, 255\]\)"):
        open_source("zarr", str(tmp_path / "g"), columns=("red", "nir"))
