"""Runs over arrays of every kind: stores, bands, npy, masks and weights, through the command."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
import zarr
from safetensors.numpy import load_file
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured
from tests.object_store import CREDENTIALS

from .conftest import blobs
from .test_faults import has_no_result
from .test_memory import peaks  # noqa: F401  a fixture

TIGHT = {"n_components": 3, "n_init": 2, "tol": 1e-14, "max_iter": 300, "reg_covar": 1e-6}


def model_bits(run_dir):
    """Return the bytes of every array of the model; the file's metadata name the input."""
    arrays = load_file(run_dir / "model.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def parameters(run_dir):
    model = GaussianMixture.load(run_dir)
    return model.weights_, model.means_, model.covariances_


def in_memory(rows, weights=None):
    """Fit scikit-learn's way; components in label order."""
    model = GaussianMixture(**TIGHT, standardize=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, sample_weight=weights)
    order = np.argsort(-model.weights_)
    return model.weights_[order], model.means_[order], model.covariances_[order]


def assert_same_model(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


# --- S3 ------------------------------------------------------------------------------------------


def test_a_run_from_s3_gives_the_bits_of_the_local_copy_and_tells_no_secret(s3, project):
    project.array(blobs((40, 60)), (20, 24, 3), shards=(20, 48, 3))
    url = s3.put(project.path / "data/toy.zarr", "toy.zarr")
    cluster = {"kind": "local", "n_workers": 2, "memory_limit": "2GiB"}
    options = {
        "key": "${PLANTED_KEY}",
        "secret": CREDENTIALS["secret"],
        "client_kwargs": {"endpoint_url": s3.endpoint},
    }
    source = {"path": url, "storage_options": options}
    remote = project.config(source=source, cluster=cluster, run_dir="runs/remote")
    local = project.config(name="local.yaml")
    environment = {**os.environ, "PLANTED_KEY": CREDENTIALS["key"]}
    code, out, err = project.command("run", remote, "--json", "--log-format=json", env=environment)
    assert code == 0, err
    assert project.command("run", local)[0] == 0
    run_dir = project.path / "runs/remote"
    assert model_bits(run_dir) == model_bits(project.run_dir)
    np.testing.assert_array_equal(
        project.output("labels", run_dir), project.output("labels", project.run_dir)
    )
    assert project.manifest(run_dir)["inputs"][0]["path"] == url
    written = b"".join(path.read_bytes() for path in run_dir.rglob("*") if path.is_file())
    for secret in CREDENTIALS.values():
        assert secret not in out + err
        assert secret.encode() not in written
    assert s3.endpoint.encode() not in written
    again = project.command("run", remote, env=environment)
    assert (again[0], "nothing to do" in again[2]) == (0, True)


@pytest.mark.parametrize("how", ["no credentials", "no bucket", "unreachable", "missing chunk"])
def test_a_store_that_cannot_be_read_ends_in_exit_3(s3, picture, dask_gmm, how):
    url = s3.put(picture.path / "data/toy.zarr", "toy.zarr")
    options, said = s3.options, how
    if how == "no credentials":
        options, said = {"client_kwargs": options["client_kwargs"]}, "no credentials were found"
    elif how == "no bucket":
        url, said = "s3://no-such-bucket/toy.zarr", "no such bucket"
    elif how == "unreachable":
        options = {**options, "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
        said = "cannot be reached"
    else:
        s3.fs.rm(f"{s3.bucket}/toy.zarr/c/0/1/0")
        said = "1 of 6 chunks are missing: c/0/1/0"
    source = {"path": url, "storage_options": options}
    code, out, err = dask_gmm("run", picture.config(source=source))
    assert code == 3
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {url}: ")
    assert said in last
    assert not out
    assert has_no_result(picture)
    assert CREDENTIALS["secret"] not in err


def test_a_chunk_that_is_bad_on_a_worker_ends_in_exit_3_and_tells_no_secret(s3, project):
    project.array(blobs((40, 60)), (20, 24, 3), shards=(20, 48, 3))
    url = s3.put(project.path / "data/toy.zarr", "toy.zarr")
    place = f"{s3.bucket}/toy.zarr/c/1/1/0"
    content = s3.fs.cat_file(place)
    s3.fs.pipe_file(place, content[: len(content) // 2])
    config = project.config(
        source={"path": url, "storage_options": s3.options},
        cluster={"kind": "local", "n_workers": 1, "memory_limit": "2GiB"},
    )
    code, out, err = project.command("run", config)
    assert code == 3
    assert f"error: {url}: chunk c/1/1/0 " in err
    assert not out
    assert has_no_result(project)
    for secret in (*CREDENTIALS.values(), s3.endpoint):
        assert secret not in err


# --- bands, npy ----------------------------------------------------------------------------------


def test_bands_npy_and_zarr_give_the_same_model(project, dask_gmm):
    values = blobs((40, 60))
    project.array(values, (20, 24, 3))
    group = zarr.create_group(str(project.path / "data/bands.zarr"))
    for i, name in enumerate(("red", "green", "nir")):
        group.create_array(name, shape=(40, 60), dtype="u1", chunks=(20, 24))[...] = values[..., i]
    np.save(project.path / "data/toy.npy", np.asfortranarray(np.moveaxis(values, -1, 0)))
    sources = {
        "plain": {},
        "bands": {"path": "data/bands.zarr", "columns": ["red", "green", "nir"]},
        "npy": {"kind": "npy", "path": "data/toy.npy", "feature_axis": 0},
        "chosen": {"columns": [0, 2]},
    }
    for name, source in sources.items():
        config = project.config(source=source, run_dir=f"runs/{name}", model=TIGHT)
        code, _, err = dask_gmm("run", config)
        assert code == 0, err
    plain = parameters(project.path / "runs/plain")
    assert model_bits(project.path / "runs/bands") == model_bits(project.path / "runs/plain")
    for name in ("bands", "npy"):
        assert_same_model(parameters(project.path / "runs" / name), plain)
    labels = np.load(project.path / "runs/npy/labels.zarr")
    np.testing.assert_array_equal(labels, project.output("labels", project.path / "runs/plain"))
    manifest = project.manifest(project.path / "runs/bands")
    assert manifest["feature_names"] == ["red", "green", "nir"]
    assert_same_model(
        parameters(project.path / "runs/chosen"), in_memory(values[..., [0, 2]].reshape(-1, 2))
    )


def test_outputs_may_be_npy_whatever_the_source(picture, dask_gmm):
    outputs = {
        name: {"kind": "npy", "path": f"out/{name}.npy"} for name in ("labels", "probabilities")
    }
    both = {**outputs, "uncertainty": {"path": "u.zarr"}, "log_density": None}
    assert dask_gmm("run", picture.config(outputs=both, run_dir="runs/npy"))[0] == 0
    assert dask_gmm("run", picture.config())[0] == 0
    run_dir = picture.path / "runs/npy"
    for name in outputs:
        np.testing.assert_array_equal(np.load(run_dir / f"out/{name}.npy"), picture.output(name))
    found = sorted(path.name for path in (run_dir / "out").iterdir())
    assert found == ["labels.npy", "probabilities.npy"], "and no record of cells"
    checksums = [
        picture.manifest(where)["outputs"]["labels"]["checksum"]
        for where in (run_dir, picture.run_dir)
    ]
    assert checksums[0] == checksums[1]


def test_a_truncated_npy_file_is_exit_3(project, dask_gmm):
    path = project.path / "toy.npy"
    np.save(path, blobs((40, 60)))
    path.write_bytes(path.read_bytes()[:-100])
    code, _, err = dask_gmm("run", project.config(source={"kind": "npy", "path": "toy.npy"}))
    assert code == 3
    assert err.splitlines()[-1].startswith(f"error: {path}: is truncated")
    assert has_no_result(project)


# --- masks, weights, no data ---------------------------------------------------------------------


def test_the_model_is_that_of_the_rows_kept_with_their_weights(project, dask_gmm):
    rng = np.random.default_rng(5)
    values = blobs((40, 60), dtype="f4")
    values[3:6, 10:50, 1] = -9999.0
    values[30, 7] = np.nan
    project.array(values, (20, 24, 3))
    mask = rng.random((40, 60)) < 0.3
    weights = rng.integers(1, 5, (40, 60)).astype("u1")
    np.save(project.path / "data/mask.npy", mask)
    zarr.create_array(
        str(project.path / "data/weights.zarr"), shape=(40, 60), dtype="u1", chunks=(7, 60)
    )[...] = weights
    source = {
        "mask": {"path": "data/mask.npy", "keep": "zero"},
        "weights": "data/weights.zarr",
        "nodata": -9999,
    }
    code, _, err = dask_gmm("run", project.config(source=source, model=TIGHT))
    assert code == 0, err
    empty = (values == -9999.0).any(axis=-1)
    invalid = np.isnan(values).any(axis=-1)
    used = ~(mask | empty | invalid)
    assert_same_model(
        parameters(project.run_dir), in_memory(values[used].astype("f8"), weights[used])
    )
    counted = project.manifest()["rows"]
    assert counted == {
        "total": 2400,
        "masked": int((~used).sum()),
        "nodata": int((empty & ~mask).sum()),
        "invalid": int((invalid & ~mask).sum()),
        "used": int(used.sum()),
    }
    labels = project.output("labels")
    np.testing.assert_array_equal(labels == 0, ~used)
    for name in ("probabilities", "uncertainty", "log_density"):
        found = np.isnan(project.output(name))
        np.testing.assert_array_equal(found.any(axis=-1) if found.ndim == 3 else found, ~used)
    assert project.manifest()["inputs"][0]["mask"] == str(project.path / "data/mask.npy")


def test_a_bad_weight_is_exit_3_by_file_and_chunk(picture, dask_gmm):
    weights = np.ones((40, 60))
    weights[25, 50] = -1
    path = str(picture.path / "data/weights.zarr")
    zarr.create_array(path, shape=(40, 60), dtype="f8", chunks=(10, 10))[...] = weights
    code, _, err = dask_gmm("run", picture.config(source={"weights": "data/weights.zarr"}))
    assert code == 3
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {path}: chunk c/2/5 holds the weight -1.0 at (25, 50)")
    assert has_no_result(picture)


def test_a_mask_of_another_shape_is_refused_by_plan(picture, dask_gmm):
    np.save(picture.path / "mask.npy", np.ones((40, 61), bool))
    code, _, err = dask_gmm("plan", picture.config(source={"mask": {"path": "mask.npy"}}))
    assert code == 2
    assert f"{picture.path}/mask.npy has shape (40, 61), but the leading shape of" in err


def test_a_changed_mask_is_changed_data(picture, dask_gmm):
    np.save(picture.path / "mask.npy", np.ones((40, 60), bool))
    config = picture.config(source={"mask": {"path": "mask.npy"}})
    assert dask_gmm("run", config)[0] == 0
    np.save(picture.path / "mask.npy", np.arange(2400).reshape(40, 60) > 600)
    code, _, err = dask_gmm("run", config)
    assert code == 3
    assert "the data have changed" in err
    assert json.loads((picture.run_dir / "manifest.json").read_text())["rows"]["masked"] == 0


@pytest.mark.slow
def test_a_worker_holds_no_more_than_was_said_with_mask_and_weights(project, dask_gmm, peaks):  # noqa: F811
    """Of weights in one chunk every cell decodes all."""
    rng = np.random.default_rng(0)
    project.array(rng.random((2000, 1500, 3), dtype="f4") * 200, (500, 1500, 3))
    np.save(project.path / "mask.npy", rng.random((2000, 1500)) < 0.9)
    zarr.create_array(
        str(project.path / "weights.zarr"), shape=(2000, 1500), dtype="f8", chunks=(2000, 1500)
    )[...] = rng.random((2000, 1500))
    config = project.config(
        source={"mask": {"path": "mask.npy"}, "weights": "weights.zarr", "nodata": [7, 9]},
        model={"n_init": 1, "max_iter": 1, "init": "random_from_data"},
        cluster={"kind": "local", "n_workers": 1, "threads_per_worker": 1},
    )
    said = plan_configured(load_config(config)).plan.load.worker_bytes
    code, _, err = dask_gmm("run", config, "--set=cluster.memory_limit=null")
    assert code == 0, err
    (peak,) = peaks
    assert peak <= said <= 2.5 * peak, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"
