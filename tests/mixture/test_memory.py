"""Memory is that of one micro-block, whatever the number of rows: no (n, K) array is made."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from dask_gmm.mixture.blocking import several_bytes, workspace_bytes
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.prediction import Wanted, predict, score
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.several import e_steps
from dask_gmm.mixture.survey import SurveyPlan, survey
from tests.mixture.problems import FAMILIES, random_mixture

K, D = 16, 3
FEW, MANY = 20_000, 200_000
#: What Python and NumPy allocate besides: small arrays, iterators.
SLACK = 1 << 20


def peak(task):
    """Return the bytes that ``task`` held at most, beyond what was there before."""
    tracemalloc.start()
    try:
        task()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_an_e_step_needs_its_workspace_and_no_more(covariance_type, dtype):
    rng = np.random.default_rng(0)
    mixture = random_mixture(covariance_type, K, D, rng)
    X = (40 * rng.normal(size=(MANY, D)) + 128).clip(0, 255).astype(dtype)
    frame = Frame.of_sample(X[:1000], isotropic=mixture.family.isotropic)
    inside = mixture.inside(frame)
    allowed = workspace_bytes(mixture.family, K, D) + SLACK
    for n in (FEW, MANY):
        assert peak(lambda n=n: e_step([Rows(X[:n])], inside, frame)) < allowed
        assert peak(lambda n=n: score([Rows(X[:n])], mixture)) < allowed


def test_several_mixtures_share_their_workspace():
    rng = np.random.default_rng(0)
    mixtures = [random_mixture(name, 1 + i, D, rng) for name in FAMILIES for i in range(12)]
    X = rng.normal(size=(MANY, D))
    frame = Frame.of_sample(X[:1000], isotropic=True)
    inside = [each.inside(frame) for each in mixtures]
    allowed = several_bytes([(each.family, each.K) for each in mixtures], D) + SLACK
    for n in (FEW, MANY):
        assert peak(lambda n=n: e_steps([Rows(X[:n])], inside, frame)) < allowed


def test_predictions_need_their_results_besides():
    rng = np.random.default_rng(0)
    mixture = random_mixture("full", K, D, rng)
    X = rng.normal(size=(MANY, D))
    kernel = Kernel.in_own_frame(mixture)
    allowed = workspace_bytes(mixture.family, K, D) + SLACK
    labels = peak(lambda: predict(kernel, Rows(X), Wanted(labels=True)))
    assert labels < allowed + 2 * MANY
    everything = Wanted(True, True, True, True, np.float32)
    assert peak(lambda: predict(kernel, Rows(X), everything)) < allowed + MANY * (2 + 4 * K + 4 + 8)


def test_a_survey_needs_its_sample_and_one_index():
    X = np.random.default_rng(0).normal(size=(MANY, D))
    plan = SurveyPlan(D, 1000, 0)
    held = peak(lambda: survey([Rows(X)], plan))
    assert held < 8 * MANY + 4 * SLACK
