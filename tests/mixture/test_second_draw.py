"""The second draw: the same rows for any chunking, as many in every decade of badness, unbiased."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.hashing import row_hashes
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.second_draw import SecondDraw, both_draws, e_steps_and_draw, log_densities
from dask_gmm.mixture.several import e_steps
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import draw, random_mixture


class Drawn:
    """Rows of a mixture, a sample, and the plan of the second draw."""

    def __init__(self, n=20_000, m=500, seed=0, weights=None):
        rng = np.random.default_rng(seed)
        self.mixture = random_mixture("full", 3, 2, rng)
        self.X = draw(self.mixture, n, rng)
        self.weights = weights
        self.frame = Frame.of_sample(self.X, isotropic=False)
        self.inside = self.mixture.inside(self.frame)
        self.sample = survey([Rows(self.X, weights)], SurveyPlan(2, m, seed)).sample
        taking_part = n if weights is None else int((weights > 0).sum())
        self.plan = SecondDraw.after(self.sample, seed, self.inside, self.frame, taking_part)

    def looked(self, cuts=()):
        edges = [0, *cuts, len(self.X)]
        parts = []
        for a, b in pairwise(edges):
            w = None if self.weights is None else self.weights[a:b]
            block = [Rows(self.X[a:b], w, start=a)]
            parts.append(e_steps_and_draw(block, [self.inside], self.frame, self.plan))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 19_999), unique=True, max_size=8).map(sorted))
def test_every_chunking_draws_the_same_rows(cuts):
    drawn = Drawn()
    whole, cut = drawn.looked(), drawn.looked(cuts)
    np.testing.assert_array_equal(whole.drawn.hashes, cut.drawn.hashes)
    np.testing.assert_array_equal(whole.drawn.rows, cut.drawn.rows)


@pytest.mark.parametrize(("n", "m"), [(20_000, 500), (20_000, 1_900), (400_000, 100)])
def test_what_is_refused_early_would_not_have_been_drawn(n, m):
    """The rows drawn are those of the smallest keys when every row's key is worked out."""
    drawn = Drawn(n=n, m=m, seed=3)
    found = drawn.looked([n // 3]).drawn
    index = np.arange(n, dtype=np.uint64)
    every = log_densities(drawn.inside, drawn.frame, Rows(drawn.X))
    keys = drawn.plan.exponentials(index) / drawn.plan.weights(every)
    keys[row_hashes(index, 3) <= drawn.plan.last_hash] = np.inf
    smallest = np.argsort(keys)[:m]
    smallest = smallest[keys[smallest] <= drawn.plan.ceiling]
    assert len(smallest) > m // 2
    np.testing.assert_array_equal(found.hashes.view(np.float64), keys[smallest])
    np.testing.assert_array_equal(found.rows, drawn.X[smallest])


def test_the_reading_evaluates_as_it_does_without_a_draw():
    drawn = Drawn()
    (own,) = drawn.looked().statistics.parts
    (alone,) = e_steps([Rows(drawn.X)], [drawn.inside], drawn.frame).parts
    np.testing.assert_array_equal(own.sum_x, alone.sum_x)
    assert own.log_likelihood == alone.log_likelihood


def test_no_row_is_drawn_twice_and_rows_without_weight_are_not_drawn():
    weights = np.random.default_rng(1).integers(0, 3, 20_000).astype(float)
    drawn = Drawn(weights=weights)
    found = drawn.looked([7_000]).drawn
    both = np.concatenate([drawn.sample.rows, found.rows])
    assert len(np.unique(both, axis=0)) == len(both)
    place = {tuple(row): w for row, w in zip(drawn.X, weights, strict=True)}
    np.testing.assert_array_equal([place[tuple(row)] for row in found.rows], found.weights)
    assert found.weights.min() > 0


def test_every_decade_of_badness_is_drawn_from_alike():
    drawn = Drawn(n=200_000, m=2000)
    found = drawn.looked().drawn
    assert len(found.rows) == 2000
    every = np.sort(log_densities(drawn.inside, drawn.frame, Rows(drawn.X)))
    mine = log_densities(drawn.inside, drawn.frame, Rows(found.rows))
    worse = (1.0 + np.searchsorted(every, mine)) / len(every)
    decades, _ = np.histogram(np.log10(worse), [-3, -2, -1, 0])
    assert decades.min() > 0.5 * decades.max()
    # The sample has a thousandth of its rows in the worst of them.
    assert decades[0] > 100 * 2


def test_the_weights_of_both_draws_stand_for_all_rows():
    """Sums over the rows drawn, weighted, estimate sums over all rows, the thick as the thin."""
    errors = []
    for seed in range(8):
        drawn = Drawn(seed=seed)
        rows = both_draws(drawn.sample, drawn.looked().drawn, drawn.plan)
        share = len(drawn.sample.rows) / len(drawn.X)
        assert rows.weights.max() <= 1.0
        log_density = log_densities(drawn.inside, drawn.frame, rows)
        every = log_densities(drawn.inside, drawn.frame, Rows(drawn.X))
        cut = np.quantile(every, 0.01)
        errors.append(
            [
                rows.weights.sum() / len(drawn.sample.rows) - 1,
                rows.weights[log_density < cut].sum() / (share * 0.01 * len(every)) - 1,
            ]
        )
    mean, deviation = np.mean(errors, axis=0), np.std(errors, axis=0)
    assert (np.abs(mean) < 4 * deviation / np.sqrt(8)).all()
    # A hundredth of the rows is five rows of the sample, which would scatter by nearly a half.
    assert deviation[0] < 0.06
    assert deviation[1] < 0.15


def test_a_draw_that_falls_short_estimates_without_bias_too():
    """Where many rows tie at the worst, fewer are drawn than asked for: saturated pixels do so."""
    shares = []
    for seed in range(8):
        drawn = Drawn(n=100_000, m=2000, seed=seed)
        drawn.X[:50_000] = 30.0
        drawn.sample = survey([Rows(drawn.X)], SurveyPlan(2, 2000, seed)).sample
        drawn.plan = SecondDraw.after(drawn.sample, seed, drawn.inside, drawn.frame, 100_000)
        found = drawn.looked().drawn
        assert len(found.rows) < found.capacity
        rows = both_draws(drawn.sample, found, drawn.plan)
        far = (rows.values == 30.0).all(axis=1)
        shares.append(rows.weights[far].sum() / rows.weights.sum())
    assert abs(np.mean(shares) - 0.5) < 0.02, shares
