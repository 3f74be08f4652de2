"""Whatever comes in from outside, the command ends as documented, in a line, and touches nothing.

More than 2,000 bad inputs in this process, and twenty in processes of their own. Hypothesis prints
what made a test fail, and how to make it again.
"""

from __future__ import annotations

import copy
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dask_gmm.errors import InputDataError
from dask_gmm.model_file import Model
from dask_gmm.run import checkpoint as checkpoints
from dask_gmm.run.checkpoint import Checkpoint
from dask_gmm.run.cli import main
from dask_gmm.run.encoding import encode
from tests.run.test_checkpoint import ended_at_record
from tests.run.test_directory import contents

#: `make chaos` looks at more of them.
TIMES = int(os.environ.get("DASK_GMM_FUZZ", "1"))


def many(n):
    return settings(
        max_examples=n * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


#: Where numbers become too large for memory, for threads, for 32, 53 and 64 bits.
LIMITS = [0, 1, -1, 10**5, 10**9, 2**31, 2**53, 2**63 - 1, 2**63]
WORDS = ["zarr", "..", "/", "s3://u:p@h/x", "${HOME}", "${UNSET_}", "\n", "é", "a.b", "***", "NaN"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(WORDS),
    st.sampled_from(LIMITS),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places(document, at=()):
    """Yield the path of every value in a JSON document."""
    items = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


@st.composite
def mutated(draw, document):
    """Draw a copy of a JSON document in which one to three values are other, missing or new."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        paths = list(places(document))
        if not paths:
            break
        *outer, key = draw(st.sampled_from(paths))
        inner = document
        for step in outer:
            inner = inner[step]
        how = draw(st.sampled_from(["replace", "replace", "delete", "add"]))
        if how == "delete":
            del inner[key]
        elif how == "add" and isinstance(inner, dict):
            inner[draw(st.text(max_size=6))] = draw(VALUES)
        else:
            inner[key] = draw(VALUES)
    return document


@st.composite
def damaged(draw, content):
    """Draw a copy of some bytes that is cut, spliced, or has bits flipped."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def change(path, keep, data):
    """Draw another content for a file of JSON, of which ``keep`` is the good one."""
    if not keep.exists():
        shutil.copy(path, keep)
    good = keep.read_bytes()
    if data.draw(st.booleans()):
        path.write_text(json.dumps(data.draw(mutated(json.loads(good)))))
    else:
        path.write_bytes(data.draw(damaged(good)))


def ends_as_documented(code, out, err, allowed):
    assert code in allowed, err
    assert "Traceback" not in err
    assert "not foreseen" not in err
    if code:
        assert not out
        assert err.strip()
        for line in err.splitlines():
            assert line.startswith(("error: ", "2")), line  # a log line begins with its time


SETTINGS = {
    "version": 1,
    "name": "toy",
    "run_dir": "runs/{name}",
    "source": {"kind": "zarr", "path": "data/toy.zarr", "feature_axis": -1, "variable": None},
    "standardize": True,
    "model": {"n_components": 3, "n_init": 2, "tol": "auto", "covariance_type": "full"},
    "fit": {"sample_rows": 1000, "max_passes": None},
    "outputs": {"labels": {"kind": "zarr", "path": "labels.zarr"}},
    "cluster": {"kind": "threads", "n_workers": 1},
    "if_exists": "resume",
}


def test_what_is_changed_is_good_before(picture, dask_gmm):
    """Or no change would ever be looked at."""
    config = picture.path / "run.yaml"
    config.write_text(json.dumps(SETTINGS))
    code, _, err = dask_gmm("validate", config)
    assert code == 0, err


@many(500)
@given(document=mutated(SETTINGS))
def test_configurations(picture, dask_gmm, document):
    config = picture.path / "run.yaml"
    config.write_text(json.dumps(document))
    before = contents(picture.path)
    code, out, err = dask_gmm("validate", config)
    ends_as_documented(code, out, err, {0, 2, 3})
    assert contents(picture.path) == before


@many(300)
@given(data=st.data())
def test_zarr_metadata(picture, dask_gmm, data):
    change(picture.path / "data/toy.zarr/zarr.json", picture.path / "zarr.json", data)
    before = contents(picture.path)
    code, out, err = dask_gmm("validate", picture.config())
    ends_as_documented(code, out, err, {0, 2, 3})
    before["run.yaml"] = (picture.path / "run.yaml").read_bytes()
    assert contents(picture.path) == before


@pytest.fixture
def finished(picture, dask_gmm):
    code, _, err = dask_gmm("run", picture.config())
    assert code == 0, err
    return picture


@many(800)
@given(data=st.data())
def test_model_files(finished, data):
    content = (finished.run_dir / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        content = data.draw(damaged(content))
    else:
        head = json.dumps(data.draw(mutated(json.loads(content[8 : 8 + size])))).encode()
        content = len(head).to_bytes(8, "little") + head + content[8 + size :]
    path = finished.path / "changed.safetensors"
    path.write_bytes(content)
    try:
        model = Model.load(path)
    except InputDataError as error:
        said = str(error)
    else:
        said = f"{path}: a model"
        for name in ("weights", "means", "covariances", "factors"):
            assert np.isfinite(getattr(model.parameters, name)).all()
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


@pytest.fixture
def interrupted(picture, dask_gmm):
    with ended_at_record(5, before=False):
        dask_gmm("run", picture.config())
    return picture


@many(200)
@given(data=st.data())
def test_records_of_a_checkpoint(interrupted, data):
    """A record is what was written, or it is as good as none."""
    folder = interrupted.run_dir / ".partial/checkpoint"
    good = sorted(folder.glob("*.safetensors"))
    known = {path: checkpoints.read_record(path) for path in good}
    trial = interrupted.path / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir()
    for path in good:
        content = path.read_bytes()
        if data.draw(st.booleans()):
            content = data.draw(damaged(content))
        (trial / path.name).write_bytes(content)
    ledger = Checkpoint(trial)
    for path in good:
        call = ledger.call(path.stem[6:], 1)
        if call.result is not None:
            assert repr(encode(call.result[0])) == repr(encode(known[path]))
        else:
            assert not (trial / path.name).exists()


@many(200)
@given(data=st.data())
def test_the_identity_of_a_checkpoint(interrupted, dask_gmm, data):
    path = interrupted.run_dir / ".partial/checkpoint/identity.json"
    change(path, interrupted.path / "identity.json", data)
    before = contents(interrupted.path)
    code, _, err = dask_gmm("info", interrupted.run_dir)
    assert code == 0
    assert "Traceback" not in err
    assert contents(interrupted.path) == before


def changed_setting(project, rng):
    """Put something else at one place of the configuration."""
    document = copy.deepcopy(SETTINGS)
    paths = list(places(document))
    *outer, key = paths[rng.integers(len(paths))]
    inner = document
    for step in outer:
        inner = inner[step]
    inner[key] = ["x", -1, [], {"a": None}][rng.integers(4)]
    (project.path / "run.yaml").write_text(json.dumps(document))


def change_bytes(path, rng):
    content = bytearray(path.read_bytes())
    at = rng.integers(len(content))
    content[at : at + 3] = rng.bytes(2)
    path.write_bytes(content)


def changed_metadata(project, rng):
    change_bytes(project.path / "data/toy.zarr/zarr.json", rng)
    (project.path / "run.yaml").write_text(json.dumps(SETTINGS))


def changed_table(project, rng):
    """Change a table anywhere, or its footer."""
    path = project.path / "data/t.parquet"
    columns = {name: project.values[..., i].ravel() for i, name in enumerate("abc")}
    pq.write_table(pa.table(columns), path, write_page_checksum=True)
    if rng.integers(2):
        path.write_bytes(path.read_bytes()[:-8] + rng.bytes(8))
    change_bytes(path, rng)
    outputs = {"labels": {"kind": "parquet", "path": "classes"}}
    document = {**SETTINGS, "source": {"kind": "parquet", "path": "data/t.parquet"}}
    (project.path / "run.yaml").write_text(json.dumps({**document, "outputs": outputs}))


def changed_checkpoint(project, rng):
    """Leave an unfinished run behind, one of whose files is another."""
    (project.path / "run.yaml").write_text(json.dumps(SETTINGS))
    with ended_at_record(3, before=False):
        main(["run", "run.yaml"])
    files = sorted((project.run_dir / ".partial/checkpoint").glob("*.*"))
    change_bytes(files[rng.integers(len(files))], rng)


#: One for each process; what ends in a refusal takes a fifth of the time of a run.
CHANGES = 6 * (changed_setting, changed_metadata, changed_table) + 2 * (changed_checkpoint,)


@pytest.mark.usefixtures("dask_gmm")  # which puts logging back
@pytest.mark.parametrize("seed", range(20))
def test_in_a_process_of_its_own(picture, seed):
    """As a user meets it: exit code, one line of reason, nothing written outside run_dir."""
    CHANGES[seed](picture, np.random.default_rng(seed))
    before = contents(picture.path)
    code, out, err = picture.command("run", "run.yaml")
    ends_as_documented(code, out, err, {0, 2, 3})
    after = contents(picture.path)
    changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    assert all(name.startswith("runs/") for name in changed)
    if code == 0:
        model = Model.load(picture.run_dir).parameters
        assert all(np.isfinite(each).all() for each in (model.weights, model.means))
