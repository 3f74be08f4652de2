"""The record of a run: what becomes ``manifest.json`` and what the report shows."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dask_gmm
from dask_gmm.data.features import bands_below, members_with_features
from dask_gmm.data.sources.opening import Likeness
from dask_gmm.fit.candidates import Contender
from dask_gmm.fit.loop import Solution
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.model_file import Model
from dask_gmm.recipes.stored import Kept
from dask_gmm.run.numbering import of_alignment
from dask_gmm.run.outputs import describe_outputs
from dask_gmm.run.record_inputs import has_failures, of_many_inputs, shown_inputs
from dask_gmm.run.segmented import Segmented
from dask_gmm.run.smoothing import of_smoothing
from dask_gmm.run.standing import INCOMPLETE

if TYPE_CHECKING:
    from dask_gmm.run.clock import Clock
    from dask_gmm.run.config import Config
    from dask_gmm.run.job import Job
    from dask_gmm.run.stages import Selected
    from dask_gmm.run.work import Findings

#: What a reader should know of a class with one of these words in its status.
_STATES = {
    "empty": "no row belongs to it; there are more classes than the data can tell apart",
    "re-seeded": "it lost its rows during the fit, and was put among those explained worst",
    "rounded": "the last step left its covariance inexact, and one more would mend it",
}
#: Of features: how a row may have come to hold no number.
_NO_VALUE = ": features have no value where they divide by 0 or take a logarithm of 0 or less."
_PACKAGES = (
    "numpy",
    "scipy",
    "dask",
    "distributed",
    "zarr",
    "pyarrow",
    "scikit-learn",
    "safetensors",
)


def manifest_of(job: Job, found: Findings, clock: Clock) -> dict[str, Any]:
    """Return the manifest of a run that has come to ``found``, with the timings so far."""
    plan, seen, K = job.plan, found.seen, found.mixture.K
    return {
        **heading(job, found.segmented, clock),
        "inputs": shown_inputs(job, found.segmented),
        "applied": None,
        "rows": {
            "total": seen.n_rows,
            "masked": seen.n_rows - seen.n_used,
            "nodata": seen.n_nodata,
            "invalid": seen.n_invalid,
            "used": seen.n_used,
        },
        "model": _model_summary(job, found),
        "classes": _classes(found),
        "alignment": job.numbering.alignment(found.mixture),
        "fit": _fit_summary(found)
        | {"leaves": len(plan.leaves), "sample_rows": len(seen.sample.rows)},
        "selection": selection_of(job.config, found.selected),
        "outputs": describe_outputs(job.config, job.source, K, found.segmented),
        "warnings": _warnings(job, found),
        "timings": list(clock.timings),
    }


def now() -> str:
    """Return the time as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def heading(job: Job, segmented: Segmented, clock: Clock) -> dict[str, Any]:
    """Return what manifests begin with: which run this is, and what it was made with."""
    config, names, total = job.config, job.source.feature_names, segmented.total
    return {
        "format": "dask-gmm run manifest",
        "format_version": 1,
        "name": config.name,
        "run_id": job.run_id,
        "version": dask_gmm.__version__,
        "status": INCOMPLETE if has_failures(job, segmented) else "done",
        "started": clock.started.isoformat(timespec="milliseconds"),
        "finished": now(),
        "configuration_hash": config.hash(),
        "configuration": config.redacted(),
        "feature_names": None if names is None else list(names),
        "smoothing": of_smoothing(job.plan.smoothing, job.source, total),
        "cluster": config.redacted()["cluster"],
        "environment": environment(),
    }


def model_of(job: Job, found: Findings) -> Model:
    """Return the model that is saved."""
    config = job.config
    known = {
        "name": config.name,
        "converged": found.solution.converged,
        "n_iter": found.solution.n_iter,
        "standardize": config.standardize,
        "lower_bound": found.segmented.total.log_likelihood / found.segmented.total.weight,
        "weight": found.segmented.total.weight,
        "input_fingerprint": job.plan.manifest.fingerprint,
        "dtype": Likeness.of(bands_below(job.source), "").dtype_name,
        "version": dask_gmm.__version__,
    }
    made = members_with_features(job.source)
    if made:
        known["features"] = Kept(made[0].recipes, made[0].features.bands).to_json()
    covariance_type = found.selected.winner.contender.plan.covariance_type
    return Model(found.mixture, covariance_type, job.source.feature_names, known)


