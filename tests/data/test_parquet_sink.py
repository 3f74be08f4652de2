"""Results of a table: the files of the input, whole or not there at all."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.sinks.parquet import Part, create_parquet_sinks
from dask_gmm.data.sources import open_source
from dask_gmm.errors import InputDataError, RunFailedError


@pytest.fixture(autouse=True, scope="module")
def _few_rows_at_a_time():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dask_gmm.data.sinks.parquet.JOINED_ROWS", 3)
        yield


LABELS = Part("labels", ("label",), np.dtype("u1"))
SHARES = Part("probabilities", ("p_1", "p_2"), np.dtype("f4"))


def make(folder, lengths=(3, 0, 5), row_group_size=2, **options):
    """Write files of so many rows, and return them opened as one table."""
    for i, n in enumerate(lengths):
        path = folder / f"in/day={i}/part.parquet"
        path.parent.mkdir(parents=True)
        table = pa.table(
            {
                "x": np.arange(n) + 100.0 * i,
                "id": pa.array([f"{i}-{k}" for k in range(n)], pa.string()),
                "tags": pa.array([[k] * k for k in range(n)], pa.list_(pa.int32())),
            }
        )
        pq.write_table(table, path, row_group_size=row_group_size)
    return open_source("parquet", str(folder / "in"), columns=["x"], **options)


def results_of(x):
    """Return what a row with the value x is given: a label, and two probabilities."""
    return (x % 7).astype("u1"), np.stack([x, -x], axis=1).astype("f4")


def write_cells(sinks, source, cells):
    for cell in cells:
        labels, shares = results_of(source.read(cell).values[:, 0])
        for name, values in (("labels", labels), ("probabilities", shares)):
            said = sinks[name].write(cell, values)
            assert said == hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()


def finish(sinks):
    unfinished = dict.fromkeys(each for sink in sinks.values() for each in sink.to_finish())
    for each in unfinished:
        for piece in each.batches():
            piece.join()
        each.discard_parts()
    return len(unfinished)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    row_group_size=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_one_file_per_file_with_the_same_rows_in_order(
    tmp_path_factory, lengths, row_group_size, seed
):
    folder = tmp_path_factory.mktemp("results")
    source = make(folder, lengths, row_group_size)
    sinks = create_parquet_sinks(folder / "out", [LABELS, SHARES], source, ["tags", "id"])
    cells = np.random.default_rng(seed).permutation(len(source.grid))  # tasks end in any order
    write_cells(sinks, source, map(int, cells))
    assert finish(sinks) == 1  # two outputs, one set of files
    for i, n in enumerate(lengths):
        given = pq.read_table(folder / f"in/day={i}/part.parquet", partitioning=None)
        found = pq.read_table(folder / f"out/day={i}/part.parquet", partitioning=None)
        assert found.column_names == ["label", "p_1", "p_2", "tags", "id"]
        assert len(found) == n
        labels, shares = results_of(given["x"].to_numpy())
        np.testing.assert_array_equal(found["label"].to_numpy(), labels)
        np.testing.assert_array_equal(found["p_2"].to_numpy(), shares[:, 1])
        assert found.select(["id", "tags"]) == given.select(["id", "tags"])
    left = [path for path in (folder / "out").rglob("*") if path.is_file()]
    assert len(left) == len(lengths)


def test_what_was_written_before_an_end_is_not_written_again(tmp_path):
    source = make(tmp_path)
    sinks = create_parquet_sinks(tmp_path / "out", [LABELS, SHARES], source, [])
    write_cells(sinks, source, [0, 3])
    assert sinks["labels"].missing_cells() == [1, 2, 4]
    with pytest.raises(RunFailedError, match=r"out/day=0/part\.parquet: cannot be written"):
        sinks["labels"].to_finish()[0].join()  # a part is missing
    assert not list((tmp_path / "out").rglob("*.parquet"))
    write_cells(sinks, source, [1, 2, 4])
    (files,) = sinks["labels"].to_finish()
    files.batches()[0].join()
    first = tmp_path / "out/day=0/part.parquet"
    before = first.stat().st_mtime_ns
    assert finish(sinks) == 1
    assert first.stat().st_mtime_ns == before


def test_a_file_that_is_half_written_bears_no_results_name(tmp_path, monkeypatch):
    source = make(tmp_path)
    sinks = create_parquet_sinks(tmp_path / "out", [LABELS, SHARES], source, ["id"])
    write_cells(sinks, source, range(len(source.grid)))
    write, calls = pq.ParquetWriter.write_table, []

    def failing(self, table, **options):
        calls.append(len(table))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(self, table, **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", failing)
    with pytest.raises(RunFailedError, match=r"day=0/part\.parquet: .*No space left on device"):
        finish(sinks)
    assert not list((tmp_path / "out").glob("day=*/*"))
    monkeypatch.undo()
    finish(sinks)
    assert pq.read_table(tmp_path / "out/day=0/part.parquet", partitioning=None).num_rows == 3


def test_a_kept_column_that_went_bad_names_the_input(tmp_path):
    source = make(tmp_path)
    sinks = create_parquet_sinks(tmp_path / "out", [LABELS, SHARES], source, ["id"])
    write_cells(sinks, source, range(len(source.grid)))
    path = tmp_path / "in/day=2/part.parquet"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputDataError, match=r"in/day=2/part\.parquet: its footer cannot be read"):
        finish(sinks)


@pytest.mark.parametrize("values", [np.zeros(3, "u1"), np.zeros(2), np.zeros((2, 2), "u1")])
def test_values_that_do_not_fill_the_cell(tmp_path, values):
    source = make(tmp_path)
    sinks = create_parquet_sinks(tmp_path / "out", [LABELS], source, [])
    with pytest.raises(RunFailedError, match=r"labels of cell 0 takes uint8 of shape \(2"):
        sinks["labels"].write(0, values)
    assert sinks["labels"].missing_cells() == [0, 1, 2, 3, 4]


def test_nothing_that_exists_is_overwritten(tmp_path):
    source = make(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(RunFailedError, match="exists already"):
        create_parquet_sinks(tmp_path / "out", [LABELS], source, [])
    (tmp_path / "file").touch()
    with pytest.raises(RunFailedError, match="cannot be written"):
        create_parquet_sinks(tmp_path / "file/out", [LABELS], source, [])


def test_cells_of_joined_files_are_not_missing_when_their_parts_are_gone(tmp_path):
    source = make(tmp_path)
    sinks = create_parquet_sinks(tmp_path / "out", [LABELS, SHARES], source, [])
    write_cells(sinks, source, range(5))
    finish(sinks)
    again = create_parquet_sinks(tmp_path / "out", [LABELS, SHARES], source, [], again=True)
    assert again["labels"].missing_cells() == again["probabilities"].missing_cells() == []
