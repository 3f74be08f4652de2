"""EM iterations over stored data while their processes are looked at; workers import this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.known import Known
from benchmarks.limit import sampling
from benchmarks.machine import Limits, seconds
from dask_gmm.data.sources import Source
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.fit.loop import Rules, fit_em
from dask_gmm.fit.readings import expectation_over
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters

WORKERS = 2
LIMIT, BEYOND = "limit", "products and exponentials beyond it"
CLIENT, WAITING = "client and scheduler", "waiting"
#: What the cores' time goes into, as pictures stack it.
PARTS = (
    LIMIT,
    BEYOND,
    sampling.KERNEL,
    sampling.READING,
    sampling.ZARR,
    sampling.COPYING,
    sampling.ENGINE,
    CLIENT,
    WAITING,
)


def iterations_over(passes: Passes, known: Known, n: int) -> Callable[[], None]:
    """Return what makes n whole EM iterations from near the truth: readings and M-steps."""
    sample = known.block(0)
    frame = Frame.of_sample(sample, unit=sample.std(axis=0).astype(float), isotropic=False)
    weights, means, covariances = known.parameters()
    means = means + 0.3 * np.random.default_rng(1).standard_normal(means.shape)
    start = Parameters.of("full", weights, means, covariances).inside(frame)
    rules = Rules(frame.floor(np.full(known.D, 1e-6)), Tolerance(0.0), max_iter=n)

    def fit() -> None:
        done = fit_em(expectation_over(passes, frame, None), start, rules)
        if done.n_iter != n:
            raise SystemExit(f"EM stopped after {done.n_iter} of {n} iterations")

    return fit


def rates(n: int) -> tuple[float, float]:
    """Return this process's median seconds per flop and per exponential of n looks."""
    limits = Limits()
    measured = [limits.measured() for _ in range(n)]
    per_flop, per_exp = (median(each) for each in zip(*measured, strict=True))
    return per_flop, per_exp


def profiled(
    source: Source, known: Known, client: Any, iterations: int, turns: int
) -> dict[str, Any]:
    """Return what the time of iterations by two local workers went into, as shares of it.

    Iterations that are looked at take turns with others that are not: what looking costs is told.
    """
    lengths = [source.grid.n_rows(cell) for cell in range(len(source.grid))]
    leaves = cut_leaves(4 * known.D * np.asarray(lengths))
    passes = Passes.over_source(source, leaves, client)
    fit = iterations_over(passes, known, iterations)
    fit()
    walls: dict[str, list[float]] = {"alone": [], "looked at": []}
    spent, of_client, speeds = Counter[str](), Counter[str](), list[tuple[float, float]]()
    for _ in range(turns):
        speeds += passes.map("limits", rates, [9] * WORKERS)
        walls["alone"].append(seconds(fit))
        client.run(sampling.begin)
        sampling.begin()
        walls["looked at"].append(seconds(fit))
        of_client.update(sampling.end())
        for each in client.run(sampling.end).values():
            spent.update(each)
    per_flop, per_exp = (median(each) for each in zip(*speeds, strict=True))
    evaluated, wall = known.rows * iterations * turns, sum(walls["looked at"])
    looking = spent.pop("sampler", 0.0) + of_client.pop("sampler", 0.0)
    unseen = spent.pop("unseen", 0.0)
    of_client.pop("unseen", 0.0)
    flop = 4.0 * known.K * (known.D + 1) * (known.D + 2) / 2
    limit = evaluated * (flop * per_flop + known.K * per_exp)
    products = spent.pop(sampling.PRODUCTS, 0.0)
    parts = {LIMIT: min(limit, products), BEYOND: max(0.0, products - limit), **spent}
    parts[CLIENT] = sum(of_client.values())
    cores = WORKERS * wall
    parts[WAITING] = max(0.0, cores - looking - sum(parts.values()))
    return {
        "iteration": median(walls["alone"]) / iterations,
        "looking_costs": median(walls["looked at"]) / median(walls["alone"]) - 1,
        "unseen": unseen / cores,
        "shares": {name: parts.get(name, 0.0) / (cores - looking) for name in PARTS},
    }
