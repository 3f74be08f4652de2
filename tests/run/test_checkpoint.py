"""A run that ended anywhere goes on: nothing is computed twice, and the bits are the same."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path

import hypothesis.extra.numpy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.families import FAMILIES
from dask_gmm.run import checkpoint as checkpoints
from dask_gmm.run import records
from dask_gmm.run.directory import MARKER
from dask_gmm.run.encoding import decode, encode
from dask_gmm.run.records import DamagedRecordError, read_record, write_record

from .test_directory import results


class Ended(BaseException):
    """The end of the process, as far as a test in it can tell."""


@contextmanager
def ended_at_record(n, *, before):
    """Let the process end before, or after, the n-th record of a finished call is written."""
    write, count = records.write_record, iter(range(1, 10_000))

    def ending(path, value):
        i = next(count) if path.parent.name == "checkpoint" else 0
        if before and i == n:
            raise Ended
        kept = write(path, value)
        if i == n:
            raise Ended
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write_record", ending)
        with pytest.raises(Ended):
            yield


def same_times(folder):
    """Give all files one time: a model names its input's fingerprint, which holds their times."""
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))


@pytest.fixture
def clouds(project):
    """A picture in 24 leaves' worth of chunks, whose fit changes every parameter in every pass."""
    values = np.random.default_rng(3).normal(size=(120, 200, 3)) ** 3
    project.array(values.astype("f4"), (20, 100, 3))
    same_times(project.path / "data")
    return project


def config(project, **sections):
    steps = {"n_components": 4, "n_init": 2, "tol": 1e-300, "max_iter": 5}
    return project.config(**{"model": steps, "fit": {"sample_rows": 2000}, **sections})


#: The bits of a run to which nothing happens; they are those of the first.
BITS = {}


@pytest.fixture
def undisturbed(clouds, dask_gmm):
    if not BITS:
        code, _, err = dask_gmm("run", config(clouds, run_dir="runs/undisturbed"))
        assert code == 0, err
        BITS.update(results(clouds.path / "runs/undisturbed"))
    return BITS


def n_records(folder):
    return len(list((folder / ".partial/checkpoint").glob("*.safetensors")))


# The records: survey, starts, splits and merges; the first step, small classes; after each of the
# five steps a look ahead; what was held out, outputs, segmentation.
@pytest.mark.parametrize(
    ("n", "before"),
    [(2, True), (6, True), (9, True), *((n, False) for n in (1, 3, 4, 5, 6, 7, 13, 14, 16, 17))],
)
def test_a_run_goes_on_after_every_record(clouds, undisturbed, dask_gmm, n, before):
    with ended_at_record(n, before=before):
        dask_gmm("run", config(clouds))
    assert not (clouds.run_dir / "manifest.json").exists()
    found = n_records(clouds.run_dir)
    assert found == n - before
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 0, err
    assert "going on with an unfinished run" in err
    assert results(clouds.run_dir) == undisturbed
    known_steps = sum(found >= each for each in (4, 7, 9, 11, 13))
    assert err.count("done earlier") == known_steps
    history = [json.loads(x) for x in (clouds.run_dir / "history.jsonl").read_text().splitlines()]
    full = [line["seconds"] for line in history if line["stage"] == "full"]
    assert [each is None for each in full] == [i < known_steps for i in range(5)]
    assert clouds.manifest()["fit"]["passes"]["total"] == 7


def test_a_run_that_is_finished_keeps_no_records(clouds, dask_gmm):
    assert dask_gmm("run", config(clouds))[0] == 0
    kept = [each.name for each in (clouds.run_dir / "checkpoint").iterdir()]
    assert sorted(kept) == ["identity.json", "journal.jsonl"]
    assert not (clouds.run_dir / ".partial").exists()


