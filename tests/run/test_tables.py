"""A Parquet table clustered by the command: what comes out, and what is refused."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_gmm import GaussianMixture
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured

from .conftest import blobs
from .test_faults import damage, has_no_result, when_workers_start  # noqa: F401  a fixture
from .test_memory import peaks  # noqa: F401  a fixture

K = 3
OUTPUTS = {
    "labels": {"path": "result"},
    "probabilities": {"path": "result"},
    "uncertainty": {"kind": "parquet", "path": "uncertainty"},
    "log_density": {"path": "result"},
    "keep": ["name"],
}


def frame_of(n=2400, seed=0):
    """Draw a table: three features of which some are missing, a weight, a name."""
    rng = np.random.default_rng(seed)
    x = blobs((n,), dtype="f8", seed=seed)
    x[rng.random(x.shape) < 0.01] = np.nan
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["b"] = frame["b"].astype("f4")
    frame["w"] = rng.integers(0, 4, n)
    frame["name"] = [f"row {i}" for i in range(n)]
    return frame


def write(folder, frame, cuts=(900, 1000), row_group_size=210):
    """Write a table as a file per partition, one of them without rows."""
    for i, part in enumerate(np.split(np.arange(len(frame)), cuts)):
        path = folder / f"day={i}" / "part.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(frame.iloc[part], preserve_index=False)
        pq.write_table(table, path, row_group_size=row_group_size)
    pq.write_table(table.slice(0, 0), folder / "day=1" / "without.parquet")


def configured(project, source=None, **sections):
    source = {"kind": "parquet", "path": "data/table", "weights": "w", **(source or {})}
    return project.config(**{"source": source, "outputs": OUTPUTS, **sections})


@pytest.fixture
def table(project):
    """A project with a table in three partitions."""
    project.frame = frame_of()
    write(project.path / "data/table", project.frame)
    return project


def read(folder, name):
    """Return the results in the order of the input's files."""
    return pq.read_table(folder / name).to_pandas()


def test_every_row_gets_what_the_saved_model_says_of_it(table, dask_gmm):
    code, out, err = dask_gmm("run", configured(table))
    assert code == 0, err
    assert "result" in out
    frame, result = table.frame, read(table.run_dir, "result")
    model = GaussianMixture.load(table.run_dir)
    x = frame[["a", "b", "c"]].to_numpy("f8")
    valid = np.isfinite(x).all(axis=1)
    assert 0 < (~valid).sum() < len(x)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    named = frame.loc[valid, ["a", "b", "c"]]
    np.testing.assert_array_equal(result["label"][valid], model.predict(named) + 1)
    assert (result["label"][~valid] == 0).all()
    shares = result[[f"p_{k}" for k in range(1, K + 1)]]
    np.testing.assert_allclose(shares[valid], model.predict_proba(named), atol=1e-6)
    np.testing.assert_allclose(result["log_density"][valid], model.score_samples(named), rtol=1e-9)
    assert shares[~valid].isna().all().all()
    assert result["name"].tolist() == frame["name"].tolist()
    doubt = read(table.run_dir, "uncertainty")
    assert doubt.columns[0] == "uncertainty"
    assert doubt["uncertainty"].isna().tolist() == (~valid).tolist()
    assert doubt["name"].tolist() == frame["name"].tolist()


def test_one_file_per_file_and_no_other(table, dask_gmm):
    assert dask_gmm("run", configured(table))[0] == 0
    given = {p.relative_to(table.path / "data/table") for p in table.path.rglob("data/*/*/*.p*")}
    assert len(given) == 4
    for name in ("result", "uncertainty"):
        folder = table.run_dir / name
        found = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
        assert found == given
        for path in found:
            rows = pq.ParquetFile(table.path / "data/table" / path).metadata.num_rows
            assert pq.ParquetFile(folder / path).metadata.num_rows == rows


