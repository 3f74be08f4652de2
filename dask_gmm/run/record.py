"""The record of a run: what becomes ``manifest.json`` and what the report shows."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import dask_gmm
from dask_gmm.fit.loop import Solution
from dask_gmm.fit.stopping import predicted_gain
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.survey import Survey
from dask_gmm.model_file import Model
from dask_gmm.run.segment import Segmented
from dask_gmm.run.stages import Started

_PACKAGES = ("numpy", "scipy", "dask", "distributed", "zarr", "scikit-learn", "safetensors")


def classes(
    mixture: Parameters, segmented: Segmented, narrow: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the table of classes, label 1 first."""
    deviations = np.sqrt(mixture.variances)
    return [
        {
            "label": k + 1,
            "weight": float(mixture.weights[k]),
            "mean": mixture.means[k].tolist(),
            "std": deviations[k].tolist(),
            "rows": int(segmented.class_rows[k + 1]),
            "at_floor": k + 1 in narrow,
        }
        for k in range(mixture.K)
    ]


def criteria(model: Model, segmented: Segmented) -> dict[str, float]:
    """Return mean log-likelihood, AIC, BIC and ICL of the final mixture on all of the data."""
    total, n = segmented.log_likelihood, segmented.weight
    bic = -2.0 * total + model.n_parameters * float(np.log(n))
    return {
        "mean_log_likelihood": total / n,
        "aic": -2.0 * total + 2.0 * model.n_parameters,
        "bic": bic,
        "icl": bic + 2.0 * segmented.entropy,
    }


def fit_summary(solution: Solution, started: Started, passes: Mapping[str, int]) -> dict[str, Any]:
    """Return how the fit went: why it stopped, the starts, the readings of the data."""
    return {
        "converged": solution.converged,
        "stopped_by": solution.stopped_by,
        "n_iter": solution.n_iter,
        "predicted_gain": predicted_gain(solution.history),
        "passes": {**passes, "total": sum(passes.values())},
        "starts": [
            {
                "seed": each.seed,
                "mean_log_likelihood": each.solution.lower_bound,
                "n_iter": each.solution.n_iter,
                "status": each.solution.stopped_by,
                "chosen": each is started.best,
            }
            for each in started.fitted
        ],
    }


def history_lines(
    started: Started, solution: Solution, seconds: Sequence[float]
) -> list[dict[str, Any]]:
    """Return one entry per M-step: those of every start on the sample, then those on all rows."""

    def entry(stage: str, seed: int, of: Solution, i: int, took: float | None) -> dict[str, Any]:
        return {
            "stage": stage,
            "start": seed,
            "iteration": i + 1,
            "mean_log_likelihood": of.history[i],
            "seconds": took,
            "fall": i + 1 in of.falls,
        }

    lines = [
        entry("sample", each.seed, each.solution, i, None)
        for each in started.fitted
        for i in range(each.solution.n_iter)
    ]
    seed = started.best.seed
    lines += [entry("full", seed, solution, i, seconds[i]) for i in range(solution.n_iter)]
    return lines


def warnings_of(
    seen: Survey, solution: Solution, narrow: Sequence[int], n_features: int
) -> list[str]:
    """Say what a careful reader of the result should know."""
    said = []
    if narrow:
        named = ", ".join(str(label) for label in narrow)
        said.append(
            f"Class{'es' if len(narrow) > 1 else ''} {named}: as narrow as the floor that "
            "model.reg_covar puts under the variances, or singular. Such a class describes one "
            "repeated value and the floor, not a spread of data, and likelihood, AIC and BIC "
            "measure the floor with it."
        )
    if solution.falls:
        said.append(
            f"The likelihood fell before iteration{'s' if len(solution.falls) > 1 else ''} "
            f"{', '.join(map(str, solution.falls))}: the floor added to the variances allows it."
        )
    if not solution.converged:
        said.append(f"EM did not converge: {solution.stopped_by}. Raise model.max_iter.")
    if seen.n_invalid:
        said.append(
            f"{seen.n_invalid:,} of {seen.n_rows:,} rows hold NaN or infinity and were masked."
        )
    constant = np.flatnonzero(seen.moments.low == seen.moments.high)
    if len(constant):
        said.append(
            f"Feature{'s' if len(constant) > 1 else ''} {', '.join(map(str, constant))} (counted "
            f"from 0, of {n_features}) never change{'' if len(constant) > 1 else 's'}: no class "
            "can be told apart by a constant."
        )
    return said


def environment() -> dict[str, Any]:
    """Return what the result's last bits depend on: versions, processor, BLAS."""
    from threadpoolctl import threadpool_info

    blas = [each for each in threadpool_info() if each.get("user_api") == "blas"]
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": _processor(),
        "cpu_features": _processor_features(),
        "cores": os.cpu_count(),
        "blas": ", ".join(
            f"{each.get('internal_api')} {each.get('version')} ({each.get('architecture')})"
            for each in blas
        ),
        "packages": {
            "dask-gmm": dask_gmm.__version__,
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _processor_features() -> list[str]:
    """Return the vector instructions that NumPy has found and uses."""
    known = np.show_config(mode="dicts")
    found = known.get("SIMD Extensions", {}) if isinstance(known, dict) else {}
    return [*found.get("baseline", []), *found.get("found", [])]
