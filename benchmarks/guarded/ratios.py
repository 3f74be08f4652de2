"""What the guard watches: our work, and NumPy primitives that do comparable work on as much data.

Every pair is two functions without arguments on data made once. The primitives are fixed: they take
nothing from this package, so that what makes the package slower does not make them slower too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.bench_context import patches
from benchmarks.bench_kernels import RULE
from benchmarks.em_step.cases import Case, draw
from benchmarks.guarded.pair import Pair
from benchmarks.guarded.passes import engine_pair, reading_pair
from dask_gmm.data.features import filters
from dask_gmm.mixture.counts import Counts
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.field import Field, inside, planes_for, smooth
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.kernel import Kernel
from dask_gmm.mixture.lookup import LookUp
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.prediction import Wanted, predict
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.survey import SurveyPlan, survey

#: D and K.
SIZES = ((3, 8), (6, 16), (16, 16), (32, 32))
FAMILIES = ("full", "tied", "diag", "spherical")
#: Columns of the primitives' products: what keeps them in the processor's second cache.
BLOCK = 1_024
#: Floating-point operations of a turn, an exponential counted as thirty: a few milliseconds.
WORK = 8e7
LABELS = Wanted(labels=True)


def pairs(place: Path) -> Iterator[Pair]:
    """Make all pairs; files that are read go below ``place``."""
    for D, K in SIZES:
        for family in FAMILIES:
            yield e_step_pair(D, K, family)
    yield centred_pair(6, 16, 8 * BLOCK)
    for D, K in SIZES[1:3]:
        yield labels_pair(D, K)
    yield survey_pair()
    yield look_up_pair()
    yield field_pair()
    yield gaussian_pair()
    yield reading_pair(place, "Zarr")
    yield reading_pair(place, "Parquet")
    yield engine_pair()


class Products:
    """The products and exponentials of an E-step over n rows, block by block, with NumPy alone.

    Parameters
    ----------
    K, Q, n : int
        Components, length of phi(x), rows.
    back : bool
        Whether there is the product back, which makes the statistics.
    """

    def __init__(self, K: int, Q: int, n: int, back: bool = True) -> None:
        rng = np.random.default_rng(0)
        self.theta, self.phi = rng.normal(size=(K, Q)), rng.normal(size=(Q, BLOCK))
        self.R, self.exponent = np.empty((K, BLOCK)), rng.uniform(-30.0, 0.0, (K, BLOCK))
        self.n_blocks, self.back = n // BLOCK, back

    def __call__(self) -> None:
        """Make them."""
        for _ in range(self.n_blocks):
            np.matmul(self.theta, self.phi, out=self.R)
            if self.back:
                np.exp(self.exponent, out=self.R)
                np.matmul(self.R, self.phi.T)
            else:
                self.R.argmax(axis=0)


def affordable(D: int, K: int, family: str) -> Case:
    """Return a case of so many rows, in whole blocks, that an E-step takes milliseconds."""
    Q = Case(D, K, family, 0).Q
    return Case(D, K, family, BLOCK * max(2, round(WORK / (4 * K * Q + 30 * K) / BLOCK)))


def e_step_pair(D: int, K: int, family: str) -> Pair:
    """Return an E-step, and its two products and exponentials."""
    case = affordable(D, K, family)
    X, start = draw(case)
    frame = Frame.of_sample(X, isotropic=start.family.isotropic)
    ours = partial(e_step, [Rows(X)], start.inside(frame), frame)
    return Pair(f"E-step, {D}, {K}, {family}", ours, Products(K, case.Q, case.n_rows))


def centred_pair(D: int, K: int, n: int) -> Pair:
    """Return an E-step by the centred kernel, and its products and exponentials."""
    X, start = draw(Case(D, K, "full", n))
    frame, rows = Frame.of_sample(X, isotropic=False), Rows(X)
    parameters = start.inside(frame)
    rng = np.random.default_rng(0)
    factor, residuals = rng.normal(size=(D, D)), rng.normal(size=(D, BLOCK))
    whitened, exponent = np.empty_like(residuals), rng.uniform(-30.0, 0.0, (K, BLOCK))

    def ours() -> None:
        with patch(RULE, lambda family, K, D: True):
            e_step([rows], parameters, frame)

    def primitives() -> None:
        for _ in range(n // BLOCK):
            np.exp(exponent)
            for _ in range(K):
                np.matmul(factor, residuals, out=whitened)
                np.multiply(whitened, whitened, out=whitened)
                np.matmul(whitened, residuals.T)

    return Pair(f"E-step, {D}, {K}, full, centred", ours, primitives)


def labels_pair(D: int, K: int) -> Pair:
    """Return labels, and one product and the largest of each column."""
    case = affordable(D, K, "full")
    X, mixture = draw(case)
    kernel, rows = Kernel.in_own_frame(mixture), Rows(X)
    ours = partial(predict, kernel, rows, LABELS)
    return Pair(f"labels, {D}, {K}", ours, Products(K, case.Q, case.n_rows, back=False))


def survey_pair() -> Pair:
    """Return a survey with a sample, and the sums and the scrambled indices that it needs."""
    D, n = 6, 1 << 17
    X = draw(Case(D, 4, "full", n))[0].astype(np.float32)
    rows, index = Rows(X), np.arange(n, dtype=np.uint64)

    def primitives() -> None:
        for start in range(0, n, 8 * BLOCK):
            here = slice(start, start + 8 * BLOCK)
            x = X[here].astype(np.float64)
            np.matmul(x.T, x), x.sum(axis=0)
            h = index[here] * np.uint64(0x9E3779B97F4A7C15)
            h ^= h >> np.uint64(32)
            (h < np.uint64(1 << 50)).nonzero()

    plan = SurveyPlan(D, capacity=2_000, seed=0, n_rows=n)
    return Pair("survey", lambda: survey([rows], plan), primitives)


def look_up_pair() -> Pair:
    """Return labels of 8-bit colours by look-up, and a packing of three columns and a take."""
    rng = np.random.default_rng(0)
    n, colours = 1 << 18, rng.integers(0, 256, (5_000, 3), dtype=np.uint8)
    X = colours[rng.integers(0, len(colours), n)]
    start = draw(Case(3, 8, "full", 256))[1]
    mixture = Parameters.of(
        "full", start.weights, 128.0 + 40.0 * start.means, 900.0 * start.covariances
    )
    kernel, rows = Kernel.in_own_frame(mixture), Rows(X)
    table = LookUp.of(Counts.of(X, None, n), kernel, LABELS)
    places = rng.integers(0, 8, 1 << 24).astype(np.uint8)

    def primitives() -> None:
        for start in range(0, n, 8 * BLOCK):
            x = X[start : start + 8 * BLOCK].astype(np.int32)
            places.take((x[:, 0] << 16) | (x[:, 1] << 8) | x[:, 2])

    return Pair("labels by look-up", lambda: table.predict(kernel, rows, LABELS), primitives)


def field_pair() -> Pair:
    """Return iterations of a field, and the additions and exponentials of as many."""
    K, shape, field = 4, (256, 256), Field(1.0, 8, 4)
    _, p = patches(shape, K)
    planes = planes_for(K, shape, field)
    inside(planes, field)[...] = p
    total, around = np.zeros_like(p), np.zeros((K, shape[0] + 2, shape[1] + 2), np.float32)
    shifts = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]

    def primitives() -> None:
        for _ in range(field.iterations):
            total[...] = 0.0
            for y, x in shifts:
                np.add(total, around[:, y : y + shape[0], x : x + shape[1]], out=total)
            np.exp(total, out=total)
            np.divide(total, total.sum(axis=0), out=total)

    return Pair("field, 8 neighbours", lambda: smooth(planes.copy(), field), primitives)


def gaussian_pair() -> Pair:
    """Return a Gaussian mean, and as many multiplications and additions of shifted planes."""
    sigma, plane = 2.0, np.random.default_rng(0).normal(size=(256, 256))
    taps = 2 * filters.gaussian_radius(sigma) + 1
    total, term = np.empty_like(plane), np.empty_like(plane)
    around = np.zeros((len(plane) + taps, len(plane)))

    def primitives() -> None:
        for _ in range(plane.ndim):
            total[...] = 0.0
            for i in range(taps):
                np.multiply(around[i : i + len(plane)], 0.5, out=term)
                np.add(total, term, out=total)

    return Pair("feature: Gaussian", lambda: filters.gaussian(plane, (sigma, sigma)), primitives)
