"""What the tests of a run share: a small project directory, and the command in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import zarr

from dask_gmm.run.cli import main

MEANS = np.array([[40.0, 60.0, 80.0], [120.0, 110.0, 60.0], [200.0, 210.0, 220.0]])


def blobs(shape, n_features=3, seed=0, dtype="u1"):
    """Draw values (*shape, D): three groups, far enough apart to be found from any start."""
    rng = np.random.default_rng(seed)
    means = np.resize(MEANS, (3, n_features))
    group = rng.choice(3, size=shape, p=[0.5, 0.3, 0.2])
    values = means[group] + rng.normal(scale=8.0, size=(*shape, n_features))
    if np.dtype(dtype).kind in "iu":
        values = np.clip(np.rint(values), 0, 255)
    return values.astype(dtype)


class Project:
    """A directory with data and a configuration, as a user would have it."""

    def __init__(self, path):
        self.path = path
        self.values = None

    @property
    def run_dir(self):
        return self.path / "runs" / "toy"

    def array(self, values, chunks, path="data/toy.zarr", **options):
        """Write an input; `options` are those of zarr.create_array."""
        self.values = values
        options = {"config": {"write_empty_chunks": True}, "overwrite": True, **options}
        options.setdefault("compressors", None if "shards" in options else "auto")
        array = zarr.create_array(
            str(self.path / path), shape=values.shape, chunks=chunks, dtype=values.dtype, **options
        )
        array[...] = values
        return array

    def config(self, text="", name="run.yaml", **sections):
        """Write a configuration: a small run on threads, with the sections put over it."""
        settings = {
            "version": 1,
            "name": "toy",
            "run_dir": "runs/{name}",
            "source": {"kind": "zarr", "path": "data/toy.zarr"},
            "model": {"n_components": 3, "n_init": 2},
            "fit": {"sample_rows": 1000},
            "outputs": {
                "labels": {"path": "labels.zarr"},
                "probabilities": {"path": "probabilities.zarr"},
                "uncertainty": {"path": "uncertainty.zarr"},
                "log_density": {"path": "log_density.zarr"},
            },
            "cluster": {"kind": "threads", "n_workers": 1},
        }
        for key, value in sections.items():
            both = isinstance(value, dict) and isinstance(settings.get(key), dict)
            if key == "cluster" and (value["kind"] not in ("local", "threads") or "adapt" in value):
                both = False  # it has other keys
            settings[key] = {**settings[key], **value} if both else value
        path = self.path / name
        path.write_text(text or json.dumps(settings, indent=1))  # JSON is YAML
        return path

    def output(self, name, run_dir=None):
        return zarr.open_array(str((run_dir or self.run_dir) / f"{name}.zarr"), mode="r")[...]

    def manifest(self, run_dir=None):
        return json.loads(((run_dir or self.run_dir) / "manifest.json").read_text())

    def command(self, *arguments, env=None, **options):
        """Start the command as a user does; return when it has ended."""
        process = self.started(*arguments, env=env, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def started(self, *arguments, env=None, **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
        return subprocess.Popen(
            [sys.executable, "-m", "dask_gmm", *map(str, arguments)],
            cwd=self.path,
            env={**environment, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project; the working directory is there."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def picture(project):
    """A project with a small picture of three groups, in six chunks."""
    project.array(blobs((40, 60)), (20, 24, 3))
    return project


@pytest.fixture
def dask_gmm(capsys):
    """Call the command in this process: returns exit code, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call