def test_weights_count_as_repeated_rows_do(table, dask_gmm):
    assert dask_gmm("run", configured(table))[0] == 0
    model = table.manifest()["model"]
    used = table.frame.dropna()
    fitted = GaussianMixture.load(table.run_dir)
    density = fitted.score_samples(used[["a", "b", "c"]])
    total, n = float(density @ used["w"]), float(used["w"].sum())
    parameters = 3 * K + 6 * K + K - 1
    assert model["bic"] == pytest.approx(-2 * total + parameters * np.log(n), rel=1e-9)
    assert model["mean_log_likelihood"] == pytest.approx(total / n, rel=1e-9)
    repeated = used.loc[used.index.repeat(used["w"]), ["a", "b", "c"]]
    assert model["bic"] == pytest.approx(fitted.bic(repeated), rel=1e-9)
    rows = table.manifest()["rows"]
    assert rows["used"] == int((used["w"] > 0).sum())


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_statistics_are_those_of_the_rows_in_memory(table, covariance_type):
    job = plan_configured(load_config(configured(table)))
    x = table.frame[["a", "b", "c"]].to_numpy("f8")
    kind = family(covariance_type)
    frame = Frame.of_sample(x[np.isfinite(x).all(axis=1)], isotropic=kind.isotropic)
    start = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
    start.fit(np.random.default_rng(1).normal(size=(500, 3)) * 60 + 100)
    parameters = Parameters.of(
        covariance_type, start.weights_, start.means_, start.covariances_
    ).inside(frame)
    passes = Passes.over_source(job.source, [range(4), range(4, 13)], "synchronous")
    read = passes.run("e-step", e_step, parameters, frame)
    weights = table.frame["w"].to_numpy("f8")
    held = e_step([Rows(x, weights)], parameters, frame)
    for name in ("N", "sum_x", "scatter", "weight"):
        one, other = getattr(read, name), getattr(held, name)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.max(np.abs(other)))
    assert read.log_likelihood == pytest.approx(held.log_likelihood, rel=1e-9)


def test_how_the_rows_are_cut_into_files_and_row_groups_changes_rounding_only(project, dask_gmm):
    frame, models = frame_of(3000), []
    for i, (cuts, size) in enumerate([((1500,), 1500), ((10, 11, 2000), 97)]):
        write(project.path / f"data/{i}", frame, cuts, size)
        config = configured(
            project,
            {"path": f"data/{i}"},
            run_dir=f"runs/{i}",
            model={"n_components": 4, "n_init": 2, "tol": 1e-300, "max_iter": 6},
        )
        assert dask_gmm("run", config)[0] == 0
        models.append(GaussianMixture.load(project.path / f"runs/{i}"))
    one, other = models
    np.testing.assert_allclose(one.means_, other.means_, rtol=1e-9)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-9, atol=1e-9)


def test_worker_processes_give_the_same_bits_as_threads(table, dask_gmm):
    found = []
    for kind in ("threads", "local"):
        cluster = {"kind": kind, "n_workers": 2}
        config = configured(table, run_dir=f"runs/{kind}", cluster=cluster)
        code, _, err = dask_gmm("run", config)
        assert code == 0, err
        folder = table.path / "runs" / kind
        found.append((read(folder, "result"), table.manifest(folder)["outputs"]))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_a_finished_run_stands_until_a_file_changes(table, dask_gmm):
    config = configured(table)
    for verb in ("validate", "plan", "run"):
        assert dask_gmm(verb, config)[0] == 0
    code, out, _ = dask_gmm("run", config, "--json")
    assert code == 0
    assert json.loads(out)["skipped"]
    path = table.path / "data/table/day=0/part.parquet"
    pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=100)
    code, _, err = dask_gmm("run", config)
    assert code == 3
    assert "the data have changed" in err
    assert dask_gmm("run", config, "--set=if_exists=overwrite")[0] == 0


def test_manifest_and_report_tell_files_and_columns(table, dask_gmm):
    assert dask_gmm("run", configured(table))[0] == 0
    (read_from,) = table.manifest()["inputs"]
    assert read_from["path"] == str(table.path / "data/table")
    assert read_from["shape"] == [2400, 3]
    assert [f["rows"] for f in read_from["files"]] == [900, 100, 0, 1400]
    assert [c["type"] for c in read_from["columns"]] == ["float64", "float32", "float64"]
    assert (read_from["weights"], read_from["n_cells"]) == ("w", 5 + 1 + 7)
    page = (table.run_dir / "report.html").read_text()
    assert "13 with rows, in 4 files" in page
    assert "column w" in page
    assert 'href="./result"' in page
    assert "The picture and its classes" not in page
    assert "not recorded" not in page.split("What was read")[1].split("How often")[0]