@pytest.mark.parametrize(
    ("damage", "place"),
    [("torn", -1), ("empty", -1), ("flipped", -1), ("other", -1), ("torn", -2)],
)
def test_a_damaged_record_falls_back_to_the_one_before(
    clouds, undisturbed, dask_gmm, damage, place
):
    """Its own reading is done again, and no other one: also where it is not the last."""
    with ended_at_record(10, before=False):
        dask_gmm("run", config(clouds))
    records = sorted((clouds.run_dir / ".partial/checkpoint").glob("*.safetensors"))
    path, before = records[place], records[place - 1]
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1
    wrong = {"torn": content[: len(content) // 2], "empty": b"", "other": before.read_bytes()[:-1]}
    path.write_bytes(wrong.get(damage, content))
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 0, err
    assert f"WARNING {path}: " in err
    assert "what it held is computed again" in err
    assert err.count("done earlier") == (3 if place == -1 else 2)  # the last one is a look ahead
    assert results(clouds.run_dir) == undisturbed


def test_going_on_refuses_another_configuration_and_names_the_keys(clouds, dask_gmm):
    with ended_at_record(5, before=False):
        dask_gmm("run", config(clouds))
    other = config(clouds, standardize=False, fit={"sample_rows": 500})
    code, _, err = dask_gmm("run", other)
    assert code == 2
    assert "an unfinished run with another configuration" in err
    assert "(changed: fit.sample_rows, standardize)" in err
    assert dask_gmm("run", other, "--set=if_exists=overwrite")[0] == 0


def test_going_on_refuses_changed_data(clouds, dask_gmm):
    with ended_at_record(5, before=False):
        dask_gmm("run", config(clouds))
    clouds.array(clouds.values + 1, (20, 100, 3))
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 3
    assert f"{clouds.path}/data/toy.zarr: the data have changed since the run in " in err
    assert dask_gmm("run", config(clouds, if_exists="overwrite"))[0] == 0


def test_going_on_refuses_another_version_of_the_program(clouds, dask_gmm, monkeypatch):
    with ended_at_record(5, before=False):
        dask_gmm("run", config(clouds))
    monkeypatch.setattr("dask_gmm.__version__", "99.0")
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 2
    assert "an unfinished run with another version (" in err
    assert "now '99.0')" in err


def test_where_there_is_nothing_to_lose_a_changed_run_starts_anew(clouds, dask_gmm):
    with ended_at_record(1, before=False):
        dask_gmm("run", config(clouds))
    code, _, err = dask_gmm("run", config(clouds, standardize=False))
    assert code == 0, err
    assert "is dropped" in err


@pytest.mark.parametrize("if_exists", ["error", "skip", "resume", "overwrite"])
def test_the_same_command_goes_on_whatever_if_exists_says(clouds, undisturbed, dask_gmm, if_exists):
    with ended_at_record(10, before=False):
        dask_gmm("run", config(clouds, if_exists=if_exists))
    code, _, err = dask_gmm("run", config(clouds, if_exists=if_exists))
    assert code == 0, err
    assert err.count("done earlier") == 3
    assert results(clouds.run_dir) == undisturbed


def test_other_workers_may_go_on(clouds, undisturbed, dask_gmm):
    with ended_at_record(10, before=False):
        dask_gmm("run", config(clouds))
    threads = {"kind": "threads", "n_workers": 2}
    assert dask_gmm("run", config(clouds, cluster=threads))[0] == 0
    assert results(clouds.run_dir) == undisturbed


def test_an_older_result_stays_until_the_new_run_is_finished(clouds, dask_gmm):
    assert dask_gmm("run", config(clouds, standardize=False))[0] == 0
    before = results(clouds.run_dir)
    with ended_at_record(15, before=False):
        dask_gmm("run", config(clouds, if_exists="overwrite"))
    after = results(clouds.run_dir)
    assert {k: v for k, v in after.items() if not k.startswith(".partial")} == before
    assert clouds.manifest()["status"] == "done"
    code, _, err = dask_gmm("run", config(clouds, if_exists="overwrite"))
    assert code == 0
    assert err.count("done earlier") == 5
    assert results(clouds.run_dir) != before


def test_a_chunk_that_was_lost_is_written_again(clouds, undisturbed, dask_gmm):
    with ended_at_record(17, before=False):
        dask_gmm("run", config(clouds))
    (clouds.run_dir / ".partial/labels.zarr/c/3/1").unlink()
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 0, err
    assert "part 0 of segment has lost what it wrote, and is done again" in err
    assert results(clouds.run_dir) == undisturbed


def test_half_a_chunk_that_a_killed_process_left_is_swept_away(clouds, undisturbed, dask_gmm):
    with ended_at_record(16, before=False):
        dask_gmm("run", config(clouds))
    half = clouds.run_dir / ".partial/labels.zarr/c/3/1.5f3e.partial"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert dask_gmm("run", config(clouds))[0] == 0
    assert results(clouds.run_dir) == undisturbed


# --- the commit ----------------------------------------------------------------------------------


#: What is renamed into the run directory, and for which time: the steps of a commit, in order.
COMMIT = [
    (MARKER, 1), (MARKER, 2), ("labels.zarr", 1), ("log_density.zarr", 1), ("config.yaml", 1),
    ("report.html", 1), ("checkpoint", 1), (MARKER, 3), ("manifest.json", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "time"), COMMIT)
def test_a_commit_that_was_broken_off_is_completed(
    clouds, undisturbed, dask_gmm, monkeypatch, name, time
):
    """Steps are told by what they put where, and not counted: other renames do not matter."""
    done = []

    def ending(move):
        def moved(self, target):
            if Path(target).parent == clouds.run_dir:
                done.append(Path(target).name)
                if done.count(name) == time and done[-1] == name:
                    raise Ended
            return move(self, target)

        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", ending(Path.rename))
        patch.setattr(Path, "replace", ending(Path.replace))
        with pytest.raises(Ended):
            dask_gmm("run", config(clouds))
    code, _, err = dask_gmm("run", config(clouds))
    assert code == 0, err
    assert results(clouds.run_dir) == undisturbed
    assert clouds.manifest()["status"] == "done"
    assert not (clouds.run_dir / ".partial").exists()


# --- values --------------------------------------------------------------------------------------

ODD = [
    None, True, 0, -(2**70), 1.5, -0.0, 5e-324, float("inf"), float("-inf"), "x\ud7ff", (), [],
    {}, {"a": (1, [2.5, None])}, {(1, 2): 3}, np.float32(1.25), np.uint64(7),
    np.bool_(True),
    np.dtype(">f4"), *FAMILIES.values(),
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_value_comes_back_as_it_was(tmp_path, value):
    kept = write_record(tmp_path / "record", value)
    for back in (kept, read_record(tmp_path / "record")):
        assert back == value
        assert type(back) is type(value)
        assert repr(back) == repr(value)


DTYPES = ["?", "i1", "u1", "<i2", ">i4", "<u8", ">f4", "<f2", "<f8", ">f8"]


@given(
    array=hypothesis.extra.numpy.arrays(
        st.sampled_from(DTYPES).map(np.dtype), st.lists(st.integers(0, 4), max_size=3).map(tuple)
    ),
    transposed=st.booleans(),
)
def test_an_array_comes_back_to_the_bit(tmp_path_factory, array, transposed):
    array = array.T if transposed else array
    path = tmp_path_factory.mktemp("record") / "record"
    kept, back = write_record(path, array), read_record(path)
    for each in (kept, back):
        assert each.dtype.str == array.dtype.str
        assert each.shape == array.shape
        assert each.tobytes() == array.tobytes()


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array(["x"]), np.array([None]), 1j, print])
def test_what_cannot_be_kept_is_refused(value):
    with pytest.raises(TypeError, match="cannot be kept in a checkpoint"):
        encode(value)


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:Popen", "dask_gmm.run.job:run_configured", "builtins:dict",
             "dask_gmm.run.directory:RunDirectory", "dask_gmm.run.checkpoint:np", "", ":"]
)  # fmt: skip
def test_no_name_in_a_file_calls_anything_but_a_value_of_ours(name):
    with pytest.raises(ValueError, match="no class whose values are kept"):
        decode({}, {"class": name, "fields": {}})


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_record_is_noticed(tmp_path, data):
    path = tmp_path / "record"
    write_record(path, {"a": np.arange(6.0).reshape(2, 3), "b": (1, "x", FAMILIES["full"])})
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content)))
    new = data.draw(st.binary(max_size=6))
    changed = content[:at] + new + content[at + data.draw(st.integers(0, 6)) :]
    path.write_bytes(changed)
    try:
        value = read_record(path)
    except DamagedRecordError:
        return
    # Only what does not reach the value may change: spaces in the header, say.
    assert repr(value["a"]) == repr(np.arange(6.0).reshape(2, 3))
    assert value["b"] == (1, "x", FAMILIES["full"])
