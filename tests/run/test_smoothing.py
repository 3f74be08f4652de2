"""Smoothing through the command: no chunk can be told from the result, and memory is promised."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from dask_gmm import GaussianMixture, smooth_posterior
from dask_gmm.run import smoothed
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured
from tests.volumes import write_nifti, write_ome_zarr

NAMES = ("labels", "probabilities", "uncertainty", "log_density")


def noisy(shape, seed=0):
    """Draw three classes in patches, two features, with much noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, [-(-n // 6) for n in shape])
    for axis in range(len(shape)):
        coarse = coarse.repeat(6, axis=axis)
    truth = coarse[tuple(slice(n) for n in shape)]
    means = np.array([[60.0, 90.0], [100.0, 120.0], [150.0, 70.0]])
    values = means[truth] + rng.normal(scale=22.0, size=(*shape, 2))
    return np.clip(np.rint(values), 0, 255).astype("u1")


def spatial(strength=1.2, neighbourhood=8, iterations=4, **more):
    asked = {"strength": strength, "neighbourhood": neighbourhood, "iterations": iterations}
    return {"spatial": {**asked, **more}}


def outputs(project, run_dir):
    return {name: project.output(name, project.path / run_dir) for name in NAMES}


def of_input(project, run_dir, output, name):
    """Return what a run over many inputs has written of one of them."""
    place = project.path / run_dir / f"{output}.zarr" / f"{name}.zarr"
    return zarr.open_array(str(place), mode="r")[...]


@pytest.fixture
def seed(request):
    """A seed that changes from day to day and is printed where a test fails."""
    found = np.random.SeedSequence().entropy % 10**6
    print(f"seed: {found}")
    return found


CASES = {
    "a plane": ((37, 45), 8, 4),
    "a volume": ((9, 13, 11), 26, 3),
    "smaller than the halo": ((6, 5), 4, 11),
    "a stack of planes": ((3, 14, 17), 4, 5),
    "a plane and its texture": ((37, 45), 8, 4),
}
#: Features that look around themselves, below a field that looks around them.
TEXTURE = [
    "band0",
    {"rough": {"kind": "std", "of": "band1", "scale": 2}},
    {"smooth": {"kind": "gaussian", "of": "band0", "scale": 1}},
]


@pytest.mark.parametrize("case", CASES)
def test_ten_chunkings_give_the_bits_of_one_chunk(project, dask_gmm, case, seed):
    """One model is applied to one image in one chunk, and ten times in random chunks.

    The mask is cut in its own way; the ten are inputs of one run.
    """
    shape, neighbourhood, iterations = CASES[case]
    rng = np.random.default_rng(seed)
    values = noisy(shape)
    mask = (rng.random(shape) > 0.15).astype("u1")

    def chunks():
        return tuple(int(rng.integers(-(-n // 5), n + 1)) for n in shape)

    cut = {"whole": shape, **{f"cut-{i}": chunks() for i in range(10)}}
    for name, each in cut.items():
        project.array(values, (*each, 2), path=f"data/{name}.zarr")
        project.array(mask, shape if name == "whole" else chunks(), path=f"masks/{name}.zarr")
    field = spatial(neighbourhood=neighbourhood, iterations=iterations)

    def of(names):
        paths = [f"data/{name}.zarr" for name in names]
        source = {"path": paths, "mask": {"path": "masks/{stem}.zarr"}, "nodata": 255}
        features = {"features": TEXTURE} if "texture" in case else {}
        return project.config(source=source, smoothing=field, **features)

    assert dask_gmm("run", of(["whole"]))[0] == 0
    code, _, err = dask_gmm("predict", "runs/toy", of(cut), "--run-dir", "runs/cut")
    assert code == 0, err
    masked = (mask == 0) | (values == 255).any(axis=-1)
    for output in NAMES:
        once = of_input(project, "runs/toy", output, "whole")
        assert (np.isnan(once) if once.dtype.kind == "f" else once == 0)[masked].all()
        assert np.isfinite(once[~masked]).all()
        for name, each in cut.items():
            found = of_input(project, "runs/cut", output, name)
            np.testing.assert_array_equal(found, once, f"{output}, {each}, seed {seed}")
    alone, together = (
        project.manifest(project.path / run)["smoothing"]["changed"]
        for run in ("runs/toy", "runs/cut")
    )
    assert together == len(cut) * alone


def test_a_fit_in_other_chunks_is_smoothed_to_the_same_labels(project, dask_gmm):
    project.array(noisy((60, 70)), (60, 70, 2))
    assert dask_gmm("run", project.config(smoothing=spatial()))[0] == 0
    once = project.output("labels")
    project.array(noisy((60, 70)), (13, 20, 2))
    config = project.config(smoothing=spatial(), run_dir="runs/cut")
    assert dask_gmm("run", config)[0] == 0
    np.testing.assert_array_equal(project.output("labels", project.path / "runs/cut"), once)


@pytest.mark.parametrize("compress", ["auto", "never"])
def test_what_is_written_is_what_the_function_says(project, dask_gmm, compress):
    """Where rows repeat they are looked up; the field begins with the same probabilities."""
    values = noisy((90, 80)) // 16 * 16
    project.array(values, (32, 25, 2))
    config = project.config(
        smoothing=spatial(iterations=3), fit={"compress": compress}, standardize=False
    )
    code, out, err = dask_gmm("run", config)
    assert code == 0, err
    manifest = project.manifest()
    assert manifest["fit"]["compression"]["prediction_by_look_up"] == (compress == "auto")
    model = GaussianMixture.load(project.run_dir)
    p = model.predict_proba(values.reshape(-1, 2).astype(float)).reshape(90, 80, -1)
    expected = smooth_posterior(p, strength=1.2, neighbourhood=8, iterations=3)
    np.testing.assert_allclose(project.output("probabilities"), expected, atol=1e-6)
    sure = np.sort(expected, axis=-1)[..., -1] > np.sort(expected, axis=-1)[..., -2] + 1e-5
    labels = project.output("labels")
    np.testing.assert_array_equal(labels[sure], expected.argmax(axis=-1)[sure] + 1)
    # The density is the mixture's; so are likelihood and criteria.
    density = model.score_samples(values.reshape(-1, 2).astype(float)).reshape(90, 80)
    np.testing.assert_allclose(project.output("log_density"), density, rtol=1e-9)
    changed = (p.argmax(axis=-1) + 1 != labels).sum()
    assert manifest["smoothing"]["changed"] == pytest.approx(changed, abs=3)
    assert 0 < changed < labels.size / 2
    rows = [each["rows"] for each in manifest["classes"]]
    assert rows == np.bincount(labels.ravel(), minlength=4)[1:].tolist()
    assert f"the class of {manifest['smoothing']['changed']:,} pixels" in out
    assert "Smoothed: 3 iterations of a field" in (project.run_dir / "report.html").read_text()


def test_tiles_of_a_cell_cannot_be_told(project, dask_gmm, monkeypatch):
    project.array(noisy((70, 64)), (70, 64, 2))
    config = project.config(smoothing=spatial())
    assert dask_gmm("run", config)[0] == 0
    whole = outputs(project, "runs/toy")
    monkeypatch.setattr(smoothed, "TILE_BYTES", 100_000)
    monkeypatch.setattr(smoothed, "ROWS", 256)
    assert len(list(smoothed.tiles((slice(0, 70),) * 2, smoothed.tile_shape((70, 64), (4, 4), 3))))
    assert dask_gmm("predict", "runs/toy", config, "--run-dir", "runs/tiled")[0] == 0
    for name, found in outputs(project, "runs/tiled").items():
        np.testing.assert_array_equal(found, whole[name], name)


def test_probabilities_as_bytes_and_of_the_best_classes_are_those_after_it(project, dask_gmm):
    project.array(noisy((40, 50)), (17, 50, 2))
    path = {"path": "probabilities.zarr"}
    results = {"probabilities": path}
    assert dask_gmm("run", project.config(smoothing=spatial(), outputs=results))[0] == 0
    p, labels = project.output("probabilities"), project.output("labels")
    assert (p.argmax(axis=-1) + 1 == labels).all()
    results = {"probabilities": {**path, "dtype": "uint8", "top": 2}}
    config = project.config(smoothing=spatial(), outputs=results)
    assert dask_gmm("predict", "runs/toy", config, "--run-dir", "runs/bytes")[0] == 0
    there = project.path / "runs/bytes"
    best = np.sort(p, axis=-1)[..., ::-1][..., :2]
    np.testing.assert_array_equal(project.output("probabilities", there), np.rint(best * 254))
    assert (project.output("probabilities-labels", there)[..., 0] == labels).all()


def test_every_step_of_a_volume_counts_by_its_length(project, dask_gmm):
    """Slices of 5 mm beside pixels of 1 mm: neighbours across slices count for a fifth."""
    shape = (7, 12, 10)
    write_ome_zarr(project.path / "data/a.ome.zarr", noisy(shape)[..., 0], "zyx", chunks=(3, 5, 10))
    source = {"kind": "ome-zarr", "path": "data/a.ome.zarr"}
    results = {name: {"kind": "zarr", "path": f"{name}.zarr"} for name in NAMES}
    field = spatial(neighbourhood=6)
    config = project.config(source=source, smoothing=field, outputs=results)
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    assert project.manifest()["smoothing"]["spacing"] == [2.0, 0.5, 0.5]
    p = GaussianMixture.load(project.run_dir).predict_proba(
        noisy(shape)[..., :1].reshape(-1, 1).astype(float)
    )
    expected = smooth_posterior(
        p.reshape(*shape, -1), strength=1.2, neighbourhood=6, iterations=4, spacing=(4, 1, 1)
    )
    np.testing.assert_allclose(project.output("probabilities"), expected, atol=1e-5)
    field = spatial(neighbourhood=6, spacing=[1, 1, 1])
    alike = project.config(source=source, smoothing=field, outputs=results)
    assert dask_gmm("predict", "runs/toy", alike, "--run-dir", "runs/alike")[0] == 0
    other = project.output("probabilities", project.path / "runs/alike")
    assert np.abs(other - expected).max() > 0.01


def test_many_inputs_are_smoothed_each_in_itself(project, dask_gmm):
    images = {"a": noisy((20, 30)), "b": noisy((25, 18), seed=1)}
    for name, values in images.items():
        project.array(values, (9, 10, 2), path=f"data/{name}.zarr")
    source = {"path": ["data/a.zarr", "data/b.zarr"]}
    config = project.config(source=source, smoothing=spatial())
    assert dask_gmm("run", config)[0] == 0
    model = GaussianMixture.load(project.run_dir)
    for name, values in images.items():
        p = model.predict_proba(values.reshape(-1, 2).astype(float))
        p = p.reshape(*values.shape[:2], -1)
        expected = smooth_posterior(p, strength=1.2, neighbourhood=8, iterations=4)
        found = of_input(project, "runs/toy", "probabilities", name)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_damaged_chunk_is_named_by_whoever_reads_it_as_a_neighbour(project, dask_gmm):
    project.array(noisy((40, 40)), (20, 20, 2))
    config = project.config(smoothing=spatial())
    assert dask_gmm("run", config)[0] == 0
    (project.path / "data/toy.zarr/c/1/1/0").write_bytes(b"torn")
    code, _, err = dask_gmm("predict", "runs/toy", config, "--run-dir", "runs/again")
    assert code == 3
    assert "c/1/1/0" in err


# --- refusals ------------------------------------------------------------------------------------


def refusal(project, dask_gmm, config):
    code, _, err = dask_gmm("plan", config)
    assert code == 2
    assert "Traceback" not in err
    return err


def test_what_has_no_such_neighbours_is_refused(project, dask_gmm):
    project.array(noisy((40,)), (40, 2))
    err = refusal(project, dask_gmm, project.config(smoothing=spatial()))
    assert "smoothing.spatial.neighbourhood: found 8, of planes" in err
    assert "remove the section smoothing" in err
    project.array(noisy((8, 9)), (8, 9, 2))
    err = refusal(project, dask_gmm, project.config(smoothing=spatial(neighbourhood=26)))
    assert "found 26, of volumes" in err
    assert "allowed: 4 or 8" in err


def test_inputs_of_planes_and_of_volumes_are_not_smoothed_together(project, dask_gmm):
    project.array(noisy((8, 9)), (8, 9, 2), path="data/a.zarr")
    project.array(noisy((3, 8, 9)), (3, 8, 9, 2), path="data/b.zarr")
    source = {"path": ["data/a.zarr", "data/b.zarr"]}
    err = refusal(project, dask_gmm, project.config(source=source, smoothing=spatial()))
    assert "the inputs have 2 and 3 leading axes" in err


def test_moments_are_no_neighbours(project, dask_gmm):
    values = np.moveaxis(noisy((6, 7, 3, 4))[..., 0], 0, 0)
    write_nifti(project.path / "data/a.nii", values.astype("i2"))
    source = {"kind": "nifti", "path": "data/a.nii", "feature_axis": None}
    results = {name: {"path": f"{name}.nii"} for name in NAMES}
    config = project.config(source=source, smoothing=spatial(neighbourhood=6), outputs=results)
    assert "moments are no neighbours" in refusal(project, dask_gmm, config)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"strength": -1, "neighbourhood": 4}, "strength: found -1; allowed a number >= 0"),
        ({"strength": 1, "neighbourhood": 5}, "neighbourhood: found 5; allowed one of 4, 8, 6, 26"),
        ({"strength": 1}, "neighbourhood: found no such key"),
        ({"strength": 1, "neighbourhood": 4, "iterations": 0}, "iterations: found 0"),
        ({"strength": 1, "neighbourhood": 4, "spacing": [1, 2, 3]}, "auto or a list of 2 numbers"),
        ({"strength": 1, "neighbourhood": 4, "spacing": [1, -2]}, "spacing"),
        ({"strenght": 1, "neighbourhood": 4}, "did you mean strength?"),
    ],
)
def test_a_field_that_means_nothing_is_refused(project, dask_gmm, field, words):
    config = project.config(smoothing={"spatial": field})
    assert words in refusal(project, dask_gmm, config)


def test_rows_of_a_table_have_no_neighbours(project, dask_gmm):
    source = {"kind": "parquet", "path": "data/table.parquet"}
    config = project.config(source=source, smoothing=spatial(), outputs={"labels": None})
    assert "a table's rows have no neighbours" in refusal(project, dask_gmm, config)


# --- memory --------------------------------------------------------------------------------------


def test_the_plan_counts_margins_and_planes(project, dask_gmm):
    project.array(np.zeros((2000, 2100, 3), "u1"), (1000, 700, 3))
    never = {"compress": "never"}
    plain = plan_configured(load_config(project.config(fit=never))).plan
    field = spatial(iterations=50)
    plan = plan_configured(load_config(project.config(fit=never, smoothing=field))).plan
    pixels = 1100 * 800
    assert plan.load.around_rows >= pixels
    assert plan.load.field_bytes >= 12 * 3 * pixels
    more = plan.load.worker_bytes - plain.load.worker_bytes
    assert more >= plan.load.field_bytes
    code, out, _ = dask_gmm("plan", project.config(smoothing=field), "--json")
    assert code == 0
    assert "50 iterations among 8 neighbours, strength 1.2" in json.loads(out)["smoothing"]


# --- prior maps ----------------------------------------------------------------------------------


def with_prior(project, shape, K=3, seed=4):
    """Write maps of prior probabilities, in chunks of their own; some say nothing."""
    rng = np.random.default_rng(seed)
    maps = rng.random((*shape, K)).astype("f4")
    maps[:3] = np.nan
    maps[3:5] = 0
    project.array(maps, (11, 13, K), path="data/prior.zarr")
    known = np.isfinite(maps).all(axis=-1, keepdims=True) & maps.any(axis=-1, keepdims=True)
    total = np.where(known, maps.sum(axis=-1, keepdims=True), 1.0)
    return np.where(known, maps / total, np.nan)


def test_prior_maps_stand_for_the_weights(project, dask_gmm):
    values = noisy((40, 50))
    project.array(values, (17, 20, 2))
    maps = with_prior(project, (40, 50))
    config = project.config(smoothing=spatial(prior="data/prior.zarr"))
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    model = GaussianMixture.load(project.run_dir)
    p = model.predict_proba(values.reshape(-1, 2).astype(float)).reshape(40, 50, 3)
    raised = p * np.where(np.isnan(maps), 1.0, maps / model.weights_)
    raised /= raised.sum(axis=-1, keepdims=True)
    expected = smooth_posterior(raised, strength=1.2, neighbourhood=8, iterations=4)
    np.testing.assert_allclose(project.output("probabilities"), expected, atol=1e-5)
    (prior,) = project.manifest()["smoothing"]["prior"]
    assert prior.endswith("data/prior.zarr")

    # One map for each class, and other chunks of the image: the same bits.
    for k in range(3):
        np.save(project.path / f"data/prior-{k}.npy", np.nan_to_num(maps[..., k]).astype("f4"))
    project.array(np.nan_to_num(maps).astype("f4"), (40, 50, 3), path="data/prior.zarr")
    single = spatial(prior=[f"data/prior-{k}.npy" for k in range(3)])
    arguments = ("predict", "runs/toy", "--run-dir")
    assert dask_gmm(*arguments, "runs/whole", config)[0] == 0
    project.array(values, (40, 9, 2))
    config = project.config(smoothing=single)
    assert dask_gmm(*arguments, "runs/single", config)[0] == 0
    for name, found in outputs(project, "runs/single").items():
        np.testing.assert_array_equal(found, outputs(project, "runs/whole")[name])


def test_other_maps_make_another_run(project, dask_gmm):
    project.array(noisy((30, 30)), (30, 30, 2))
    with_prior(project, (30, 30))
    config = project.config(smoothing=spatial(prior="data/prior.zarr"))
    assert dask_gmm("run", config)[0] == 0
    with_prior(project, (30, 30), seed=5)
    code, _, err = dask_gmm("run", config)
    assert code == 2
    assert "if_exists: overwrite" in err


@pytest.mark.parametrize(
    ("prior", "model", "words"),
    [
        ("data/toy.zarr", 3, "allowed is one of shape (30, 31, 3)"),
        (["data/prior.zarr"] * 3, 3, "found 3 arrays of shape (30, 31, 3)"),
        ("data/prior.zarr", [2, 3], "model.n_components is a list"),
        ("data/nowhere.zarr", 3, "nowhere.zarr"),
    ],
)
def test_maps_that_do_not_fit_are_refused(project, dask_gmm, prior, model, words):
    project.array(noisy((30, 31)), (30, 31, 2))
    with_prior(project, (30, 31))
    config = project.config(smoothing=spatial(prior=prior), model={"n_components": model})
    code, _, err = dask_gmm("plan", config)
    assert code in (2, 3)
    assert words in err


def test_a_negative_prior_is_named_with_its_place(project, dask_gmm):
    project.array(noisy((30, 30)), (30, 30, 2))
    maps = np.ones((30, 30, 3), "f4")
    maps[7, 8, 1] = -1
    project.array(maps, (10, 10, 3), path="data/prior.zarr")
    code, _, err = dask_gmm("run", project.config(smoothing=spatial(prior="data/prior.zarr")))
    assert code == 3
    assert "holds the prior probability -1.0 at (7, 8, 1)" in err