def history_of(found: Findings, seconds: Sequence[float | None]) -> list[dict[str, Any]]:
    """Return one entry per evaluation: the starts of the kind chosen, then the winner's own."""

    def entry(stage: str, seed: int, of: Solution, i: int, took: float | None) -> dict[str, Any]:
        return {
            "stage": stage,
            "start": seed,
            "iteration": i + 1,
            "mean_log_likelihood": of.history[i],
            "seconds": took,
            "fall": i + 1 in of.falls,
            "refused": i in of.refused,
        }

    winner = found.selected.winner.contender
    mine = [each for each in found.started.fitted if each.kind == winner.kind]
    lines = [
        entry("sample", each.fitted.seed, each.fitted.solution, i, None)
        for each in mine
        for i in range(each.fitted.solution.n_iter)
    ]
    solution, joined = found.solution, found.selected.winner.joined
    lines += [
        entry("full", winner.fitted.seed, solution, i, seconds[joined + i])
        for i in range(solution.n_iter)
    ]
    return lines


def class_table(mixture: Parameters, segmented: Segmented) -> list[dict[str, Any]]:
    """Return the table of classes, label 1 first."""
    deviations, rows = np.sqrt(mixture.variances), segmented.total.class_rows
    profile = segmented.profile
    shapes = [None if profile is None else profile.shape(k) for k in range(mixture.K)]
    return [
        {
            "label": k + 1,
            "weight": float(mixture.weights[k]),
            "mean": mixture.means[k].tolist(),
            "std": deviations[k].tolist(),
            "rows": int(rows[k + 1]),
            "gaussian": None if (shape := shapes[k]) is None else asdict(shape),
            "at_floor": False,
            "status": "",
        }
        for k in range(mixture.K)
    ]


def _classes(found: Findings) -> list[dict[str, Any]]:
    """Return the table of classes, with what the fit has found of each."""
    table = class_table(found.mixture, found.segmented)
    for each, status in zip(table, found.status, strict=True):
        each |= {"at_floor": each["label"] in found.narrow, "status": status}
    return table


def described(model: Model, segmented: Segmented) -> dict[str, Any]:
    """Return what a model is, and how it explains the data."""
    return {
        "n_components": model.parameters.K,
        "covariance_type": model.covariance_type,
        "n_features": model.parameters.D,
        "n_parameters": model.n_parameters,
        **_criteria(model, segmented),
    }


def _model_summary(job: Job, found: Findings) -> dict[str, Any]:
    return {
        **described(model_of(job, found), found.segmented),
        "standardize": job.config.standardize,
        "reg_covar": found.started.reg_covar.tolist(),
    }


def _criteria(model: Model, segmented: Segmented) -> dict[str, float | None]:
    """Return mean log-likelihood, AIC, BIC and ICL of a mixture on all of the data."""
    counted = segmented.total
    total, n = counted.log_likelihood, counted.weight
    if not n:  # a model may be applied to what is masked throughout
        return dict.fromkeys(("mean_log_likelihood", "aic", "bic", "icl"))
    bic = -2.0 * total + model.n_parameters * float(np.log(n))
    return {
        "mean_log_likelihood": total / n,
        "aic": -2.0 * total + 2.0 * model.n_parameters,
        "bic": bic,
        "icl": bic + 2.0 * counted.entropy,
    }


