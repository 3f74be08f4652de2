"""Volumes through the command: results in the input's own format and place, by its library."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import netCDF4
import nibabel as nib
import numpy as np
import pytest
import xarray as xr
import zarr
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v05 import ImageLabel

from dask_gmm import GaussianMixture
from dask_gmm.data import npy_array
from dask_gmm.data.sinks.joined import OneFile
from dask_gmm.data.sinks.ome_zarr import Pyramid
from pipelines import segment_volume
from tests.volumes import quietly, write_nifti, write_ome_zarr

from .conftest import blobs

SHAPE = (12, 14, 10)
ROOT = Path(__file__).parents[2]


def outputs(suffix):
    return {
        "labels": {"path": f"labels{suffix}"},
        "probabilities": {"path": f"probabilities{suffix}"},
        "uncertainty": {"path": f"uncertainty{suffix}"},
        "log_density": None,
    }


def rows_and_labels(run_dir, values, masked):
    """Return what the model that was saved says of the input, 0 where masked."""
    model = GaussianMixture.load(run_dir)
    labels = quietly(model.predict, values.reshape(-1, values.shape[-1])) + 1
    labels = labels.reshape(values.shape[:-1])
    return np.where(masked, 0, labels)


# --- NIfTI ---------------------------------------------------------------------------------------


@pytest.fixture
def head(project, monkeypatch):
    """A volume of two contrasts, packed with a slope, an oblique affine, and zeros around it."""
    monkeypatch.setattr(npy_array, "CELL_BYTES", 2000)
    stored = blobs(SHAPE, n_features=2)
    stored[:2] = 0
    write_nifti(project.path / "data/head.nii.gz", stored, slope=0.5, inter=10.0, version=1)
    project.values = stored * 0.5 + 10
    return project


def nifti(project, **sections):
    source = {"kind": "nifti", "path": "data/head.nii.gz", "mask": {"path": "data/mask.nii"}}
    write_nifti(project.path / "data/mask.nii", (project.values[..., 0] > 10).astype(np.uint8))
    return project.config(source=source, outputs=outputs(".nii.gz"), **sections)


def test_a_volume_comes_back_in_its_place(head, dask_gmm):
    config = nifti(head, standardize=False)
    assert dask_gmm("validate", config)[0] == 0
    assert dask_gmm("plan", config)[0] == 0
    code, _, err = dask_gmm("run", config, "--set", "outputs.uncertainty.path=uncertainty.nii")
    assert code == 0, err
    source = nib.load(head.path / "data/head.nii.gz")
    found = {
        name: nib.load(head.run_dir / path)
        for name, path in {
            "labels": "labels.nii.gz",
            "probabilities": "probabilities.nii.gz",
            "uncertainty": "uncertainty.nii",
        }.items()
    }
    for image in found.values():
        np.testing.assert_array_equal(image.affine, source.affine)
        for code in ("qform_code", "sform_code"):
            assert image.header[code] == source.header[code]
        assert image.header.get_xyzt_units() == source.header.get_xyzt_units()
        assert image.header.get_zooms()[:3] == source.header.get_zooms()[:3]
        assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    labels = np.asanyarray(found["labels"].dataobj)
    masked = head.values[..., 0] <= 10
    assert labels.dtype == np.uint8
    assert found["labels"].header.get_intent()[0] == "label"
    np.testing.assert_array_equal(labels, rows_and_labels(head.run_dir, head.values, masked))
    probabilities = np.asanyarray(found["probabilities"].dataobj)
    assert probabilities.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(np.isnan(probabilities[..., 0]), masked)
    np.testing.assert_array_equal(probabilities[~masked].argmax(-1) + 1, labels[~masked])
    manifest = head.manifest()
    assert manifest["rows"]["masked"] == masked.sum()
    assert manifest["inputs"][0]["geometry"]["affine"] == source.affine.tolist()
    # The step between two stored values is half a unit: its rounding is the floor.
    assert manifest["model"]["reg_covar"] == pytest.approx([0.25 / 12] * 2)
    code, _, _ = dask_gmm("verify", head.run_dir)
    assert code == 0
    (head.run_dir / "labels.nii.gz").write_bytes(b"other")
    assert dask_gmm("verify", head.run_dir)[0] == 1


def test_a_volume_can_become_zarr_and_npy(head, dask_gmm):
    config = nifti(head)
    kinds = {"labels": ("zarr", "l.zarr"), "uncertainty": ("npy", "u.npy")}
    sets = [
        f"outputs.{name}={{kind: {kind}, path: {path}}}" for name, (kind, path) in kinds.items()
    ]
    code, _, err = dask_gmm("run", config, *(each for one in sets for each in ("--set", one)))
    assert code == 0, err
    labels = zarr.open_array(str(head.run_dir / "l.zarr"), mode="r")
    assert labels.metadata.dimension_names == ("x", "y", "z")
    probabilities = nib.load(head.run_dir / "probabilities.nii.gz").get_fdata()
    valid = labels[...] > 0
    np.testing.assert_array_equal(probabilities[valid].argmax(-1) + 1, labels[...][valid])
    np.testing.assert_array_equal(np.isnan(np.load(head.run_dir / "u.npy")), ~valid)
    assert dask_gmm("verify", head.run_dir)[0] == 0


def test_a_truncated_volume_ends_in_3_and_names_the_plane(head, dask_gmm):
    config = nifti(head)
    path = head.path / "data/head.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    code, _, err = dask_gmm("run", config)
    assert code == 3
    assert f"{path}: is truncated or corrupt" in err.splitlines()[-1]
    assert "up to plane" in err.splitlines()[-1]
    assert not (head.run_dir / "manifest.json").exists()


def test_a_name_that_says_no_format_is_refused_before_anything_is_read(head, dask_gmm):
    config = nifti(head)
    code, _, err = dask_gmm("plan", config, "--set=outputs.labels.path=labels.zarr")
    assert code == 2
    assert "outputs.labels: found path 'labels.zarr'; the name of a NIfTI volume ends in" in err


@pytest.mark.parametrize(
    ("kind", "module", "extra"), [("nifti", "nibabel", "bio"), ("netcdf", "netCDF4", "netcdf")]
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    project, dask_gmm, monkeypatch, kind, module, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    source = {"kind": kind, "path": "data/a.nii"}
    code, _, err = dask_gmm("run", project.config(source=source, outputs=outputs(".x")))
    assert code == 2
    assert f"pip install 'dask-gmm[{extra}]'" in err


# --- NetCDF --------------------------------------------------------------------------------------


@pytest.fixture
def sea(project):
    """Two packed variables with fill values, time, a map of longitudes, and a projection."""
    path = project.path / "data/sea.nc"
    path.parent.mkdir()
    values = blobs((3, 20, 30), n_features=2).astype(np.int16)
    values[0, :4] = -99
    with netCDF4.Dataset(path, "w") as dataset:
        for dim, n in zip(("time", "y", "x", "nv"), (3, 20, 30, 2), strict=True):
            dataset.createDimension(dim, n)
        time = dataset.createVariable("time", "i4", ("time",))
        time.setncatts({"units": "days since 2001-01-01", "bounds": "time_bnds", "axis": "T"})
        time[:] = [10, 20, 30]
        dataset.createVariable("time_bnds", "f8", ("time", "nv"))[:] = [[5, 15], [15, 25], [25, 35]]
        y = dataset.createVariable("y", "f4", ("y",))
        y.setncatts({"units": "km", "axis": "Y"})
        y[:] = np.arange(20) * 2.5
        lat = dataset.createVariable("lat", "f8", ("y", "x"))
        lat.units = "degrees_north"
        lat[:] = np.arange(600).reshape(20, 30) / 7
        crs = dataset.createVariable("crs", "i4", ())
        crs.grid_mapping_name = "polar_stereographic"
        for i, name in enumerate(("sst", "salt")):
            variable = dataset.createVariable(name, "i2", ("time", "y", "x"), fill_value=-99)
            variable.set_auto_maskandscale(False)
            variable.setncatts(
                {
                    "scale_factor": 0.1,
                    "add_offset": 5.0 * i,
                    "units": "K",
                    "coordinates": "lat",
                    "grid_mapping": "crs",
                    "valid_range": np.array([0, 300], np.int16),
                }
            )
            variable[...] = values[..., i]
    with xr.open_dataset(path, engine="netcdf4") as known:
        project.values = np.stack([known.sst.values, known.salt.values], axis=-1)
    return project


def netcdf(project, **sections):
    source = {"kind": "netcdf", "path": "data/sea.nc", "columns": ["sst", "salt"]}
    return project.config(source=source, outputs=outputs(".nc"), **sections)


def test_netcdf_comes_back_with_its_coordinates_and_without_its_packing(sea, dask_gmm):
    code, _, err = dask_gmm("run", netcdf(sea))
    assert code == 0, err
    masked = np.isnan(sea.values).any(axis=-1)
    with (
        xr.open_dataset(sea.path / "data/sea.nc", decode_times=False, engine="netcdf4") as source,
        xr.open_dataset(sea.run_dir / "labels.nc", decode_times=False, engine="netcdf4") as found,
        xr.open_dataset(sea.run_dir / "probabilities.nc", engine="netcdf4") as p,
    ):
        for name in ("time", "time_bnds", "y", "lat", "crs"):
            xr.testing.assert_identical(found[name].drop_vars("lat", errors="ignore"),
                                        source[name].drop_vars("lat", errors="ignore"))  # fmt: skip
            assert found[name].dtype == source[name].dtype
        labels = found.labels
        assert labels.dims == ("time", "y", "x")
        assert labels.dtype == np.uint8  # decoded: nothing of the input's packing clings to it
        assert "lat" in labels.coords
        said = {**labels.attrs, **labels.encoding}
        assert said["grid_mapping"] == "crs"
        assert not {"scale_factor", "add_offset", "_FillValue", "valid_range"} & said.keys()
        np.testing.assert_array_equal(
            labels.values, rows_and_labels(sea.run_dir, np.nan_to_num(sea.values), masked)
        )
        assert p.probabilities.dims == ("time", "y", "x", "component")
        np.testing.assert_array_equal(np.isnan(p.probabilities.values[..., 0]), masked)
        np.testing.assert_array_equal(p.component.values, [1, 2, 3])
    assert sea.manifest()["rows"]["nodata"] == masked.sum() > 0
    assert sea.manifest()["feature_names"] == ["sst", "salt"]
    assert dask_gmm("verify", sea.run_dir)[0] == 0


def test_a_refusal_of_the_netcdf_library_ends_with_1_and_the_place(sea, dask_gmm, monkeypatch):
    def full(*arguments):
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr("dask_gmm.data.sinks.netcdf._copy_coordinates", full)
    code, _, err = dask_gmm("run", netcdf(sea))
    assert code == 1
    assert "a NetCDF file cannot be written there (NetCDF: HDF error)" in err
    assert "this was not foreseen" not in err
    assert not (sea.run_dir / "manifest.json").exists()


def bytes_of_probabilities(suffix):
    return {
        "labels": {"path": f"labels{suffix}"},
        "probabilities": {"path": f"p{suffix}", "dtype": "uint8"},
        "uncertainty": None,
        "log_density": None,
    }


def test_bytes_read_as_probabilities_in_netcdf(sea, dask_gmm):
    source = {"kind": "netcdf", "path": "data/sea.nc", "columns": ["sst", "salt"]}
    config = sea.config(source=source, outputs=bytes_of_probabilities(".nc"))
    assert dask_gmm("run", config)[0] == 0
    masked = np.isnan(sea.values).any(axis=-1)
    with xr.open_dataset(sea.run_dir / "p.nc", engine="netcdf4") as found:
        p = found.probabilities.values
    np.testing.assert_array_equal(np.isnan(p).all(axis=-1), masked)
    np.testing.assert_allclose(p[~masked].sum(axis=-1), 1.0, atol=3 / 254)


def test_bytes_read_as_probabilities_in_nifti(head, dask_gmm):
    source = {"kind": "nifti", "path": "data/head.nii.gz"}
    config = head.config(source=source, outputs=bytes_of_probabilities(".nii.gz"))
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    p = nib.load(head.run_dir / "p.nii.gz").get_fdata()
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, atol=3 / 254)


def test_bytes_tell_their_scale_in_ome_zarr(cells, dask_gmm):
    config = ome_zarr(cells)
    settings = ["--set=outputs.probabilities.dtype=uint8"]
    assert dask_gmm("run", config, *settings)[0] == 0
    group = zarr.open_group(str(cells.run_dir / "probabilities.zarr"), mode="r")
    for level in "01":
        said = dict(group[level].attrs)
        assert (said["scale_factor"], said["_FillValue"]) == (pytest.approx(1 / 254), 255)


def test_a_variable_that_is_not_there_ends_in_2(sea, dask_gmm):
    code, _, err = dask_gmm("run", netcdf(sea), "--set", "source.columns=[sst, sallt]")
    assert code == 2
    assert "found 'sallt'" in err
    assert "did you mean 'salt'?" in err


# --- OME-Zarr ------------------------------------------------------------------------------------


@pytest.fixture
def cells(project):
    values = blobs((2, 6, 40, 300), n_features=3)
    laid = np.moveaxis(values, -1, 1)
    (project.path / "data").mkdir()
    write_ome_zarr(
        project.path / "data/cells.zarr",
        laid,
        "tczyx",
        version="0.4",
        chunks=(1, 3, 4, 32, 100),
        labels=("DAPI", "GFP", "RFP"),
    )
    project.values = values
    return project


def ome_zarr(project, **sections):
    source = {"kind": "ome-zarr", "path": "data/cells.zarr", "columns": ["RFP", "DAPI"]}
    return project.config(source=source, outputs=outputs(".zarr"), **sections)


def test_an_image_comes_back_as_labels_that_the_models_accept(cells, dask_gmm):
    code, _, err = dask_gmm("run", ome_zarr(cells))
    assert code == 0, err
    for name in ("labels", "probabilities", "uncertainty"):
        group = zarr.open_group(str(cells.run_dir / f"{name}.zarr"), mode="r")
        assert isinstance(quietly(open_ome_zarr, group), ImageLabel) == (name == "labels")
        said = group.attrs["ome"]["multiscales"][0]
        axes = {axis["name"]: (axis.get("type"), axis.get("unit")) for axis in said["axes"]}
        expected = {"t": ("time", "second"), **dict.fromkeys("zyx", ("space", "micrometer"))}
        assert axes == expected | ({"c": ("channel", None)} if name == "probabilities" else {})
        scale, moved = said["datasets"][0]["coordinateTransformations"]
        names = list(axes)
        assert [scale["scale"][names.index(n)] for n in "tzyx"] == [1.5, 2.0, 0.5, 0.5]
        assert [moved["translation"][names.index(n)] for n in "tzyx"] == [0, 7, 3, -2]
        assert group["1"].shape[-2:] == (20, 150)
    labels = zarr.open_group(str(cells.run_dir / "labels.zarr"), mode="r")
    found = labels["0"][...]
    chosen = cells.values[..., [2, 0]]
    np.testing.assert_array_equal(
        found, rows_and_labels(cells.run_dir, chosen, np.zeros(found.shape, bool))
    )
    np.testing.assert_array_equal(labels["1"][...], found[..., ::2, ::2])
    shown = labels.attrs["ome"]["image-label"]["colors"]
    assert [each["label-value"] for each in shown] == [0, 1, 2, 3]
    assert len({tuple(each["rgba"]) for each in shown}) == 4
    assert cells.manifest()["feature_names"] == ["RFP", "DAPI"]
    assert dask_gmm("verify", cells.run_dir)[0] == 0


@pytest.mark.parametrize("how", ["typo", "gone", "corrupt"])
def test_what_is_wrong_with_an_image_is_named(cells, dask_gmm, how):
    config, chunk = ome_zarr(cells), cells.path / "data/cells.zarr/s0/1/0/0/1/2"
    if how == "typo":
        code, _, err = dask_gmm("run", config, "--set", "source.columns=[RFP, DAPY]")
        assert (code, "did you mean 'DAPI'?" in err) == (2, True)
        return
    content = chunk.read_bytes()
    chunk.unlink()
    if how == "corrupt":
        chunk.write_bytes(content[: len(content) // 2])
    code, _, err = dask_gmm("run", config)
    assert code == 3
    assert "data/cells.zarr/s0: " in err.splitlines()[-1]
    assert "1/0/0/1/2" in err.splitlines()[-1]


# --- Ended in the middle -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixture", "configured", "work", "suffix"),
    [
        ("head", nifti, OneFile, ".nii.gz"),
        ("sea", netcdf, OneFile, ".nc"),
        ("cells", ome_zarr, Pyramid, ".zarr"),
    ],
)
def test_a_run_that_ends_while_results_are_joined_goes_on_to_the_same_bytes(
    request, dask_gmm, monkeypatch, fixture, configured, work, suffix
):
    project = request.getfixturevalue(fixture)
    config = configured(project)
    whole = work.join
    calls = []

    def join(piece):
        calls.append(piece)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        whole(piece)

    monkeypatch.setattr(work, "join", join)
    code, _, err = dask_gmm("run", config)
    assert code == 1, err
    assert not (project.run_dir / "manifest.json").exists()
    assert not (project.run_dir / f"labels{suffix}").exists()
    monkeypatch.setattr(work, "join", whole)
    assert dask_gmm("run", config)[0] == 0
    there = {path.name for path in project.run_dir.iterdir()}
    assert not [name for name in there if "parts" in name]
    resumed = contents(project.run_dir, suffix)
    assert dask_gmm("run", config, "--set", "run_dir=runs/undisturbed")[0] == 0
    assert resumed == contents(project.path / "runs/undisturbed", suffix)


def contents(run_dir, suffix):
    files = (path for path in run_dir.rglob("*") if path.is_file())
    return {
        str(path.relative_to(run_dir)): path.read_bytes()
        for path in files
        if path.relative_to(run_dir).parts[0].endswith(suffix)
    }


# --- Real volumes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "name"),
    [("mri", "ch2better.nii.gz"), ("ocean", "levitus_climatology.cdf"), ("microscopy", None)],
)
def test_a_configuration_runs_end_to_end(tmp_path, monkeypatch, config, name):
    if name is not None:
        folder, package = segment_volume.FILES[name]
        if not Path(folder, name).exists():
            pytest.skip(f"needs {folder}/{name}: apt-get install {package}")
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / f"configs/{config}.yaml", tmp_path)
    assert segment_volume.main([f"{config}.yaml"]) == 0
    run_dir = tmp_path / "runs" / config
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["fit"]["converged"]
    rows = manifest["rows"]
    if config == "mri":
        source, found = nib.load(f"data/{name}"), nib.load(run_dir / "labels.nii.gz")
        np.testing.assert_array_equal(found.affine, source.affine)
        assert found.header.get_zooms() == source.header.get_zooms()
        labels = np.asanyarray(found.dataobj)
        np.testing.assert_array_equal(labels == 0, np.asanyarray(source.dataobj) == 0)
    elif config == "ocean":
        with (
            xr.open_dataset(f"data/{name}", engine="netcdf4") as source,
            xr.open_dataset(run_dir / "labels.nc", engine="netcdf4") as found,
        ):
            for coordinate in source.TEMP.coords.values():
                xr.testing.assert_identical(found[coordinate.name], coordinate)
            labels = found.labels.values
            land = np.isnan(source.TEMP.values) | np.isnan(source.SALT.values)
            np.testing.assert_array_equal(labels == 0, land)
    else:
        group = zarr.open_group(str(run_dir / "labels.ome.zarr"), mode="r")
        assert isinstance(quietly(open_ome_zarr, group), ImageLabel)
        labels = group["0"][...]
    assert rows["masked"] == (labels == 0).sum()
    assert rows["total"] == labels.size
