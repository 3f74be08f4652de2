"""From files to a fitted model: the seconds until scikit-learn and we are equally likely."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from benchmarks.known import Known, write_zarr
from benchmarks.peers.sklearn_fits import our_run, peer_run, told_parameters
from benchmarks.peers.sklearn_process import Peer
from benchmarks.peers.sklearn_scale import Way
from benchmarks.watched import most_of_memory
from dask_gmm.data.sources import open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import score
from dask_gmm.model_file import Model

D, K, APART = 6, 16, 1.25
ROWS, QUICK_ROWS = 10_000_000, 20_000
BLOCK_ROWS = 1 << 17
LIMIT = 1 << 30
MOST_SECONDS = 720.0
#: Of scikit-learn: its default, and the tight one to which the same fit goes on.
TOL, TIGHT = 1e-3, 1e-6
MAX_ITER = 1000
#: Ours: its defaults; with scikit-learn's, one start and its tolerance; and what is tried where the
#: first does not reach scikit-learn's likelihood.
DEFAULTS, THEIR_RULES, TIGHTER = "defaults", "one start, tol 0.001", "tol 1e-7"
OURS: dict[str, dict[str, Any]] = {
    DEFAULTS: {},
    THEIR_RULES: {"n_init": 1, "tol": TOL},
    TIGHTER: {"tol": 1e-7},
}
#: Nats per row within which likelihoods are equal.
EQUAL = 1e-4


def measure(place: Path, rows: int, way: Way, most_seconds: float) -> dict[str, Any]:
    """Let both fit, then ask one and the same code how likely everything was on the way."""
    known = Known(D, K, rows, min(BLOCK_ROWS, max(1, rows // 8)), apart=APART)
    path = place / "end.zarr"
    write_zarr(path, known)
    likelihoods = partial(_likelihoods, path, known)
    truth = likelihoods([Parameters.of("full", *known.parameters())])[0]
    first = [_ours(path, place, name) for name in (DEFAULTS, THEIR_RULES)]
    peer, mixtures = _peer(path, place, way, most_seconds)
    peer["above_truth"] = [each - truth for each in likelihoods(mixtures)]
    peer["own_word_apart"] = _own_word_apart(peer, truth)
    ours = [_above(each, likelihoods, truth) for each in first]
    if ours[0]["above_truth"] < peer["above_truth"][peer["default_end"]] - EQUAL:
        ours.append(_above(_ours(path, place, TIGHTER), likelihoods, truth))
    shutil.rmtree(path)
    return {
        "rows": rows,
        "apart": APART,
        "limit": LIMIT,
        "most_seconds": most_seconds,
        "ours": ours,
        "peer": peer,
        "goals": goals(ours, peer),
    }


def _peer(
    path: Path, place: Path, way: Way, most_seconds: float
) -> tuple[dict[str, Any], list[Parameters]]:
    """Return what is known of scikit-learn's fit, and its mixture after every iteration."""
    asked = Peer(str(path), K, *way, MAX_ITER, TIGHT)
    seen, events = peer_run(asked, place, most_of_memory(), most_seconds)
    click.echo(f"scikit-learn: {seen.as_json()}", err=True)
    steps = [each for each in events if each["event"] == "iteration"]
    if not steps:
        raise click.ClickException(
            f"scikit-learn had not finished an iteration when its {seen.stopped_by} ran out"
        )
    at = {each["event"]: each["at"] for each in events}
    bounds = [each["bound_before"] for each in steps]
    end = _default_end(bounds)
    found = {
        **seen.as_json(),
        "loaded": at["loaded"],
        "start": at["start"],
        "at": [each["at"] for each in steps],
        "bounds": bounds,
        "default_end": len(steps) - 1 if end is None else end,
        "default_ended": end is not None,
        "converged": events[-1].get("converged", False),
    }
    return found, [told_parameters(each) for each in steps]


