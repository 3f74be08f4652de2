"""Fits of one Zarr array by scikit-learn and by ``dask-gmm fit``, each as processes of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.sklearn_process import Peer
from benchmarks.watched import Watched, most_of_memory, watched
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.model_file import Model

_CONFIG = """\
version: 1
name: against-scikit-learn
run_dir: {run_dir}
source: {{kind: zarr, path: {path}}}
model: {model}
fit: {fit}
cluster: {{kind: local, n_workers: 2, threads_per_worker: 1, memory_limit: {limit}}}
if_exists: overwrite
"""


def write_start(parameters: Parameters, folder: Path) -> tuple[Path, Path]:
    """Write one start for scikit-learn, and the same for ours."""
    theirs, ours = folder / "start.npz", folder / "start.safetensors"
    factors = parameters.factors
    precisions = factors @ factors.transpose(0, 2, 1)
    named = {"weights": parameters.weights, "means": parameters.means, "precisions": precisions}
    np.savez(theirs, **named)
    Model(parameters, "full").save(ours)
    return theirs, ours


def peer_run(
    peer: Peer, folder: Path, most_bytes: float, most_seconds: float
) -> tuple[Watched, list[dict[str, Any]]]:
    """Let scikit-learn fit; return what was seen of it, and what it told, in seconds from start."""
    asked, told = folder / "peer.json", folder / "peer.jsonl"
    asked.write_text(json.dumps(asdict(peer)))
    told.write_text("")
    command = [sys.executable, "-m", "benchmarks.peers.sklearn_process", str(asked), str(told)]
    blas = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(peer.threads))
    threads = {**blas, "OMP_NUM_THREADS": "2"}
    seen = watched(command, most_bytes, most_seconds, threads)
    # The last line of a process that was stopped may be a part of one.
    lines = told.read_text().rpartition("\n")[0].splitlines()
    events = [json.loads(line) for line in lines]
    return seen, [{**each, "at": each["at"] - seen.began} for each in events]


def our_run(
    path: Path,
    folder: Path,
    model: dict[str, Any],
    fit: dict[str, Any],
    limit: int,
    most_seconds: float,
) -> tuple[Watched, dict[str, Any] | None]:
    """Let ``dask-gmm fit`` fit with two workers; return what was seen of it, and its manifest."""
    config = folder / "ours.yaml"
    run_dir = folder / "ours"
    text = json.dumps(model), json.dumps(fit)
    config.write_text(
        _CONFIG.format(run_dir=run_dir, path=path, model=text[0], fit=text[1], limit=limit)
    )
    command = [sys.executable, "-m", "dask_gmm", "fit", str(config), "--json", "--quiet"]
    seen = watched(command, most_of_memory(), most_seconds, {})
    return seen, None if seen.stopped_by else json.loads(seen.output)


def told_parameters(event: dict[str, Any]) -> Parameters:
    """Return the mixture that scikit-learn had after an iteration."""
    return Parameters.of("full", *(event[name] for name in ("weights", "means", "covariances")))