def test_integers_have_the_floor_of_their_rounding_beside_other_columns(project, dask_gmm):
    rng = np.random.default_rng(0)
    columns = {"n": rng.integers(0, 50, 900), "x": rng.normal(size=900)}
    (project.path / "data").mkdir()
    pq.write_table(pa.table(columns), project.path / "data/t.parquet")
    source = {"path": "data/t.parquet", "weights": None}
    config = configured(project, source, outputs=dict.fromkeys(OUTPUTS, None) | {"keep": []})
    assert dask_gmm("run", config, "--set=standardize=false")[0] == 0
    assert project.manifest()["model"]["reg_covar"] == pytest.approx([1 / 12, 1e-6])


LAST = "data/table/day=2/part.parquet"


def without(column):
    return lambda frame: frame.drop(columns=column)


BAD = {
    "a missing column": (without("b"), r"column 'b' \(source.columns\) is missing"),
    "a missing weight": (without("w"), r"column 'w' \(source.weights\) is missing"),
    "a missing column to keep": (without("name"), r"column 'name' \(outputs.keep\) is missing"),
    "text": (lambda frame: frame.assign(b="x"), r"column 'b' .* has the type (large_)?string"),
    "a negative weight": (lambda frame: frame.assign(w=-1), r"row group 0: 210 weights in"),
    "lists": (
        lambda frame: frame.assign(b=[[1.0]] * len(frame)),
        "column 'b' .* has the type list<",
    ),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD.keys())
def test_a_file_that_is_not_like_the_others(table, dask_gmm, change, said):
    pq.write_table(
        pa.Table.from_pandas(change(table.frame.iloc[1000:]), preserve_index=False),
        table.path / LAST,
        row_group_size=210,
    )
    code, out, err = dask_gmm("run", configured(table))
    assert code == 3
    assert re.search(rf"error: {table.path}/{LAST}: {said}", err), err
    assert not out
    assert has_no_result(table)


def test_columns_in_another_order_are_found_by_name(table, dask_gmm):
    assert dask_gmm("run", configured(table))[0] == 0
    before = read(table.run_dir, "result")
    path = table.path / LAST
    given = pq.read_table(path, partitioning=None)
    pq.write_table(given.select(["name", "c", "w", "a", "b"]), path, row_group_size=210)
    assert dask_gmm("run", configured(table, if_exists="overwrite"))[0] == 0
    pd.testing.assert_frame_equal(read(table.run_dir, "result"), before)


@pytest.mark.parametrize("how", ["deleted", "emptied", "truncated"])
def test_a_file_that_goes_bad_before_the_run(table, dask_gmm, how):
    damage(table.path / LAST, how)
    if how == "deleted":  # one file fewer is another table, and no fault
        table.path.joinpath(LAST).symlink_to("nowhere")
    for verb in ("validate", "plan", "run"):
        code, _, err = dask_gmm(verb, configured(table))
        assert code == 3
        assert f"error: {table.path}/{LAST}: " in err
    assert has_no_result(table)


@pytest.mark.parametrize("how", ["deleted", "emptied", "truncated", "flipped"])
def test_a_row_group_that_goes_bad_before_it_is_read(table, dask_gmm, when_workers_start, how):  # noqa: F811
    path = table.path / LAST
    given = pq.read_table(path, partitioning=None)
    pq.write_table(given, path, row_group_size=700, write_page_checksum=True, compression="none")

    def act():
        if how != "flipped":
            damage(path, how)
            return
        chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
        content = bytearray(path.read_bytes())
        content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0xFF
        path.write_bytes(content)

    when_workers_start(act)
    code, out, err = dask_gmm("run", configured(table))
    assert code == 3
    what = "row group 1 cannot be read" if how == "flipped" else ""
    assert f"error: {path}: {what}" in err.splitlines()[-1]
    assert not out
    assert has_no_result(table)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "holds no file whose name ends in .parquet"),
        ([0], "hold no row; there is nothing to read"),
        ([0, 0], "hold no row; there is nothing to read"),
        ([2], "2 of 2 rows take part"),
    ],
)
def test_a_table_without_rows_or_with_too_few(project, dask_gmm, files, said):
    folder = project.path / "data/table"
    folder.mkdir(parents=True)
    for i, n in enumerate(files):
        given = frame_of().dropna().head(n).assign(w=1)
        given.to_parquet(folder / f"{i}.parquet", index=False)
    code, _, err = dask_gmm("run", configured(project))
    assert code == 3
    assert f"error: {folder}: " in err
    assert said in err
    assert has_no_result(project)


