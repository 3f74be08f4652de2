"""A fit on distinct rows is the fit on all rows, for every family; and reads no data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.fit.compression import CountedReadings, readings_for_fit
from dask_gmm.fit.loop import Rules, fit_em
from dask_gmm.fit.readings import MemoryReadings, expectation_over
from dask_gmm.fit.sample import StartPlan, start_parameters
from dask_gmm.fit.stopping import Tolerance
from dask_gmm.mixture.counts import WORTH
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey

FAMILIES = ("full", "tied", "diag", "spherical")


def quantised(rng, n, D, dtype):
    """Draw rows of three overlapping groups, rounded to few values."""
    group = rng.integers(0, 3, n)
    values = rng.normal(size=(n, D)) + 2.5 * group[:, None] + rng.normal(size=(3, D))[group]
    return (np.clip(np.rint(values), -1, 6) + 1).astype(dtype)


def surveyed(rows, most_distinct):
    D = rows.values.shape[1]
    readings = MemoryReadings(rows)
    return readings, readings.run("survey", survey, SurveyPlan(D, 500, 0, None, most_distinct))


def fitted(readings, seen, start, frame, floor, steps=5):
    expectation = expectation_over(readings, frame, seen.moments.total_scatter(frame))
    return fit_em(expectation, start, Rules(floor, Tolerance(1e-300), steps))


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["u1", "<f4", ">f8"]), st.integers(1, 3))
def test_distinct_rows_give_the_same_fit(family, seed, dtype, D):
    rng = np.random.default_rng(seed)
    n = 9**D * WORTH
    values = quantised(rng, n, D, dtype)
    weights = None if seed % 2 else rng.integers(0, 4, n) / 2
    rows = Rows(values, weights, rng.random(n) < 0.9)
    readings, seen = surveyed(rows, n // WORTH)
    counted = CountedReadings(seen.counts, readings)
    assert seen.counts.known
    frame = Frame.of_sample(seen.sample.rows, isotropic=family == "spherical")
    plan = StartPlan(family, 3, "kmeans", frame, frame.floor(1 / 12), 50)
    sample = (seen.sample.rows, seen.sample.weights)
    start = start_parameters(plan, *sample, np.random.RandomState(0))
    plain = fitted(readings, seen, start, frame, plan.floor)
    passes = readings.n_passes
    other = fitted(counted, seen, start, frame, plan.floor)
    assert readings.n_passes == counted.n_passes == passes  # nothing was read
    np.testing.assert_allclose(other.history, plain.history, rtol=1e-9)
    for name in ("weights", "means", "covariances"):
        found, expected = (getattr(each.parameters, name) for each in (other, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_rows_that_repeat_too_little_are_read_as_they_are():
    rng = np.random.default_rng(0)
    rows = Rows(rng.normal(size=(400, 2)))
    readings, seen = surveyed(rows, 50)
    assert seen.counts.too_many
    assert readings_for_fit(seen, readings) is readings
    # Counted, but most rows are masked: a distinct one stands for fewer than is worth it.
    values = rng.integers(0, 100, (8000, 1)).astype("u1")
    readings, seen = surveyed(Rows(values, None, np.arange(8000) < 200), 1000)
    assert seen.counts.known
    assert readings_for_fit(seen, readings) is readings
    readings, seen = surveyed(Rows(values), 1000)
    assert isinstance(readings_for_fit(seen, readings), CountedReadings)


def test_what_is_mapped_is_mapped_where_passes_run():
    class Passes(MemoryReadings):
        def map(self, name, function, items, *arguments):
            return [(name, function(item, *arguments)) for item in items]

    rows = Rows(np.zeros((100, 1), "u1"))
    _, seen = surveyed(rows, 10)
    readings = readings_for_fit(seen, Passes(rows))
    assert readings.map("squares", pow, [2, 3], 2) == [("squares", 4), ("squares", 9)]
