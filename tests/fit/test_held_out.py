"""How the final mixture does on rows that it has not seen, told without another reading."""

from __future__ import annotations

import numpy as np
import pytest

from dask_gmm.fit.assessing import held_out
from dask_gmm.fit.candidates import fit_starts, going_on
from dask_gmm.fit.finishers import best_of_each_kind, race
from dask_gmm.fit.readings import MemoryReadings
from dask_gmm.fit.sample import StartPlan
from dask_gmm.fit.stopping import Negligible
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey

D, K, N = 3, 3, 4_000


def told(seed, sample_rows, family):
    rng = np.random.default_rng(seed)
    X = np.array([[0.0, 0, 0], [8, 0, 0], [0, 8, 0]])[rng.integers(0, K, N)]
    X = X + rng.normal(size=X.shape)
    readings = MemoryReadings(Rows(X))
    seen = readings.run("survey", survey, SurveyPlan(D, sample_rows, seed))
    frame = Frame.of_sample(seen.sample.rows, isotropic=False)
    plan = StartPlan(family, K, "kmeans", frame, frame.floor(1e-6), 500)
    starts = going_on(fit_starts(readings, [plan], [seed], seen.sample), seen.sample, halving=True)
    finished = race(
        readings,
        starts,
        seen,
        seed,
        lambda plan: Negligible(seen.moments.weight, plan.n_parameters),
        max_iter=50,
        halving=True,
    )
    before = readings.n_passes
    found = held_out(readings, best_of_each_kind(finished)[0], seen)
    assert readings.n_passes == before
    return found, plan.n_parameters


@pytest.mark.parametrize("family", ["full", "diag"])
@pytest.mark.parametrize("sample_rows", [N, N // 4])
def test_the_gap_is_what_its_parameters_cost_and_lies_in_its_interval(family, sample_rows):
    """Of a right model, rows that it was fitted to are likelier by p / N on average (Akaike)."""
    seeds = range(20)
    found = [told(seed, sample_rows, family) for seed in seeds]
    p = found[0][1]
    gaps = np.array([each.gap for each, _ in found])
    spread = gaps.std(ddof=1) / np.sqrt(len(gaps))
    assert abs(gaps.mean() - p / N) < 4 * spread + 0.1 * p / N, "seeds 0 to 19"
    inside = sum(each.low <= p / N <= each.high for each, _ in found)
    assert inside >= 16, f"95 % intervals hold the truth in {inside} of 20 (seeds 0 to 19)"
    assert np.isfinite([each.mean for each, _ in found]).all()