def test_invalid_rows_may_be_refused_by_file_and_row_group(table, dask_gmm):
    code, _, err = dask_gmm("run", configured(table, {"on_invalid": "error"}))
    assert code == 3
    bad = table.frame[["a", "b", "c"]].isna().any(axis=1) & (table.frame["w"] > 0)
    first = int(np.flatnonzero(bad)[0])
    file = "data/table/day=0/part.parquet"
    assert f"{int(bad.sum())} of 2,400 rows hold NaN" in err
    assert f"the first at ({first},) in {table.path}/{file}: row group {first // 210};" in err
    assert has_no_result(table)


def test_a_row_group_too_large_for_a_worker_is_refused(project, dask_gmm):
    (project.path / "data").mkdir()
    columns = {name: np.zeros(3_000_000) for name in "abcw"}
    pq.write_table(pa.table(columns), project.path / "data/t.parquet", row_group_size=3_000_000)
    cluster = {"kind": "local", "memory_limit": "640MiB"}
    config = configured(project, {"path": "data/t.parquet"}, cluster=cluster, outputs={})
    code, _, err = dask_gmm("run", config, "--set=outputs.keep=[]")
    assert code == 2
    rows = int(re.search(r"chunks of at most ([\d,]+) rows", err)[1].replace(",", ""))
    pq.write_table(pa.table(columns), project.path / "data/t.parquet", row_group_size=rows)
    assert dask_gmm("plan", config, "--set=outputs.keep=[]")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_worker_holds_no_more_than_was_said_of_a_table(project, dask_gmm, peaks, dtype):  # noqa: F811
    n, rng = 3_000_000, np.random.default_rng(0)
    columns = {f"x{i}": rng.random(n, dtype=dtype) for i in range(4)} | {"w": np.ones(n)}
    columns["name"] = pa.array([f"a name of some length {i % 1000}" for i in range(n)])
    (project.path / "data").mkdir()
    path = project.path / "data/t.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1_000_000)
    del columns
    config = configured(
        project,
        {"path": "data/t.parquet"},
        model={"n_init": 1, "max_iter": 1, "init": "random_from_data"},
        fit={"sample_rows": 10_000},
        cluster={"kind": "local", "n_workers": 1, "memory_limit": None},
    )
    said = plan_configured(load_config(config)).plan.load.worker_bytes
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    (peak,) = peaks
    assert peak <= said, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"
    assert said <= 2.5 * peak, f"{peak / 2**20:.0f} MiB, {said / 2**20:.0f} said"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["source.variable=x"], "source.variable: found 'x'; allowed null"),
        (["source.feature_axis=0"], "source.feature_axis: found 0; allowed -1"),
        (["source.missing_chunks=fill"], "source.missing_chunks: found 'fill'; allowed error"),
        (["source.columns=[]"], "source.columns: found a list of length 0; allowed"),
        (
            ["outputs.uncertainty.kind=zarr"],
            "uncertainty.kind: found 'zarr'; allowed same or parquet",
        ),
        (["outputs.labels.path=uncertainty/x"], "allowed a path apart from that of outputs.labels"),
        (["outputs.keep=[label]"], "outputs.keep: the column 'label' would stand"),
        (["outputs.keep=[p_3]"], "outputs.keep: the column 'p_3' would stand"),
        (["outputs.keep=[name, name]"], "outputs.keep: the column 'name' would stand"),
        ([f"outputs.{name}=null" for name in OUTPUTS if name != "keep"], "outputs.keep: found"),
        (["source.path=runs/x/*.parquet"], "a directory apart from source.path"),
        (["source.path=s3://key:secret@bucket/x"], "s3 that carries credentials"),
        (["source.path=nosuch://bucket/x"], "source.path: found 'nosuch://bucket/x'"),
    ],
)
def test_settings_that_do_not_go_with_a_table(table, dask_gmm, settings, said):
    config = configured(table, run_dir="runs/x")
    code, _, err = dask_gmm("run", config, *[f"--set={each}" for each in settings])
    assert code == 2
    assert said in err
    assert "secret" not in err
    assert not (table.path / "runs").exists()


def test_a_full_disk_leaves_no_result(table, dask_gmm, monkeypatch):
    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    code, out, err = dask_gmm("run", configured(table))
    assert code == 1
    assert re.search(r"/part\.parquet: cannot be written \(No space left on device\)", err)
    assert not out
    assert has_no_result(table)