def _fit_summary(found: Findings) -> dict[str, Any]:
    """Return how the fit went: why it stopped, the starts, the readings of the data."""
    solution = found.solution
    gain = solution.remaining_gain
    return {
        "converged": solution.converged,
        "stopped_by": solution.stopped_by,
        "n_iter": solution.n_iter,
        "refused": len(solution.refused),
        "compression": found.compression,
        "predicted_gain": None if gain is None else gain * found.seen.moments.weight,
        "heldout": _heldout(found),
        "passes": {**found.passes, "total": sum(found.passes.values())},
        "starts": [
            {
                "covariance_type": each.plan.covariance_type,
                "n_components": each.plan.n_components,
                "seed": each.fitted.seed,
                "mean_log_likelihood": each.fitted.final.lower_bound,
                "n_iter": each.fitted.solution.n_iter,
                "splits_and_merges": each.fitted.n_moves,
                "status": each.fitted.solution.stopped_by,
                "small_classes": each.n_small,
                "went_on": each.n_small > 0 or each in found.started.going_on,
                "chosen": each is found.selected.winner.contender,
            }
            for each in (*found.started.fitted, *_late(found))
        ],
    }


def _late(found: Findings) -> list[Contender]:
    """Return the starts with components for small classes, which joined on the way."""
    return [each.contender for each in found.selected.finishers if each.joined]


def _heldout(found: Findings) -> dict[str, float] | None:
    """Return how the winner does on rows that it has not seen."""
    said = found.selected.heldout
    if said is None:
        return None
    return {
        "mean_log_likelihood": said.mean,
        "gap": said.gap,
        "low": said.low,
        "high": said.high,
    }


def selection_of(config: Config, selected: Selected) -> dict[str, Any] | None:
    """Return how the kinds compared, in their order; None where there was one alone."""
    if selected.choice is None:
        return None
    return {
        "criterion": config.select.criterion,
        "remarks": list(selected.choice.remarks),
        "candidates": [
            {
                "covariance_type": each.covariance_type,
                "n_components": each.n_components,
                "n_parameters": each.n_parameters,
                "mean_log_likelihood": each.log_likelihood / each.weight,
                **{name: getattr(each, name) for name in ("aic", "bic", "icl", "heldout")},
                "smallest_component_rows": each.smallest,
                "objection": each.objection,
                "converged": each.converged,
                "chosen": i == selected.choice.best,
            }
            for i, each in enumerate(selected.assessed)
        ],
    }


def _warnings(job: Job, found: Findings) -> list[str]:
    """Say what a careful reader of the result should know."""
    seen, solution, narrow = found.seen, found.solution, found.narrow
    said = []
    if narrow:
        named = ", ".join(str(label) for label in narrow)
        said.append(
            f"Class{'es' if len(narrow) > 1 else ''} {named}: as narrow as the floor that "
            "model.reg_covar puts under the variances, or singular. Such a class describes one "
            "repeated value and the floor, not a spread of data, and likelihood, AIC and BIC "
            "measure the floor with it."
        )
    said += [
        f"Class {label}: {said_of}."
        for label, state in enumerate(found.status, start=1)
        for word, said_of in _STATES.items()
        if word in state
    ]
    if solution.falls:
        n = len(solution.falls)
        said.append(
            f"The likelihood fell in {n} of {solution.n_iter} iterations, by at most "
            f"{solution.deepest_fall:.2g} nats per row: the floor added to the variances allows it."
        )
    if not solution.converged:
        n = solution.n_iter + found.selected.winner.joined
        key = "model.max_iter" if n >= job.config.model.max_iter else "fit.max_passes"
        said.append(f"EM did not converge: {solution.stopped_by}. Raise {key}.")
    if found.selected.choice is not None:
        said += found.selected.choice.remarks
    if seen.n_invalid:
        said.append(
            f"{seen.n_invalid:,} of {seen.n_rows:,} rows hold NaN or infinity and were masked"
            f"{_NO_VALUE if members_with_features(job.source) else '.'}"
        )
    names = job.source.feature_names or [str(i + 1) for i in range(job.source.n_features)]
    said += of_many_inputs(job, found.segmented)
    said += of_alignment(job.numbering.alignment(found.mixture))
    moments = seen.moments
    constant = [n for n, a, b in zip(names, moments.low, moments.high, strict=True) if a == b]
    if constant:
        said.append(
            f"Feature{'s' if len(constant) > 1 else ''} {', '.join(constant)} (of {len(names)}) "
            f"never change{'' if len(constant) > 1 else 's'}: no class can be told apart by a "
            "constant."
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
