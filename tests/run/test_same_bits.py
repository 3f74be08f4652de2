"""The bits depend on data and configuration alone: not on workers, threads, timing, environment."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from dask_gmm import GaussianMixture
from dask_gmm.engine.cluster import thread_workers
from dask_gmm.engine.passes import Passes
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured
from dask_gmm.run.stages import (
    final_mixture,
    fit_stage,
    select_stage,
    start_stage,
    survey_stage,
)
from dask_gmm.run.work import start_workers

from .disturbed import Disturbed
from .test_directory import results

#: Overlapping groups: every pass changes every parameter, so that a wrong bit anywhere spreads.
STEPS = {"n_components": 4, "n_init": 2, "tol": 1e-300, "max_iter": 6}


@pytest.fixture
def clouds(project):
    values = np.random.default_rng(3).normal(size=(200, 400, 3)) ** 3
    project.array(values.astype("f4"), (20, 400, 3))
    return project


def run(project, dask_gmm, name, cluster, **sections):
    config = project.config(
        run_dir=f"runs/{name}",
        model=STEPS,
        fit={"sample_rows": 3000},
        cluster=cluster,
        **sections,
    )
    code, _, err = dask_gmm("run", config)
    assert code == 0, err
    return project.path / "runs" / name


def history(folder):
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{**line, "seconds": None} for line in lines]


@pytest.mark.slow
def test_workers_and_threads_change_no_bit(clouds, dask_gmm, monkeypatch):
    reference = run(clouds, dask_gmm, "reference", {"kind": "threads", "n_workers": 1})
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # what users' environments say
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    for i, cluster in enumerate(
        [
            {"kind": "threads", "n_workers": 3},
            {"kind": "local", "n_workers": 1},
            {"kind": "local", "n_workers": 2},
            {"kind": "local", "n_workers": 1, "threads_per_worker": 2},
            {"kind": "local", "adapt": {"minimum": 1, "maximum": 2}},
        ]
    ):
        other = run(clouds, dask_gmm, f"other-{i}", cluster)
        assert results(other) == results(reference), cluster
        assert history(other) == history(reference)
        checksums = [
            {name: each["checksum"] for name, each in clouds.manifest(folder)["outputs"].items()}
            for folder in (other, reference)
        ]
        assert checksums[0] == checksums[1]


def test_threads_change_no_bit_however_often_they_are_asked(clouds, dask_gmm):
    reference = results(run(clouds, dask_gmm, "reference", {"kind": "threads", "n_workers": 1}))
    for i in range(3):
        cluster = {"kind": "threads", "n_workers": 2}
        assert results(run(clouds, dask_gmm, f"again-{i}", cluster)) == reference


def fitted(job, source, scheduler, observe=lambda *_: None):
    """Return the mixture that the stages of a run come to, reading a source of the test's own."""
    passes = Passes.over_source(source, job.plan.leaves, scheduler)
    seen = survey_stage(job.config, source, job.plan, passes)
    started = start_stage(job.config, source, passes, seen)
    finishers = fit_stage(job.config, passes, seen, started, observe)
    return final_mixture(select_stage(job.config, passes, seen, finishers))[0]


def assert_the_bits_of(mixture, folder):
    saved = GaussianMixture.load(folder)
    np.testing.assert_array_equal(mixture.weights, saved.weights_)
    np.testing.assert_array_equal(mixture.means, saved.means_)
    np.testing.assert_array_equal(mixture.covariances, saved.covariances_)


def test_without_a_scheduler_the_bits_are_the_same(clouds, dask_gmm):
    folder = run(clouds, dask_gmm, "reference", {"kind": "threads", "n_workers": 2})
    job = plan_configured(load_config(clouds.path / "run.yaml"))
    assert_the_bits_of(fitted(job, job.source, "synchronous"), folder)


def test_leaves_that_take_their_time_change_no_bit(clouds, dask_gmm, tmp_path):
    folder = run(clouds, dask_gmm, "reference", {"kind": "threads", "n_workers": 1})
    job = plan_configured(load_config(clouds.path / "run.yaml"))
    with thread_workers(4) as workers:
        for _ in range(3):  # another order each time
            slow = Disturbed(job.source, tmp_path)
            assert_the_bits_of(fitted(job, slow, workers.scheduler), folder)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_leaf_changes_no_bit(clouds, dask_gmm, tmp_path):
    folder = run(clouds, dask_gmm, "reference", {"kind": "threads", "n_workers": 1})
    config = clouds.config(model=STEPS, fit={"sample_rows": 3000}, cluster={"kind": "local"})
    job = plan_configured(load_config(config, overrides=["cluster.n_workers=2"]))
    killed = []

    def kill():
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            for path in tmp_path.glob("caught-*"):
                killed.append(int(path.name.removeprefix("caught-")))
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.01)

    def after_pass(number, _):
        if number == 1:
            (tmp_path / "trap").touch()  # the second pass steps into it
            killer.start()

    killer = threading.Thread(target=kill, daemon=True)
    with start_workers(job.config) as workers:
        there = set(workers.scheduler.run(os.getpid).values())
        mixture = fitted(job, Disturbed(job.source, tmp_path), workers.scheduler, after_pass)
        left = set(workers.scheduler.run(os.getpid).values())
    assert len(killed) == 1
    assert killed[0] in there
    assert killed[0] not in left
    assert_the_bits_of(mixture, folder)


@pytest.mark.parametrize("chunks", [(200, 400, 3), (7, 90, 3), (64, 64, 2)])
@pytest.mark.parametrize("family", ["full", "tied"])
def test_other_chunks_change_rounding_only(clouds, dask_gmm, chunks, family):
    model = {**STEPS, "covariance_type": family}
    fitted = {}
    for name, cut in (("reference", (20, 400, 3)), ("other", chunks)):
        clouds.array(clouds.values, cut)
        config = clouds.config(run_dir=f"runs/{name}", model=model, fit={"sample_rows": 3000})
        code, _, err = dask_gmm("run", config)
        assert code == 0, err
        fitted[name] = GaussianMixture.load(clouds.path / "runs" / name)
    one, other = fitted["reference"], fitted["other"]
    np.testing.assert_allclose(other.weights_, one.weights_, rtol=1e-9)
    scale = np.abs(clouds.values).std(axis=(0, 1))
    np.testing.assert_allclose(other.means_ / scale, one.means_ / scale, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        other.covariances_ / np.outer(scale, scale),
        one.covariances_ / np.outer(scale, scale),
        rtol=1e-9,
        atol=1e-9,
    )
    labels = [clouds.output("labels", clouds.path / "runs" / name) for name in fitted]
    assert (labels[0] != labels[1]).sum() <= 2
