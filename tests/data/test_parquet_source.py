"""Tables: what is one, which columns are features, and what is refused by name."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.data.sources import open_source
from dask_gmm.errors import ConfigurationError, InputDataError

NUMBERS = ["int8", "uint16", "int32", "int64", "float16", "float32", "float64", "bool"]


def write(path, columns, **options):
    """Write a table; in row groups of two rows, if nothing else is said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, path, **{"row_group_size": 2, **options})


def opened(path, **options):
    return open_source("parquet", str(path), **options)


def rows_of(source):
    """Return all rows, read as workers read them: from parts of the table that have travelled."""
    read = []
    for cell in range(len(source.grid)):
        part = pickle.loads(pickle.dumps(source.part([cell])))
        block = part.read(cell)
        assert block.values.flags.f_contiguous  # a feature's values side by side
        assert block.values.dtype == source.dtype
        assert len(block.values) == source.grid.n_rows(cell)
        read.append(block.values)
    return np.concatenate(read)


@st.composite
def tables(draw):
    """Draw files of one table: types may differ between files, nulls may be anywhere."""
    names = [f"c{i}" for i in range(draw(st.integers(1, 4)))]
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(draw(st.integers(1, 4))):
        n, columns = draw(st.integers(0, 7)), {}
        for name in names:
            dtype = draw(st.sampled_from(NUMBERS))
            values = pa.array(rng.integers(0, 2 if dtype == "bool" else 50, n).astype(dtype))
            if draw(st.booleans()):
                mask = pa.array(rng.random(n) < 0.3)
                values = pa.compute.if_else(mask, pa.scalar(None, values.type), values)
            columns[name] = values
        order = draw(st.permutations(names))
        files.append((pa.table({name: columns[name] for name in order}), draw(st.integers(1, 4))))
    return names, files


@settings(deadline=None, max_examples=60)
@given(table=tables())
def test_a_directory_reads_as_its_files_do_one_after_the_other(tmp_path_factory, table):
    names, files = table
    folder = tmp_path_factory.mktemp("table")
    for i, (each, row_group_size) in enumerate(files):
        write(folder / f"part-{i}.parquet", each, row_group_size=row_group_size)
    whole = np.concatenate(
        [
            np.stack([each[name].to_pandas().to_numpy("f8", na_value=np.nan) for name in names], 1)
            for each, _ in files
        ]
    )
    if not len(whole):
        with pytest.raises(InputDataError, match="hold no row"):
            opened(folder, columns=names)
        return
    source = opened(folder, columns=names)
    np.testing.assert_array_equal(rows_of(source), whole)
    manifest = source.manifest()
    assert manifest.shape == whole.shape
    assert [f.rows for f in manifest.files] == [len(each) for each, _ in files]
    assert source.feature_names == tuple(names)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float32", "float32"], "float32"),
        (["float32", "float64"], "float64"),
        (["int32", "float32"], "float64"),
        (["uint8", "uint8"], "uint8"),
        (["int16", "int32"], "int32"),
        (["bool", "bool"], "uint8"),
        (["float16"], "float32"),
        (["int64", "uint64"], "float64"),
    ],
)
def test_the_buffer_has_the_least_dtype_that_holds_all_columns(tmp_path, dtypes, expected):
    columns = {f"c{i}": np.ones(3).astype(dtype) for i, dtype in enumerate(dtypes)}
    write(tmp_path / "t.parquet", columns)
    source = opened(tmp_path / "t.parquet", columns=list(columns))
    assert source.dtype == expected
    assert [str(dtype) for dtype in source.feature_dtypes] == dtypes
    assert (rows_of(source) == 1).all()


