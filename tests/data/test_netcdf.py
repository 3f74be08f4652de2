"""NetCDF as sources: what xarray decodes is what is read; values for no data are counted."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray as xr

from dask_gmm.data import netcdf_array
from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError

RNG = np.random.default_rng(3)
SHAPE = (4, 6, 10)
STORED = {
    "sst": RNG.integers(-100, 100, SHAPE).astype(np.int16),
    "chl": RNG.normal(size=SHAPE).astype(np.float32),
    "ice": RNG.integers(0, 101, SHAPE).astype(np.int8),
}
SAID = {
    "sst": {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-99)},
    "chl": {"_FillValue": np.float32(-999.0)},
    "ice": {"_FillValue": np.int8(100), "scale_factor": 0.5},
}


def write_sea(
    path, stored=STORED, said=SAID, *, form="NETCDF4", chunks=None, dims=("time", "lat", "lon")
):
    with netCDF4.Dataset(path, "w", format=form) as dataset:
        for dim, n in zip(dims, SHAPE, strict=True):
            dataset.createDimension(dim, n)
        lon = dataset.createVariable("lon", "f8", (dims[2],))
        lon.units, lon.standard_name = "degrees_east", "longitude"
        lon[:] = np.linspace(-10, 35, SHAPE[2])
        for name, values in stored.items():
            own = dict(said[name])
            options = {"chunksizes": chunks, "zlib": True} if chunks else {}
            variable = dataset.createVariable(
                name, values.dtype, dims, fill_value=own.pop("_FillValue", None), **options
            )
            variable.set_auto_maskandscale(False)
            variable.setncatts(own)
            variable[...] = values
    return path


def rows_of(source):
    found = np.empty((*source.grid.shape, source.n_features), source.dtype)
    valid = np.ones(source.grid.shape, bool)
    for cell in range(len(source.grid)):
        region, block = source.grid.region(cell), source.read(cell)
        found[region] = block.values.reshape(found[region].shape)
        if block.valid is not None:
            valid[region] = block.valid.reshape(valid[region].shape)
    return found, valid


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_64BIT_OFFSET"])
@pytest.mark.parametrize("chunks", [None, (1, 3, 4)])
def test_several_variables_are_features_as_xarray_decodes_them(tmp_path, monkeypatch, form, chunks):
    if chunks and form.startswith("NETCDF3"):
        pytest.skip("the classic format has no chunks")
    monkeypatch.setattr(netcdf_array, "CELL_BYTES", 300)
    path = write_sea(tmp_path / "a.nc", form=form, chunks=chunks)
    source = open_source("netcdf", str(path), columns=("sst", "chl", "ice"))
    found, valid = rows_of(source)
    with xr.open_dataset(path, engine="netcdf4") as known:
        expected = np.stack([known[n].values for n in ("sst", "chl", "ice")], axis=-1)
    assert len(source.grid) > 2
    np.testing.assert_array_equal(valid, ~np.isnan(expected).any(axis=-1))
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-6)
    assert source.feature_names == ("sst", "chl", "ice")
    assert source.feature_steps == (0.01, 0.0, 0.5)
    assert source.grid.names == ("time", "lat", "lon")
    n_nodata = sum(source.read(cell).n_nodata for cell in range(len(source.grid)))
    assert n_nodata == (~valid).sum() > 0


def test_an_axis_by_name_holds_the_features_and_unpacked_integers_stay_integers(tmp_path):
    path = write_sea(
        tmp_path / "a.nc", {"ice": STORED["ice"]}, {"ice": {}}, dims=("band", "y", "lon")
    )
    source = open_source("netcdf", str(path), feature_axis="band")
    assert (source.dtype, source.n_features) == (np.dtype(np.int8), SHAPE[0])
    found, valid = rows_of(source)
    np.testing.assert_array_equal(found, np.moveaxis(STORED["ice"], 0, -1))
    assert valid.all()
    one = open_source("netcdf", str(path), variable="ice", feature_axis=None)
    assert (one.grid.shape, one.feature_names) == (SHAPE, ("ice",))


def test_unsigned_and_what_was_never_written(tmp_path):
    stored = {"a": np.array([-1, 5, 0], np.int16)}
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as dataset:
        dataset.createDimension("n", 4)
        variable = dataset.createVariable("a", "i2", ("n",))
        variable.set_auto_maskandscale(False)
        variable.setncattr("_Unsigned", "true")
        variable[:3] = stored["a"]
    source = open_source("netcdf", str(tmp_path / "a.nc"), feature_axis=None)
    block = source.read(0)
    assert block.values[:3, 0].tolist() == [65535, 5, 0]
    assert block.valid.tolist() == [True, True, True, False]  # the format's own fill value


def test_nodata_of_the_configuration_is_in_stored_units(tmp_path):
    path = str(write_sea(tmp_path / "a.nc"))
    value = int(STORED["sst"].flat[0])
    source = open_source("netcdf", path, variable="sst", feature_axis=None, nodata=value)
    np.testing.assert_array_equal(source.read(0).valid, STORED["sst"].ravel() != value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"source.variable: found null, but .* holds the variables sst, chl, ice"),
        ({"variable": "sts"}, r"found 'sts'.*; did you mean 'sst'\?"),
        ({"columns": ("sst", "cl")}, r"source.columns: found 'cl'.*; did you mean 'chl'\?"),
        ({"columns": ("sst", "sst")}, "twice"),
        ({"columns": ("sst",), "feature_axis": "lat"}, "found 'lat', but source.columns names"),
        ({"variable": "sst", "feature_axis": "bands"}, "names its axes"),
        ({"variable": "sst"}, "is one of space or time; set null for one feature"),
        (
            {"variable": "sst", "feature_axis": None, "nodata": -99999},
            r"source.nodata: found -99999.* cannot hold; .* before scale and offset",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, said):
    path = str(write_sea(tmp_path / "a.nc"))
    with pytest.raises(ConfigurationError, match=said):
        open_source("netcdf", path, **options)


def test_features_must_share_their_dimensions(tmp_path):
    path = write_sea(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createVariable("map", "f4", ("lat", "lon"))[...] = 1
    with pytest.raises(ConfigurationError, match=r"must share their dimensions"):
        open_source("netcdf", str(path), columns=("sst", "map"))


def test_a_bad_chunk_names_file_variable_and_chunk(tmp_path):
    values = {"chl": RNG.normal(size=SHAPE).astype(np.float32)}
    path = write_sea(tmp_path / "a.nc", values, {"chl": {}}, chunks=(1, 6, 10))
    source = open_source("netcdf", str(path), variable="chl", feature_axis=None)
    content = path.read_bytes()
    packed = [i for i in range(len(content) - 1) if content[i : i + 2] == b"\x78\x5e"]
    packed = packed or [i for i in range(len(content) - 1) if content[i] == 0x78]
    spoiled = bytearray(content)
    spoiled[packed[2] + 10 : packed[2] + 60] = bytes(50)
    path.write_bytes(spoiled)
    with pytest.raises(InputDataError, match=r"a\.nc: chl: chunk \(\d, 0, 0\) cannot be decoded"):
        list(map(source.read, range(len(source.grid))))


def test_a_file_that_is_none_or_vanishes(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"nothing")
    with pytest.raises(InputDataError, match="is no NetCDF file"):
        open_source("netcdf", str(tmp_path / "a.nc"))
    with pytest.raises(InputDataError, match="does not exist"):
        open_source("netcdf", str(tmp_path / "b.nc"))
    path = write_sea(tmp_path / "c.nc")
    source = open_source("netcdf", str(path), variable="chl", feature_axis=None)
    path.unlink()
    with pytest.raises(InputDataError, match=r"c\.nc: cannot be read"):
        source.read(0)
