"""Many inputs, one model: one fit over all, one result for each, and what becomes of a bad one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image

from dask_gmm import GaussianMixture
from dask_gmm.run import work

from .conftest import blobs
from .test_arrays import TIGHT, assert_same_model, in_memory, model_bits, parameters
from .test_faults import has_no_result

SHAPES = {"a": (40, 60), "b": (31, 47), "strip": (1, 300)}
OUTPUTS = {
    "labels": {"path": "labels"},
    "probabilities": {"kind": "zarr", "path": "deep/probabilities"},
    "uncertainty": None,
    "log_density": {"path": "density"},
}


@pytest.fixture
def batch(project):
    """Three images of one kind in data/, in a project whose outputs are folders."""
    (project.path / "data").mkdir()
    for seed, (name, shape) in enumerate(SHAPES.items()):
        np.save(project.path / f"data/{name}.npy", blobs(shape, seed=seed))
    return project


def config_of(project, **sections):
    """Write a configuration that reads all of data/."""
    source = {"kind": "npy", "path": "data/*.npy", **sections.pop("source", {})}
    return project.config(source=source, **{"outputs": OUTPUTS, **sections})


def image(project, name):
    return np.load(project.path / f"data/{name}.npy")


def rows_of(project, names=tuple(SHAPES)):
    return np.concatenate([image(project, name).reshape(-1, 3) for name in names]).astype(float)


def test_the_model_is_that_of_all_rows_and_every_input_has_its_labels(batch, dask_gmm):
    code, out, err = dask_gmm("run", config_of(batch, model=TIGHT), "--json")
    assert code == 0, err
    assert_same_model(parameters(batch.run_dir), in_memory(rows_of(batch)))
    model = GaussianMixture.load(batch.run_dir)
    manifest = batch.manifest()
    assert manifest["status"] == "done"
    for entry, name in zip(manifest["inputs"], sorted(SHAPES), strict=True):
        rows = image(batch, name).reshape(-1, 3).astype(float)
        labels = np.load(batch.run_dir / f"labels/{name}.npy")
        assert labels.shape == SHAPES[name]
        np.testing.assert_array_equal(labels.ravel(), model.predict(rows) + 1)
        p = zarr.open_array(str(batch.run_dir / f"deep/probabilities/{name}.zarr"), mode="r")
        np.testing.assert_allclose(p[...].reshape(-1, 3), model.predict_proba(rows), atol=1e-6)
        assert entry["path"] == str(batch.path / f"data/{name}.npy")
        counted = {"masked": 0, "nodata": 0, "invalid": 0}
        assert entry["rows"] == {"total": len(rows), "used": len(rows), **counted}
    files = manifest["outputs"]["labels"]["files"]
    assert [each["path"] for each in files] == [f"labels/{name}.npy" for name in sorted(SHAPES)]
    assert sorted(path.name for path in (batch.run_dir / "labels").iterdir()) == [
        f"{name}.npy" for name in sorted(SHAPES)
    ]
    code, out, err = dask_gmm("verify", batch.run_dir)
    assert code == 0, err
    assert "deep/probabilities/strip.zarr: unchanged, 1 chunks of 300 rows" in out
    assert dask_gmm("run", config_of(batch, model=TIGHT))[2].endswith("nothing to do\n")


def test_one_input_in_a_list_gives_the_model_of_the_input_alone(batch, dask_gmm):
    plain = {"labels": {"path": "l.npy"}, **dict.fromkeys(list(OUTPUTS)[1:])}
    alone = config_of(batch, source={"path": "data/a.npy"}, outputs=plain, run_dir="runs/alone")
    listed = config_of(batch, source={"path": ["data/a.npy"]}, name="listed.yaml")
    assert dask_gmm("run", alone)[0] == dask_gmm("run", listed)[0] == 0
    assert model_bits(batch.path / "runs/alone") == model_bits(batch.run_dir)
    np.testing.assert_array_equal(
        np.load(batch.path / "runs/alone/l.npy"), np.load(batch.run_dir / "labels/a.npy")
    )


def test_zarr_arrays_of_other_chunks_give_the_same_model(batch, dask_gmm):
    for name in SHAPES:
        batch.array(image(batch, name), (16, 25, 3), path=f"data/{name}.zarr")
    outputs = {name: each and {**each, "kind": "npy"} for name, each in OUTPUTS.items()}
    config = batch.config(source={"path": "data/*.zarr"}, model=TIGHT, outputs=outputs)
    assert dask_gmm("run", config)[0] == 0
    assert_same_model(parameters(batch.run_dir), in_memory(rows_of(batch)))
    labels = np.load(batch.run_dir / "labels/b.npy")
    model = GaussianMixture.load(batch.run_dir)
    rows = image(batch, "b").reshape(-1, 3).astype(float)
    np.testing.assert_array_equal(labels.ravel(), model.predict(rows) + 1)
    lines = (batch.run_dir / "checkpoint/journal.jsonl").read_text().splitlines()
    assert len(lines) == 9 + 4 + 12


def test_masked_rows_are_counted_by_input_and_an_input_may_be_masked_throughout(batch, dask_gmm):
    values = image(batch, "a").astype("f4")
    values[:3, :, 1] = -1
    values[10, 10] = np.nan
    np.save(batch.path / "data/a.npy", values)
    np.save(batch.path / "data/b.npy", image(batch, "b").astype("f4"))
    np.save(batch.path / "data/strip.npy", np.full((1, 300, 3), -1, "f4"))
    code, _, err = dask_gmm("run", config_of(batch, source={"nodata": -1}))
    assert code == 0, err
    manifest = batch.manifest()
    rows = {each["name"]: each["rows"] for each in manifest["inputs"]}
    assert rows["a"] == {"total": 2400, "masked": 181, "nodata": 180, "invalid": 1, "used": 2219}
    assert rows["strip"] == {"total": 300, "masked": 300, "nodata": 300, "invalid": 0, "used": 0}
    for key in ("total", "masked", "nodata", "invalid", "used"):
        assert manifest["rows"][key] == sum(each[key] for each in rows.values())
    assert not np.load(batch.run_dir / "labels/strip.npy").any()
    assert np.isnan(np.load(batch.run_dir / "density/strip.npy")).all()
    warning = "Input strip: no row of it takes part"
    assert any(each.startswith(warning) for each in manifest["warnings"])
    assert warning in (batch.run_dir / "report.html").read_text()


def test_an_unreadable_chunk_of_the_second_input_is_exit_3_by_name(batch, dask_gmm):
    for name in SHAPES:
        batch.array(image(batch, name), (16, 25, 3), path=f"data/{name}.zarr")
    chunk = batch.path / "data/b.zarr/c/0/1/0"
    chunk.write_bytes(chunk.read_bytes()[:-7])
    config = batch.config(source={"path": "data/*.zarr"}, outputs=OUTPUTS)
    code, out, err = dask_gmm("run", config)
    assert code == 3
    assert err.splitlines()[-1].startswith(f"error: {batch.path}/data/b.zarr: chunk c/0/1/0 ")
    assert not out
    assert has_no_result(batch)


def test_an_input_of_other_bands_is_exit_3_by_name_before_anything_is_read(batch, dask_gmm):
    np.save(batch.path / "data/c.npy", np.zeros((4, 4, 4), "u1"))
    code, _, err = dask_gmm("plan", config_of(batch))
    assert code == 3
    assert f"error: {batch.path}/data/c.npy: has 4 features, but {batch.path}/data/a.npy" in err


def test_an_input_that_vanishes_after_the_fit_is_named_and_the_others_finish(
    batch, dask_gmm, monkeypatch
):
    path, kept = batch.path / "data/b.npy", batch.path / "b.npy"
    segment = work.segment_and_write

    def vanishing(*arguments, **options):
        path.rename(kept)
        return segment(*arguments, **options)

    monkeypatch.setattr(work, "segment_and_write", vanishing)
    listed = [f"data/{name}.npy" for name in sorted(SHAPES)]
    config = config_of(batch, source={"path": listed})
    code, out, err = dask_gmm("run", config)
    assert code == 3
    assert f"error: 1 of 3 inputs have no result; all others are in {batch.run_dir}" in err
    assert f"error: {path}: " in err.splitlines()[-1]
    assert "finished" in out
    manifest = batch.manifest()
    assert manifest["status"] == "incomplete"
    assert [each["failure"] is None for each in manifest["inputs"]] == [True, False, True]
    assert sorted(each.stem for each in (batch.run_dir / "labels").iterdir()) == ["a", "strip"]
    assert not (batch.run_dir / "deep/probabilities/b.zarr").exists()
    assert sum(each["rows"] for each in manifest["classes"]) == 2700

    monkeypatch.setattr(work, "segment_and_write", segment)
    assert dask_gmm("run", config)[0] == 3, "it is still not there"
    kept.rename(path)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    assert batch.manifest()["status"] == "done"
    assert np.load(batch.run_dir / "labels/b.npy").shape == SHAPES["b"]


def test_a_folder_of_pictures_gets_a_picture_of_labels_for_each(batch, dask_gmm):
    folder = batch.path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(image(batch, name)).save(folder / f"{name}.png")
    outputs = {
        "labels": {"path": "maps"},
        "probabilities": {"path": "p", "dtype": "uint8", "top": 2},
        **dict.fromkeys(("uncertainty", "log_density")),
    }
    config = batch.config(source={"kind": "image", "path": "pictures"}, outputs=outputs)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    model = GaussianMixture.load(batch.run_dir)
    for name in ("a", "b"):
        with Image.open(batch.run_dir / f"maps/{name}.png") as picture:
            labels = np.asarray(picture)
        rows = pd.DataFrame(rows_of(batch, [name]), columns=batch.manifest()["feature_names"])
        np.testing.assert_array_equal(labels.ravel(), model.predict(rows) + 1)
        whose = tifffile.imread(batch.run_dir / f"p-labels/{name}.tif")
        assert labels.size * 2 == whose.size
    assert sorted(path.name for path in (batch.run_dir / "p").iterdir()) == ["a.tif", "b.tif"]
    assert dask_gmm("verify", batch.run_dir)[0] == 0
    Image.fromarray(np.full((9, 9), 40_000, "u2")).save(folder / "deep.png")
    code, _, err = dask_gmm("plan", config)
    assert code == 3
    assert f"error: {folder}/deep.png: has 1 features, but {folder}/a.png has 3" in err


def test_a_store_s_glob_is_many_inputs(s3, batch, dask_gmm):
    for name in ("a", "b"):
        batch.array(image(batch, name), (20, 30, 3), path=f"data/{name}.zarr", shards=(20, 60, 3))
        s3.put(batch.path / f"data/{name}.zarr", f"many/{name}.zarr")
    source = {"path": f"s3://{s3.bucket}/many/*.zarr", "storage_options": s3.options}
    code, _, err = dask_gmm("run", batch.config(source=source, outputs=OUTPUTS))
    assert code == 0, err
    assert [each["name"] for each in batch.manifest()["inputs"]] == ["a", "b"]
    assert zarr.open_array(str(batch.run_dir / "labels/b.zarr"), mode="r").shape == SHAPES["b"]


def test_a_run_that_was_ended_goes_on_to_the_same_bits(batch, dask_gmm, monkeypatch):
    for name in SHAPES:
        batch.array(image(batch, name), (8, 25, 3), path=f"data/{name}.zarr")
    config = batch.config(source={"path": "data/*.zarr"}, outputs=OUTPUTS)
    assert dask_gmm("run", config, "--set=run_dir=runs/undisturbed")[0] == 0
    segment = work.segment_and_write

    def ended(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "segment_and_write", ended)
    assert dask_gmm("run", config)[0] == 130
    monkeypatch.setattr(work, "segment_and_write", segment)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    assert "going on with an unfinished run" in err
    other = batch.path / "runs/undisturbed"
    assert model_bits(batch.run_dir) == model_bits(other)
    for name in OUTPUTS:
        ours, theirs = (batch.manifest(where)["outputs"].get(name) for where in (None, other))
        assert ours == theirs