def test_integers_stay_integers_unless_there_is_a_null(tmp_path):
    write(tmp_path / "a/x.parquet", {"n": pa.array([1, 2, 3], pa.int32())})
    assert opened(tmp_path / "a").dtype == np.int32
    write(tmp_path / "a/y.parquet", {"n": pa.array([1, None, 3], pa.int32())})
    source = opened(tmp_path / "a")
    np.testing.assert_array_equal(rows_of(source)[:, 0], [1, 2, 3, 1, np.nan, 3])
    assert source.feature_dtypes == (np.dtype("i4"),)  # whose step is what reg_covar: auto asks
    # A file without statistics denies nothing.
    write(tmp_path / "b/x.parquet", {"n": pa.array([1, 2], pa.int32())}, write_statistics=False)
    assert opened(tmp_path / "b").dtype == np.float64


def test_lists_of_fixed_size_are_several_features(tmp_path):
    lists = pa.array([[1, 2], None, [3, None], [5, 6]], pa.list_(pa.float32(), 2))
    write(tmp_path / "t.parquet", {"v": lists, "a": [7.0, 8.0, 9.0, 10.0]})
    source = opened(tmp_path / "t.parquet", columns=["a", "v"])
    assert source.feature_names == ("a", "v[0]", "v[1]")
    expected = [[7, 1, 2], [8, np.nan, np.nan], [9, 3, np.nan], [10, 5, 6]]
    np.testing.assert_array_equal(rows_of(source), expected)


def test_by_default_the_columns_of_numbers_are_the_features(tmp_path):
    frame = pd.DataFrame(
        {"name": ["x", "y"], "a": [1.0, 2.0], "w": [1, 2], "b": [3, 4], "yes": [True, False]},
        index=[5, 9],
    )
    (tmp_path / "year=2024").mkdir()
    frame.to_parquet(tmp_path / "year=2024/t.parquet")  # stores the index too
    source = opened(tmp_path, weights="w")
    assert source.feature_names == ("a", "b")
    assert source.read(0).weights.tolist() == [1.0, 2.0]


def test_a_table_is_what_its_path_names(tmp_path, monkeypatch):
    for name, value in [("b/1", 3), ("a/year=2/p", 2), ("a/year=1/p", 1), ("a/_old/p", 9)]:
        write(tmp_path / f"{name}.parquet", {"x": [value]})
    (tmp_path / "a/_SUCCESS").touch()
    (tmp_path / "a/.t.parquet.crc").touch()
    monkeypatch.chdir(tmp_path)

    def read(*paths):
        return rows_of(open_source("parquet", paths))[:, 0].tolist()

    assert read("b/1.parquet") == [3]
    assert read("a") == [1, 2]  # by name, hidden ones left out
    assert read("a/*/p.parquet") == [1, 2]
    assert read("*") == read("b", "a/year=2", "a/year=1/p.parquet") == [1, 2, 3]
    assert read(f"file://{tmp_path}/b") == [3]
    names = [f.name for f in open_source("parquet", ["b", "a"]).manifest().files]
    assert names == ["a/year=1/p.parquet", "a/year=2/p.parquet", "b/1.parquet"]
    odd = tmp_path / "odd[1]"
    write(odd / "p.parquet", {"x": [4]})
    assert read("odd[1]") == [4]  # a name that looks like a glob
    with pytest.raises(ConfigurationError, match="named twice"):
        open_source("parquet", ["a", "a/year=1"])


def test_thousands_of_files_are_no_burden_to_a_task(tmp_path):
    write(tmp_path / "0000.parquet", {"x": np.arange(4.0)})
    content = (tmp_path / "0000.parquet").read_bytes()
    for i in range(1, 2000):
        (tmp_path / f"{i:04}.parquet").write_bytes(content)
    source = opened(tmp_path)
    assert len(source.grid) == 4000
    assert len(pickle.dumps(source.part(range(2000, 2016)))) < 4000
    assert source.part(range(2000, 2016)).read(2015).values.ravel().tolist() == [2, 3]


