"""NIfTI volumes as sources: what nibabel reads is what is read, whatever the file's form."""

from __future__ import annotations

import gzip
import os

import nibabel as nib
import numpy as np
import pytest

from dask_gmm.data import npy_array
from dask_gmm.data.sources import MaskOptions, open_source
from dask_gmm.errors import ConfigurationError, InputDataError, RunFailedError
from tests.volumes import AFFINE, write_nifti

RNG = np.random.default_rng(7)
VOLUME = RNG.integers(-300, 300, size=(7, 9, 5)).astype(np.int16)
SERIES = RNG.integers(0, 200, size=(6, 5, 4, 3)).astype(np.uint8)


def rows_of(source):
    """Put the cells together to (*leading, D)."""
    found = np.empty((*source.grid.shape, source.n_features), source.dtype)
    for cell in range(len(source.grid)):
        region = source.grid.region(cell)
        found[region] = source.read(cell).values.reshape(found[region].shape)
    return found


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("values", "options"),
    [
        (VOLUME, {}),
        (VOLUME, {"big_endian": True}),
        (VOLUME, {"version": 2}),
        (SERIES, {}),
        (VOLUME.astype(np.float64), {}),
        (VOLUME, {"slope": 0.25, "inter": -12.5}),
        (SERIES, {"slope": 2.0}),
    ],
)
def test_it_is_read_as_nibabel_reads_it(tmp_path, monkeypatch, name, values, options):
    monkeypatch.setattr(npy_array, "CELL_BYTES", 100)  # several cells
    path = tmp_path / name
    write_nifti(path, values, **options)
    source = open_source("nifti", str(path))
    assert len(source.grid) > 2
    expected = np.asanyarray(nib.load(path).dataobj)
    np.testing.assert_allclose(
        rows_of(source), expected.reshape(*values.shape[:3], -1), rtol=1e-6, atol=1e-5
    )
    assert source.grid.names == ("x", "y", "z")
    assert source.geometry.affine == tuple(map(tuple, nib.load(path).affine.tolist()))
    np.testing.assert_allclose(source.geometry.affine, AFFINE, atol=1e-5)
    assert source.geometry.axes[0].unit == "millimetre"
    assert source.geometry.pixel[1] == "millimetre^3"
    assert source.geometry.pixel[0] == pytest.approx(abs(np.linalg.det(AFFINE)), rel=1e-6)
    step = options.get("slope", 1.0) if values.dtype.kind in "iu" else 0.0
    assert source.feature_steps == (step,) * source.n_features


def test_the_fourth_axis_can_be_rows_and_some_of_it_features(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", SERIES)
    path = str(tmp_path / "a.nii.gz")
    every = open_source("nifti", path, feature_axis=None)
    assert (every.grid.shape, every.n_features) == (SERIES.shape, 1)
    np.testing.assert_array_equal(rows_of(every)[..., 0], SERIES)
    some = open_source("nifti", path, columns=(2, 0))
    np.testing.assert_array_equal(rows_of(some), SERIES[..., [2, 0]])
    assert open_source("nifti", path, feature_axis="t").n_features == 3


def test_masks_and_nodata_are_counted(tmp_path):
    write_nifti(tmp_path / "a.nii", SERIES)
    write_nifti(tmp_path / "mask.nii.gz", (SERIES[..., 0] > 100).astype(np.uint8))
    mask = MaskOptions(str(tmp_path / "mask.nii.gz"))
    value = int(SERIES[0, 0, 0, 1])
    source = open_source("nifti", str(tmp_path / "a.nii"), mask=mask, nodata=value)
    block = source.read(0)
    kept = (SERIES[..., 0] > 100).ravel()
    empty = (value == SERIES).any(axis=-1).ravel()
    np.testing.assert_array_equal(block.valid, kept & ~empty)
    assert block.n_nodata == (kept & empty).sum()


def test_a_truncated_or_changed_gz_names_file_and_plane(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_nifti(path, np.repeat(VOLUME, 50, axis=2))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    source = open_source("nifti", str(path))
    with pytest.raises(InputDataError, match=r"a\.nii\.gz: is truncated .* up to plane \d+ of 250"):
        source.read(0)
    changed = bytearray(whole)
    changed[-6] ^= 1  # the checksum
    path.write_bytes(changed)
    with pytest.raises(InputDataError, match="CRC"):
        open_source("nifti", str(path)).read(0)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-10]))
    with pytest.raises(InputDataError, match="is too short"):
        open_source("nifti", str(path)).read(0)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputDataError, match="does not exist"):
        open_source("nifti", str(tmp_path / "none.nii"))
    (tmp_path / "a.nii").write_bytes(b"nothing")
    with pytest.raises(InputDataError, match="is no NIfTI volume"):
        open_source("nifti", str(tmp_path / "a.nii"))
    write_nifti(tmp_path / "b.nii", VOLUME)
    os.truncate(tmp_path / "b.nii", 500)
    with pytest.raises(InputDataError, match="is truncated"):
        open_source("nifti", str(tmp_path / "b.nii"))
    with pytest.raises(ConfigurationError, match="must be a local file"):
        open_source("nifti", "s3://bucket/a.nii")


def test_unpacking_leaves_no_file_and_a_full_disk_is_named(tmp_path, monkeypatch):
    write_nifti(tmp_path / "a.nii.gz", VOLUME)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    source = open_source("nifti", str(tmp_path / "a.nii.gz"))
    source.read(0)
    assert not list(temporary.iterdir())
    write_nifti(tmp_path / "b.nii.gz", VOLUME)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/dev/full", "w+b"))  # noqa: PTH123, SIM115
    with pytest.raises(RunFailedError, match=r"cannot be unpacked .*No space left.* set TMPDIR"):
        open_source("nifti", str(tmp_path / "b.nii.gz")).read(0)
