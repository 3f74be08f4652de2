"""Whatever stands in the file, it loads or is refused with a place; nothing else comes out."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config import Config, load_config

VALID = {
    "version": 1,
    "name": "x",
    "run_dir": "runs/{name}",
    "source": {"kind": "zarr", "path": "a.zarr", "feature_axis": -1, "storage_options": {}},
    "standardize": True,
    "model": {"n_components": 6, "init": "kmeans", "tol": "auto", "reg_covar": 0.5},
    "fit": {"sample_rows": 10, "halving": True},
    "classes": {"order": "weight"},
    "outputs": {"labels": {"kind": "same", "path": "l.zarr"}, "probabilities": None, "keep": []},
    "cluster": {"kind": "local", "n_workers": 2, "memory_limit": "2GiB"},
}
PATHS = [(key,) for key in VALID] + [
    (key, inner) for key, value in VALID.items() if isinstance(value, dict) for inner in value
]
KEYS = [*sorted({key for path in PATHS for key in path}), "top", "a.b", "", "${HOME}", "\n", "é"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [*KEYS, "zarr", "geotiff", "uint8", "${UNSET_}", "${", "..", "-1GiB", "s3://a"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
DELETE = object()
CHANGES = st.tuples(
    st.sampled_from(PATHS) | st.tuples(st.sampled_from(list(VALID)), st.sampled_from(KEYS)),
    VALUES | st.just(DELETE),
)
RELAXED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def loads_or_says_where(path):
    try:
        assert isinstance(load_config(path), Config)
    except ConfigurationError as error:
        for line in str(error).split("\n"):
            assert re.match(rf"{re.escape(str(path))}:[0-9]+:[0-9]+: \S", line), line
            assert "pydantic" not in line
            assert len(line) < 700


@RELAXED
@given(changes=st.lists(CHANGES, min_size=1, max_size=4))
def test_random_changes(tmp_path, changes):
    value = json.loads(json.dumps(VALID))
    for steps, new in changes:
        inner = value
        for step in steps[:-1]:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            continue
        if new is DELETE:
            inner.pop(steps[-1], None)
        else:
            inner[steps[-1]] = new
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    loads_or_says_where(path)


@RELAXED
@given(data=st.data())
def test_random_bytes_and_splices(tmp_path, data):
    text = bytearray(json.dumps(VALID, indent=1).replace('"', "").encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.binary(max_size=4)
            | st.sampled_from(
                [b"\t", b"&a ", b"*a", b"!!x ", b"\n", b"- ", b": ", b"|", b'"', b"${X}"]
            )
        )
    path = tmp_path / "run.yaml"
    path.write_bytes(text)
    loads_or_says_where(path)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"%", b"...", b"---\n---\n"]
)
def test_odd_files(tmp_path, data):
    path = tmp_path / "run.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError):
        load_config(path)
    loads_or_says_where(path)