REFUSED = {
    "text": (pa.array(["a", "b"]), "string"),
    "large text": (pa.array(["a", "b"], pa.large_string()), "large_string"),
    "lists of any length": (pa.array([[1.0], [2.0, 3.0]]), "list<"),
    "structs": (pa.array([{"x": 1}, {"x": 2}]), "struct<"),
    "moments": (pa.array([1, 2], pa.timestamp("ms")), "timestamp"),
    "decimals": (pa.array([1, 2], pa.decimal128(9, 2)), "decimal128(9, 2)"),
    "categories": (pa.array(["a", "b"]).dictionary_encode(), "dictionary<"),
    "lists of text": (pa.array([["a"], ["b"]], pa.list_(pa.string(), 1)), "fixed_size_list<"),
}


@pytest.mark.parametrize(("column", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_number_is_refused_by_name(tmp_path, column, found):
    write(tmp_path / "a.parquet", {"x": [1.0, 2.0], "y": [1.0, 2.0]})
    write(tmp_path / "b.parquet", {"x": [1.0, 2.0], "y": column})
    said = rf"b\.parquet: column 'y' \(source.columns\) has the type {re.escape(found)}.*allowed"
    with pytest.raises(InputDataError, match=said):
        opened(tmp_path, columns=["x", "y"])
    with pytest.raises(InputDataError, match=said.replace("columns", "weights", 1)):
        opened(tmp_path, columns=["x"], weights="y")
    assert opened(tmp_path, columns=["x"]).n_features == 1  # it may be there, unread
    assert opened(tmp_path / "b.parquet").feature_names == ("x",)


@pytest.mark.parametrize(
    ("second", "options", "error", "said"),
    [
        (
            {"x": [1.0]},
            {},
            InputDataError,
            r"b/p\.parquet: column 'y' .* is missing.*columns are x",
        ),
        ({"x": [1.0], "y": [1.0]}, {"columns": ["year"]}, InputDataError, "is missing"),
        ({"x": [1.0], "y": [1.0]}, {"columns": ["x", "x"]}, ConfigurationError, "x may stand"),
        ({"x": [1.0], "y": [1.0]}, {"weights": "z"}, InputDataError, r"'z' \(source.weights\)"),
        ({"x": [1.0], "y": [1.0]}, {"keep": ["id"]}, InputDataError, r"'id' \(outputs.keep\)"),
        (
            {"x": [1.0], "y": [1.0]},
            {"columns": ["x"], "weights": "x"},
            ConfigurationError,
            "the column of source.weights",
        ),
        (
            {"x": [1.0], "y": pa.array([[1.0]], pa.list_(pa.float64(), 1))},
            {},
            InputDataError,
            r"b/p\.parquet: column 'y' is fixed_size_list.*first file",
        ),
    ],
)
def test_columns_that_do_not_go_together(tmp_path, second, options, error, said):
    write(tmp_path / "a/p.parquet", {"y": [1.0, 2.0], "x": [1.0, 2.0]})
    write(tmp_path / "b/p.parquet", second)
    with pytest.raises(error, match=said):
        opened(tmp_path, **options)


def test_a_partition_is_no_column(tmp_path):
    write(tmp_path / "year=2024/p.parquet", {"x": [1.0]})
    with pytest.raises(InputDataError, match=r"'year' .* is a partition of the directories"):
        opened(tmp_path, columns=["year"])


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    write(tmp_path / "p.parquet", pa.Table.from_arrays([pa.array([1.0])] * 2, names=["x", "x"]))
    with pytest.raises(InputDataError, match=r"column 'x' .* is there twice"):
        opened(tmp_path, columns=["x"])


def test_a_column_of_nothing_but_nulls_takes_the_other_files_type(tmp_path):
    write(tmp_path / "a.parquet", {"x": pa.nulls(2), "y": [1.0, 2.0]})
    write(tmp_path / "b.parquet", {"x": pa.array([1, 2], pa.int16()), "y": [1.0, 2.0]})
    source = opened(tmp_path, columns=["x", "y"])
    np.testing.assert_array_equal(rows_of(source)[:, 0], [np.nan, np.nan, 1, 2])
    assert source.feature_dtypes[0] == np.int16


@pytest.mark.parametrize("weight", [None, np.nan, np.inf, -1.0])
def test_a_weight_that_is_none_names_file_and_row_group(tmp_path, weight):
    weights = pa.array([1.0, 2.0, 3.0, weight])
    write(tmp_path / "p.parquet", {"x": np.ones(4), "w": weights})
    source = opened(tmp_path, weights="w")
    assert source.read(0).weights.tolist() == [1, 2]
    said = r"p\.parquet: row group 1: 1 weights in column 'w' are null, NaN, infinite or negative"
    with pytest.raises(InputDataError, match=said):
        source.read(1)


def test_nothing_to_read_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputDataError, match="empty: holds no file whose name ends in"):
        opened(tmp_path / "empty")
    with pytest.raises(InputDataError, match="absent: is missing"):
        opened(tmp_path / "absent")
    with pytest.raises(InputDataError, match="matches no file"):
        opened(tmp_path / "*.parquet")
    write(tmp_path / "no-rows.parquet", {"x": pa.array([], pa.float64())})
    with pytest.raises(InputDataError, match="hold no row"):
        opened(tmp_path / "no-rows.parquet")
    write(tmp_path / "words.parquet", {"name": ["a"]})
    with pytest.raises(ConfigurationError, match=r"no column of numbers.*columns are name"):
        opened(tmp_path / "words.parquet")


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[200] ^= 0xFF  # in the first page
    path.write_bytes({"emptied": b"", "truncated": content[: len(content) // 2]}.get(how, content))


@pytest.mark.parametrize("how", ["emptied", "truncated"])
def test_a_file_without_its_footer_is_named(tmp_path, how):
    for name in "ab":
        write(tmp_path / f"{name}.parquet", {"x": np.arange(100.0)})
    damage(tmp_path / "b.parquet", how)
    with pytest.raises(InputDataError, match=r"b\.parquet: its footer cannot be read"):
        opened(tmp_path)


def test_changed_bytes_are_noticed_where_pages_have_checksums(tmp_path):
    options = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    write(tmp_path / "p.parquet", {"x": np.arange(100.0)}, row_group_size=50, **options)
    damage(tmp_path / "p.parquet", "flipped")
    source = opened(tmp_path / "p.parquet")
    assert source.read(1).values[:, 0].tolist() == list(range(50, 100))
    with pytest.raises(InputDataError, match=r"p\.parquet: row group 0 cannot be read.*CRC"):
        source.read(0)


def test_a_file_that_changes_after_it_was_looked_at_is_not_read_as_what_it_was(tmp_path):
    path = tmp_path / "p.parquet"
    write(path, {"x": np.arange(4.0)})
    before = opened(path)
    assert before.read(0).values.ravel().tolist() == [0, 1]
    write(path, {"x": np.arange(6.0)}, row_group_size=3)
    after = opened(path)
    assert after.manifest().fingerprint != before.manifest().fingerprint
    assert after.read(0).values.ravel().tolist() == [0, 1, 2]  # not from the file held open before
    with pytest.raises(InputDataError, match="row group 0 has 3 rows, and had 2"):
        before.read(0)


def test_the_fingerprint_follows_the_files_and_not_their_place(tmp_path):
    import shutil

    write(tmp_path / "a/p.parquet", {"x": [1.0]})
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # keeps the times
    first = opened(tmp_path / "a").manifest().fingerprint
    assert opened(tmp_path / "b").manifest().fingerprint == first
    (tmp_path / "b/p.parquet").rename(tmp_path / "b/q.parquet")
    assert opened(tmp_path / "b").manifest().fingerprint != first


def test_cells_are_named_by_file_and_row_group(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.parquet", {"x": np.arange(4.0)})
    source = opened(tmp_path)
    assert source.where(3) == f"{tmp_path}/b.parquet: row group 1"
    said = f"{tmp_path}/a.parquet: row group 1 to {tmp_path}/b.parquet: row group 0"
    assert source.part([1, 2]).where(1, 2) == said
