"""A cell of the comparison with mclust: data, family and K, fitted by R and by the estimator."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.mixture.families import family
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey

Array = npt.NDArray[np.float64]

#: Ours stops at a change of so many nats a row, after so many steps at most.
TOL, MAX_ITER = 1e-10, 5_000
#: A variance below this share of the data's own, in any direction, makes an optimum spurious.
THINNEST = 1e-4


@dataclass(frozen=True)
class Optimum:
    """Where a fit has ended.

    Attributes
    ----------
    likelihood : float
        Log-likelihood of all rows, in nats.
    thinnest : float
        The smallest variance of a component in any direction, of the data's in that direction.
    fewest : float
        Rows of the smallest component: its weight by the number of rows.
    spurious : bool
        Likelihood without a bound is near: a component is thinner than `THINNEST`, or has a
        covariance of its own from fewer rows than D + 2, where D make it singular.
    """

    likelihood: float
    thinnest: float
    fewest: float
    spurious: bool


def optimum(name: str, rows: Array, likelihood: float, weights: Array, whole: Array) -> Optimum:
    """Judge a fit by its weights (K,) and its covariances (K, D, D)."""
    D = rows.shape[1]
    to_unit = np.linalg.inv(np.linalg.cholesky(np.cov(rows.T, bias=True).reshape(D, D)))
    thinnest = float(np.linalg.eigvalsh(to_unit @ whole @ to_unit.T).min())
    fewest = float(weights.min() * len(rows))
    few = name != "tied" and fewest < D + 2
    return Optimum(likelihood, thinnest, fewest, thinnest < THINNEST or few)


def peer_fits(path: Path, most_k: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what R has fitted: versions, then data sets, each before its fits."""
    script = shutil.which("Rscript")
    if script is None:
        raise click.ClickException("R is missing; Debian has it with mclust in r-cran-mclust")
    command = [
        script,
        str(Path(__file__).with_name("mclust_fits.R")),
        str(path),
        str(most_k),
        *names,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"R has not fitted: {done.stderr.strip()}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_stored(name: str, whole: Array) -> Array:
    """Return covariances (K, D, D) in the shape that a family stores."""
    diagonals = np.diagonal(whole, axis1=1, axis2=2)
    return {"full": whole, "tied": whole[0], "diag": diagonals, "spherical": diagonals[:, 0]}[name]


def whole_covariances(model: GaussianMixture) -> Array:
    """Return a fitted mixture's covariances as (K, D, D)."""
    K, D = model.means_.shape
    stored, unit = model.covariances_, np.eye(D)
    match model.covariance_type:
        case "full":
            return stored
        case "tied":
            return np.broadcast_to(stored, (K, D, D))
        case "diag":
            return stored[:, :, None] * unit
    return stored[:, None, None] * unit


def peer_optimum(fit: dict[str, Any], rows: Array) -> tuple[Optimum, float]:
    """Return mclust's optimum, and how far from its likelihood our kernel's is at the same place.

    The difference is relative to the likelihood.
    """
    D, K = rows.shape[1], fit["K"]
    weights, means = np.array(fit["weights"]), np.array(fit["means"]).reshape(K, D)
    whole = np.array(fit["covariances"]).reshape(K, D, D)
    name, kind = fit["family"], family(fit["family"])
    frame = Frame.of_sample(rows, isotropic=kind.isotropic)
    theirs = Parameters.of(name, weights / weights.sum(), means, as_stored(name, whole))
    readings = MemoryReadings(Rows(rows))
    seen = readings.run("survey", survey, SurveyPlan(D, capacity=0, seed=0))
    expectation = expectation_over(readings, frame, seen.moments.total_scatter(frame))
    ours = expectation(theirs.inside(frame)).mean_log_likelihood * len(rows)
    apart = abs(ours - fit["loglik"]) / abs(fit["loglik"])
    return optimum(name, rows, fit["loglik"], weights, whole), apart


def our_optima(name: str, K: int, rows: Array, n_init: int) -> list[Optimum]:
    """Return where our fits from so many starts end; every other start is by k-means++."""
    found = []
    for seed in range(n_init):
        model = GaussianMixture(
            K,
            covariance_type=name,
            tol=TOL,
            reg_covar=0.0,
            max_iter=MAX_ITER,
            init_params="kmeans" if seed % 2 == 0 else "k-means++",
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows)
        likelihood = float(model.score(rows)) * len(rows)
        whole = whole_covariances(model)
        found.append(optimum(name, rows, likelihood, model.weights_, whole))
    return found


def best(optima: Sequence[Optimum]) -> Optimum:
    """Return the highest one that is not spurious, or the highest one if all of them are."""
    return max(optima, key=lambda each: (not each.spurious, each.likelihood))


def cell(fits: Sequence[dict[str, Any]], rows: Array, n_init: int) -> dict[str, Any]:
    """Compare where mclust's fits of a data set, family and K have ended with where ours end."""
    name, K = fits[0]["family"], fits[0]["K"]
    peers = [peer_optimum(fit, rows) for fit in fits if fit["loglik"] is not None]
    ours = our_optima(name, K, rows, n_init)
    n_parameters = family(name).n_parameters(K, rows.shape[1])
    for fit in fits:
        if fit.get("df", n_parameters) != n_parameters:
            raise click.ClickException(f"mclust counts {fit['df']} parameters, we {n_parameters}")
    penalty = n_parameters * log(len(rows))
    theirs = best([each for each, _ in peers]) if peers else None
    mine = best(ours)
    return {
        "data": fits[0]["data"],
        "family": name,
        "K": K,
        "n_parameters": n_parameters,
        "mclust": theirs and asdict(theirs) | {"bic": penalty - 2 * theirs.likelihood},
        "mclust_singular": len(fits) - len(peers),
        "ours": asdict(mine) | {"bic": penalty - 2 * mine.likelihood},
        "spurious_starts": sum(each.spurious for each in ours),
        "highest_is_spurious": max(ours, key=lambda each: each.likelihood).spurious,
        "above": theirs and mine.likelihood - theirs.likelihood,
        "kernel": max((apart for _, apart in peers), default=None),
        "verdict": verdict(theirs, mine),
    }


def verdict(theirs: Optimum | None, ours: Optimum) -> str:
    """Say who has the higher likelihood, where both have one that counts."""
    if theirs is None or theirs.spurious or ours.spurious:
        nothing = "singular" if theirs is None else "spurious" if theirs.spurious else "sound"
        return f"mclust {nothing}, ours {'spurious' if ours.spurious else 'sound'}"
    above, same = ours.likelihood - theirs.likelihood, 1e-6 * abs(theirs.likelihood)
    return "equal" if abs(above) <= same else "ours higher" if above > 0 else "mclust higher"


def cells(said: Sequence[dict[str, Any]], n_init: int) -> Iterator[dict[str, Any]]:
    """Compare everything that R has fitted."""
    data = {each["data"]: each for each in said if "rows" in each}
    together: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for each in said:
        if "family" in each:
            together.setdefault((each["data"], each["family"], each["K"]), []).append(each)
    for (name, _, _), fits in together.items():
        rows = np.array(data[name]["rows"], float).reshape(data[name]["shape"])
        yield cell(fits, rows, n_init)