def _ours(path: Path, place: Path, name: str) -> dict[str, Any]:
    """Return the seconds from the start of the process to its end, and the model."""
    model = {"n_components": K, **OURS[name]}
    seen, manifest = our_run(path, place, model, {}, LIMIT, MOST_SECONDS)
    click.echo(f"ours, {name}: {seen.as_json()}", err=True)
    if manifest is None:
        raise click.ClickException(
            f"dask-gmm fit had not finished when its {seen.stopped_by} ended"
        )
    steps = {each["step"]: each["seconds"] for each in manifest["timings"]}
    names = list(steps)
    before_em = names[: names.index("EM over all rows")]
    # What no step counts is the start of the interpreter, before the first of them.
    at = seen.seconds - sum(steps.values()) + sum(steps[name] for name in before_em)
    curve = []
    for each in map(json.loads, (place / "ours" / "history.jsonl").read_text().splitlines()):
        if each["stage"] == "full":
            at += each["seconds"]
            curve.append((at, each["mean_log_likelihood"]))
    return {
        **seen.as_json(),
        "settings": name,
        "passes": manifest["fit"]["passes"]["total"],
        "steps": steps,
        "curve": curve,
        "parameters": Model.load(place / "ours").parameters,
    }


def _above(
    fit: dict[str, Any], likelihoods: Callable[[list[Parameters]], list[float]], truth: float
) -> dict[str, Any]:
    """Count our likelihoods from that of the truth: five digits then are enough."""
    (reached,) = likelihoods([fit["parameters"]])
    curve = [{"at": at, "above_truth": likelihood - truth} for at, likelihood in fit["curve"]]
    kept = {name: each for name, each in fit.items() if name != "parameters"}
    return {**kept, "curve": curve, "above_truth": reached - truth}


def _own_word_apart(peer: dict[str, Any], truth: float) -> float:
    """Return how far scikit-learn's own word, of the mixture before, is from ours; drop it."""
    own = peer.pop("bounds")[1:]
    apart = [abs(a - truth - b) for a, b in zip(own, peer["above_truth"], strict=False)]
    return max(apart, default=0.0)


def _likelihoods(path: Path, known: Known, mixtures: list[Parameters]) -> list[float]:
    """Return the mean log-likelihood of all rows, nats a row, by the code that ``score`` is."""
    leaves = cut_leaves([known.length(cell) * D * 4 for cell in range(known.n_blocks)])
    with local_workers(2, 1, None) as workers:
        passes = Passes.over_source(open_source("zarr", str(path)), leaves, workers.scheduler)
        sums = [passes.run("score", score, each) for each in mixtures]
    return [each.log_likelihood / each.weight for each in sums]


def _default_end(bounds: list[float]) -> int | None:
    """Return the iteration, from 0, after which scikit-learn's default tolerance stops."""
    changes = [abs(after - before) for before, after in pairwise(bounds)]
    return next((i for i, change in enumerate(changes, 1) if change < TOL), None)


def goals(ours: list[dict[str, Any]], peer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return when both were as likely as each of three ends, less what counts as equal."""
    ends = {
        "default": peer["above_truth"][peer["default_end"]],
        "tight": peer["above_truth"][-1],
        "ours": ours[0]["above_truth"],
    }
    return {name: _goal(end - EQUAL, ours, peer) for name, end in ends.items()}


def _goal(above: float, ours: list[dict[str, Any]], peer: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds to a likelihood; where the peer never was there, its last ones count."""
    reaching = [each for each in ours if each["above_truth"] >= above]
    mine = min(reaching, key=lambda each: each["seconds"], default=None)
    reached = zip(peer["at"], peer["above_truth"], strict=True)
    theirs = next((at for at, each in reached if each >= above), None)
    return {
        "above_truth": above,
        "ours": mine and mine["seconds"],
        "settings": mine and mine["settings"],
        "peer": theirs,
        "ratio": (theirs or peer["at"][-1]) / mine["seconds"] if mine else None,
    }
