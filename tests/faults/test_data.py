"""Bad values among many good rows: masked, counted, and nothing else changes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from dask_gmm import GaussianMixture
from tests.run.conftest import dask_gmm, picture, project  # noqa: F401  fixtures
from tests.run.test_faults import has_no_result, when_workers_start  # noqa: F401  a fixture

N = 1000
CHUNK = 250
LABELS = {"probabilities": None, "uncertainty": None, "log_density": None}


def two_groups():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, N, 2)).astype("f4")
    values[:, N // 3 :] += 8
    return values


def run(project, dask_gmm, values):  # noqa: F811
    project.array(values, (CHUNK, N, 2))
    config = project.config(
        model={"n_components": 2, "n_init": 1}, outputs=LABELS, if_exists="overwrite"
    )
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    mixture = GaussianMixture.load(project.run_dir)
    for found in (mixture.weights_, mixture.means_, mixture.covariances_):
        assert np.isfinite(found).all()
    return mixture, project.output("labels"), project.manifest()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_row_of_a_million(project, dask_gmm, bad):  # noqa: F811
    values = two_groups()
    values[617, 42, 1] = bad
    mixture, labels, manifest = run(project, dask_gmm, values)
    assert manifest["rows"]["total"] == 1_000_000
    assert manifest["rows"]["invalid"] == manifest["rows"]["masked"] == 1
    assert "1 of 1,000,000 rows hold NaN or infinity and were masked." in manifest["warnings"]
    assert np.argwhere(labels == 0).tolist() == [[617, 42]]
    np.testing.assert_allclose(mixture.weights_, [2 / 3, 1 / 3], atol=1e-3)


def test_a_chunk_of_nothing_but_nan(project, dask_gmm):  # noqa: F811
    values = two_groups()
    values[CHUNK : 2 * CHUNK] = np.nan
    mixture, labels, manifest = run(project, dask_gmm, values)
    assert manifest["rows"]["invalid"] == CHUNK * N
    assert ((labels == 0) == np.isnan(values[..., 0])).all()
    # The model is that of the other rows, wherever they lie.
    others, _, _ = run(project, dask_gmm, np.delete(values, np.s_[CHUNK : 2 * CHUNK], axis=0))
    np.testing.assert_allclose(mixture.means_, others.means_, atol=0.02)
    np.testing.assert_allclose(mixture.covariances_, others.covariances_, atol=0.02)


def test_flipped_bits_are_found_or_it_is_said_that_they_cannot_be(project, dask_gmm):  # noqa: F811
    from zarr.codecs import BloscCodec, Crc32cCodec

    lz4 = BloscCodec(cname="lz4")
    chunk = project.path / "data/toy.zarr/c/1/0/0"
    values = np.random.default_rng(0).normal(size=(40, 60, 3))
    for codecs, noticed in (([lz4, Crc32cCodec()], True), ([lz4], False)):
        project.array(values, (20, 60, 3), compressors=codecs)
        _, out, _ = dask_gmm("validate", project.config())
        assert ("warning: source.path: the input is stored without checksums" in out) != noticed
        assert ("nothing can tell whether bits have changed" in out) != noticed
        plan = dask_gmm("plan", project.config())[1]
        assert ("warning: source.path: the input is stored without" in plan) != noticed
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 0x01
        chunk.write_bytes(content)
        code, _, err = dask_gmm("run", project.config(if_exists="overwrite"))
        assert code == (3 if noticed else 0), err
        if noticed:
            assert f"error: {project.path}/data/toy.zarr: chunk c/1/0/0 " in err
            assert not (project.run_dir / "manifest.json").exists()
    assert project.manifest()["inputs"][0]["checksums"] is False
    assert "none: nothing can tell whether bits" in (project.run_dir / "report.html").read_text()


def test_an_output_directory_that_goes_away_midway(picture, dask_gmm, when_workers_start):  # noqa: F811
    """Where no disk can be made read-only: something else stands where the run was writing."""
    partial = picture.run_dir / ".partial"

    def replace():
        shutil.rmtree(partial)
        partial.write_text("in the way")

    when_workers_start(replace)
    code, out, err = dask_gmm("run", picture.config())
    assert code == 1
    assert not out
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {partial}/")
    assert "cannot be written (Not a directory)" in last
    assert has_no_result(picture)
