"""Tables as nobody would write them on purpose: types, names, footers, values."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.run.conftest import blobs
from tests.run.test_directory import contents

from .test_border import SETTINGS, damaged, ends_as_documented, many

NUMBERS = [
    pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(),
    pa.list_(pa.float32(), 2),
]  # fmt: skip
TYPES = [
    *NUMBERS, pa.string(), pa.large_binary(), pa.binary(4), pa.null(), pa.date32(),
    pa.timestamp("ns", "UTC"), pa.duration("s"), pa.time64("us"), pa.decimal128(10, 2),
    pa.list_(pa.float32()), pa.list_(pa.list_(pa.int8(), 1), 2), pa.list_(pa.string(), 2),
    pa.list_(pa.float64(), 0), pa.struct([("a", pa.float32())]), pa.struct([]),
    pa.map_(pa.string(), pa.int32()), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int8(), pa.float64()), pa.large_list(pa.float64()), pa.string_view(),
]  # fmt: skip
NAMES = ["x", "x", "y", "", "a.b", "x[0]", "é", "__index_level_0__", "label", "\n", "w", "../z"]


def column(kind, n):
    """Return a column of a type: numbers where it holds them, else nulls."""
    if kind in NUMBERS and pa.types.is_primitive(kind):
        return pa.array(np.arange(n) % 2).cast(pa.int8()).cast(kind)
    return pa.nulls(n, kind)


@st.composite
def tables(draw):
    """Draw the content of a Parquet file of up to four columns."""
    n = draw(st.sampled_from([0, 1, 5, 40]))
    kinds = draw(st.lists(st.sampled_from(TYPES), max_size=4))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=len(kinds), max_size=len(kinds)))
    sink = pa.BufferOutputStream()
    try:
        table = pa.table([column(kind, n) for kind in kinds], names=names)
        pq.write_table(
            table,
            sink,
            row_group_size=draw(st.sampled_from([1, 16, 100])),
            compression=draw(st.sampled_from(["none", "snappy", "zstd"])),
            write_page_checksum=draw(st.booleans()),
        )
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        assume(False)  # there is no such file
    return sink.getvalue().to_pybytes()


@st.composite
def sections(draw):
    """Draw what is said of a table: columns, weights, what to carry through."""
    some = st.lists(st.sampled_from([*NAMES, "absent"]), max_size=3)
    source = {"kind": "parquet", "path": "data/t", "columns": draw(st.none() | some)}
    source["weights"] = draw(st.none() | st.sampled_from(NAMES))
    outputs = {"labels": {"kind": "parquet", "path": "classes"}, "keep": draw(st.just([]) | some)}
    return {"source": source, "outputs": outputs}


@many(250)
@given(
    files=st.lists(tables(), min_size=1, max_size=2),
    bad=st.booleans(),
    section=sections(),
    data=st.data(),
)
def test_parquet_schemas(project, dask_gmm, files, bad, section, data):
    folder = project.path / "data/t"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for i, content in enumerate(files):
        broken = data.draw(damaged(content)) if bad and i == 0 else content
        (folder / f"{i}.parquet").write_bytes(broken)
    config = project.path / "run.yaml"
    config.write_text(json.dumps({**SETTINGS, **section}))
    before = contents(project.path)
    code, out, err = dask_gmm("validate", config)
    ends_as_documented(code, out, err, {0, 2, 3})
    assert contents(project.path) == before


ODD = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0, -0.0, 1e17, None]


@many(20)
@given(
    odd=st.lists(
        st.tuples(st.integers(0, 299), st.integers(0, 2), st.sampled_from(ODD)), max_size=40
    ),
    constant=st.none() | st.sampled_from([0.0, 1e300, np.nan]),
    on_invalid=st.sampled_from(["mask", "error"]),
    at=st.none() | st.integers(4, 4000),
)
def test_values_of_a_table(project, dask_gmm, odd, constant, on_invalid, at):
    """Odd values, and bytes that have changed: a finite model, or a refusal."""
    path = project.path / "data/t.parquet"
    path.parent.mkdir(exist_ok=True)
    columns = {name: list(map(float, c)) for name, c in zip("abc", blobs((300,)).T, strict=True)}
    for row, name, value in odd:
        columns["abc"[name]][row] = value
    if constant is not None:
        columns["c"] = [constant] * 300
    table = pa.table({name: pa.array(c, pa.float64()) for name, c in columns.items()})
    pq.write_table(table, path, row_group_size=100, write_page_checksum=True)
    if at is not None:
        content = bytearray(path.read_bytes())
        content[at % len(content)] ^= 0x10
        path.write_bytes(content)
    config = project.config(
        source={"kind": "parquet", "path": "data/t.parquet", "on_invalid": on_invalid},
        outputs={"labels": {"kind": "parquet", "path": "classes"}, "probabilities": None,
                 "uncertainty": None, "log_density": None},
        model={"n_components": 2, "n_init": 1, "max_iter": 5},
        if_exists="overwrite",
    )  # fmt: skip
    with contextlib.suppress(FileNotFoundError):
        (project.run_dir / "model.json").unlink()
    before = {k: v for k, v in contents(project.path).items() if not k.startswith("runs/")}
    code, out, err = dask_gmm("run", config)
    ends_as_documented(code, out, err, {0, 2, 3})
    after = {k: v for k, v in contents(project.path).items() if not k.startswith("runs/")}
    assert after == before
    if code == 0:
        model = json.loads((project.run_dir / "model.json").read_text())
        for name in ("weights", "means", "covariances"):
            assert np.isfinite(np.array(model[name], float)).all(), name
