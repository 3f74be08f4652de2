"""Ever more rows for scikit-learn's GaussianMixture and for ours, until one of them dies."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.known import Known, write_zarr
from benchmarks.peers.sklearn_fits import our_run, peer_run, told_parameters, write_start
from benchmarks.peers.sklearn_process import Peer
from benchmarks.watched import most_of_memory, physical_bytes
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.model_file import Model

D, K = 6, 16
BLOCK_ROWS = 1 << 17  # 3 MiB
LIMIT = 1 << 30
MOST_SECONDS = 600.0
#: Steps of ours that are the fit: what is around them is the start of processes, and the report.
FIT_STEPS = ("survey", "starts on the sample", "EM over all rows", "segment and write")


@dataclass(frozen=True)
class Size:
    """So many rows, iterations of EM, and turns of both."""

    rows: int
    iterations: int
    turns: int


SIZES = (
    Size(100_000, 10, 3),
    Size(1_000_000, 5, 3),
    Size(10_000_000, 2, 1),
    Size(30_000_000, 1, 1),
    Size(100_000_000, 1, 1),
)
QUICK_SIZES = (Size(20_000, 3, 1), Size(100_000, 2, 1), Size(1_000_000, 1, 1))
#: dtype and BLAS threads of scikit-learn, of which the fastest is taken for everything.
WAYS = (("float32", 1), ("float32", 2), ("float64", 1), ("float64", 2))
#: Where they are looked at.
FOR_WAYS = Size(1_000_000, 2, 2)
QUICK_FOR_WAYS = Size(20_000, 2, 1)

Way = tuple[str, int]


def measure_ways(place: Path, quick: bool) -> dict[str, Any]:
    """Let scikit-learn fit in every way, in turns; return what each takes at best."""
    size = QUICK_FOR_WAYS if quick else FOR_WAYS
    path, start, _ = _written(place, size)
    turns = [
        {
            way: _of_peer(
                Peer(str(path), K, *way, size.iterations, 0.0, str(start)), place, most_of_memory()
            )[0]
            for way in WAYS
        }
        for _ in range(size.turns)
    ]
    shutil.rmtree(path)
    found = []
    for dtype, threads in WAYS:
        mine = [turn[dtype, threads] for turn in turns]
        best = min(each["fit"] for each in mine)
        peak = max(each["peak_bytes"] for each in mine)
        found.append({"dtype": dtype, "threads": threads, "fit": best, "peak_bytes": peak})
    return {"rows": size.rows, "iterations": size.iterations, "ways": found}


def fastest(ways: dict[str, Any]) -> Way:
    """Return dtype and threads of the fastest way."""
    best = min(ways["ways"], key=lambda each: each["fit"])
    return best["dtype"], best["threads"]


def measure(place: Path, quick: bool, way: Way, most_bytes: float) -> dict[str, Any]:
    """Let both fit ever more rows; scikit-learn until it dies."""
    series: list[dict[str, Any]] = []
    alive = True
    for size in QUICK_SIZES if quick else SIZES:
        series.append(_measured(place, size, way if alive else None, most_bytes))
        alive = alive and not series[-1]["peer"]["stopped_by"]
        click.echo(str(series[-1]), err=True)
    finished = [each for each in series if each["peer"] and not each["peer"]["stopped_by"]]
    for each in series:
        each["needed_bytes"] = _needed(finished[-2:], each["rows"])
    return {
        "limit": LIMIT,
        "most_bytes": most_bytes,
        "most_seconds": MOST_SECONDS,
        "physical_bytes": physical_bytes(),
        "series": series,
    }


def _written(place: Path, size: Size) -> tuple[Path, Path, Path]:
    """Write the rows, and the start for scikit-learn and for ours."""
    known = Known(D, K, size.rows, min(BLOCK_ROWS, max(1, size.rows // 8)))
    write_zarr(place / "scale.zarr", known)
    starts = write_start(Parameters.of("full", *known.parameters()), place)
    return place / "scale.zarr", *starts


def _measured(place: Path, size: Size, way: Way | None, most_bytes: float) -> dict[str, Any]:
    """Return what both take at one size, from one start, for the same number of iterations."""
    path, start, our_start = _written(place, size)
    ours, theirs = list[dict[str, Any]](), list[dict[str, Any]]()
    reached: Parameters | None = None
    for _ in range(size.turns):
        if way is not None:
            peer = Peer(str(path), K, *way, size.iterations, 0.0, str(start))
            found, reached = _of_peer(peer, place, most_bytes)
            theirs.append(found)
        found, ended = _of_ours(path, place, our_start, size.iterations)
        ours.append(found)
    shutil.rmtree(path)
    middle, best = _middle(ours), _middle(theirs) if theirs else None
    both = best is not None and None not in (best["fit"], middle["fit"])
    return {
        "rows": size.rows,
        "iterations": size.iterations,
        "turns": size.turns,
        "ours": middle,
        "peer": best,
        "ratio": best["seconds"] / middle["seconds"] if both else None,
        "ratio_of_fits": best["fit"] / middle["fit"] if both else None,
        "apart": _apart(reached, ended) if both else None,
    }


def _of_peer(
    peer: Peer, place: Path, most_bytes: float
) -> tuple[dict[str, Any], Parameters | None]:
    seen, events = peer_run(peer, place, most_bytes, MOST_SECONDS)
    at = {each["event"]: each["at"] for each in events}
    steps = [each for each in events if each["event"] == "iteration"]
    exact = events[-1].get("peak_bytes", 0) if events else 0
    found = {
        **seen.as_json(),
        "peak_bytes": max(seen.peak_bytes, exact),
        "fit": at["fitted"] - at["loaded"] if "fitted" in at else None,
        "iterations": len(steps),
    }
    return found, told_parameters(steps[-1]) if steps else None


def _of_ours(
    path: Path, place: Path, start: Path, iterations: int
) -> tuple[dict[str, Any], Parameters | None]:
    model = {
        "n_components": K,
        "init": {"from": str(start)},
        "tol": 1e-300,  # never
        "max_iter": iterations,
        "reg_covar": 1e-6,
    }
    plain = {"acceleration": "none", "compress": "never"}
    seen, manifest = our_run(path, place, model, plain, LIMIT, MOST_SECONDS)
    if manifest is None:
        return {**seen.as_json(), "fit": None, "iterations": 0}, None
    steps = {each["step"]: each["seconds"] for each in manifest["timings"]}
    found = {
        **seen.as_json(),
        "fit": sum(steps.get(step, 0.0) for step in FIT_STEPS),
        "iterations": manifest["fit"]["n_iter"],
        "steps": steps,
    }
    return found, Model.load(place / "ours").parameters


def _middle(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last turn with the median times and the highest memory, and the extremes."""
    times = [each["seconds"] for each in turns]
    fits = [each["fit"] for each in turns if each["fit"] is not None]
    return {
        **turns[-1],
        "seconds": median(times),
        "extremes": [min(times), max(times)],
        "fit": median(fits) if fits else None,
        "peak_bytes": max(each["peak_bytes"] for each in turns),
        "largest_bytes": max(each["largest_bytes"] for each in turns),
    }


def _apart(one: Parameters, other: Parameters) -> float:
    """Return how far means are apart, at most, in standard deviations of their components.

    Ours are numbered by weight; every component of one is compared with the nearest of the other.
    """
    deviations = np.sqrt(np.diagonal(one.covariances, axis1=1, axis2=2))
    apart = np.abs(one.means[:, None] - other.means[None]) / deviations[:, None]
    return float(apart.max(axis=2).min(axis=1).max())


def _needed(two: list[dict[str, Any]], rows: int) -> float | None:
    """Return the bytes that so many rows need by the line through two sizes that went through."""
    if len(two) < 2:
        return None
    (n, held), (more, holding) = ((each["rows"], each["peer"]["peak_bytes"]) for each in two)
    return float(held + (holding - held) * (rows - n) / (more - n))
