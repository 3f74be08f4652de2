"""Probabilities as bytes, and of the most probable classes alone, in every kind of output."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from .conftest import blobs


@pytest.fixture
def full(project, dask_gmm):
    """A picture with masked pixels; all of its float32 probabilities."""
    values = blobs((40, 60), dtype="f4") + np.random.default_rng(9).normal(
        scale=40, size=(40, 60, 3)
    ).astype("f4")
    values[5, :7] = np.nan
    project.array(values, (20, 24, 3))
    assert dask_gmm("run", project.config(run_dir="runs/full"))[0] == 0
    return project, project.output("probabilities", project.path / "runs/full")


def run(project, dask_gmm, kind, **probabilities):
    outputs = {"labels": {"path": "labels.zarr"}, "uncertainty": None, "log_density": None}
    outputs["probabilities"] = {"kind": kind, "path": f"p.{kind}", **probabilities}
    code, _, err = dask_gmm("run", project.config(outputs=outputs))
    assert code == 0, err
    assert dask_gmm("verify", project.run_dir)[0] == 0


def stored(project, name, kind):
    path = project.run_dir / f"{name}.{kind}"
    return np.load(path) if kind == "npy" else zarr.open_array(str(path), mode="r")[...]


@pytest.mark.parametrize("kind", ["zarr", "npy"])
def test_bytes_are_probabilities_to_half_a_step_and_masked_pixels_are_255(full, dask_gmm, kind):
    project, p = full
    run(project, dask_gmm, kind, dtype="uint8")
    found = stored(project, "p", kind)
    assert found.dtype == np.uint8
    masked = np.isnan(p)
    assert masked.sum() == 21
    np.testing.assert_array_equal(found == 255, masked)
    scale = project.manifest()["outputs"]["probabilities"]["scale"]
    assert scale == pytest.approx(1 / 254)
    assert np.abs(found * scale - p)[~masked].max() <= scale / 2 + 1e-7
    if kind == "zarr":
        attributes = zarr.open_array(str(project.run_dir / "p.zarr"), mode="r").attrs
        assert (attributes["scale_factor"], attributes["_FillValue"]) == (scale, 255)


@pytest.mark.parametrize("kind", ["zarr", "npy"])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_m_best_are_the_highest_in_falling_order_with_their_labels(full, dask_gmm, kind, m):
    project, p = full
    run(project, dask_gmm, kind, top=m)
    found, whose = stored(project, "p", kind), stored(project, "p-labels", kind)
    labels = project.output("labels")
    valid = labels > 0
    np.testing.assert_array_equal(found[valid], -np.sort(-p[valid], axis=-1)[:, :m])
    np.testing.assert_array_equal(whose[..., 0], labels)
    np.testing.assert_array_equal(
        np.take_along_axis(p[valid], whose[valid].astype(int) - 1, axis=-1), found[valid]
    )
    assert not whose[~valid].any()
    assert np.isnan(found[~valid]).all()


def test_both_together(full, dask_gmm):
    project, p = full
    run(project, dask_gmm, "zarr", top=2, dtype="uint8")
    valid = project.output("labels") > 0
    best = -np.sort(-p[valid], axis=-1)[:, :2]
    np.testing.assert_array_equal(stored(project, "p", "zarr")[valid], np.rint(best * 254))
    assert (stored(project, "p", "zarr")[~valid] == 255).all()


def test_of_a_table_they_are_columns_of_the_same_files(project, dask_gmm):
    rows = blobs((3000,), dtype="f8")
    table = pa.table({name: rows[:, i] for i, name in enumerate("xyz")})
    (project.path / "data").mkdir()
    pq.write_table(table, project.path / "data/t.parquet", row_group_size=1000)
    path = {"path": "classes"}
    outputs = {"labels": path, "probabilities": {**path, "dtype": "uint8", "top": 2}}
    outputs |= {"uncertainty": None, "log_density": None}
    source = {"kind": "parquet", "path": "data/t.parquet"}
    code, _, err = dask_gmm("run", project.config(source=source, outputs=outputs))
    assert code == 0, err
    found = pq.read_table(project.run_dir / "classes/t.parquet")
    assert found.column_names == ["label", "p_1", "p_2", "label_1", "label_2"]
    assert found["label_1"].equals(found["label"])
    p = np.stack([found["p_1"].to_numpy(), found["p_2"].to_numpy()])
    assert p.dtype == np.uint8
    assert (p[0] >= p[1]).all()
    assert set(p.sum(axis=0).tolist()) <= {253, 254, 255}


def test_repeated_rows_are_looked_up_in_the_same_form(project, dask_gmm):
    values = np.repeat(blobs((4, 60)), 10, axis=0)
    project.array(values, (20, 24, 3))
    for compress in ("auto", "never"):
        outputs = {"labels": {"path": "labels.zarr"}, "uncertainty": None, "log_density": None}
        outputs["probabilities"] = {"path": "p.zarr", "top": 2, "dtype": "uint8"}
        config = project.config(
            outputs=outputs, fit={"compress": compress}, run_dir=f"runs/{compress}"
        )
        assert dask_gmm("run", config)[0] == 0
    auto, never = (project.path / "runs" / name for name in ("auto", "never"))
    assert project.manifest(auto)["fit"]["compression"]["prediction_by_look_up"]
    for name in ("p", "p-labels"):
        np.testing.assert_array_equal(project.output(name, auto), project.output(name, never))


def test_more_than_there_are_classes_is_refused(picture, dask_gmm):
    outputs = {"probabilities": {"path": "p.zarr", "top": 4}}
    code, _, err = dask_gmm("plan", picture.config(outputs=outputs))
    assert code == 2
    assert "outputs.probabilities.top: found 4, but there are 3 classes; allowed 1 to 3" in err
    outputs = {"labels": {"path": "p-labels.zarr"}, "probabilities": {"path": "p.zarr", "top": 2}}
    code, _, err = dask_gmm("plan", picture.config(outputs=outputs))
    assert code == 2
    assert "outputs.probabilities.path: found 'p.zarr'; allowed a path apart from" in err
