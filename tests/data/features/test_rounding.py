"""How coarse a feature is: as far as errors of rounding come through."""

from __future__ import annotations

import numpy as np
import pytest

from dask_gmm.data.features import filters, with_features
from dask_gmm.data.sources import open_source
from dask_gmm.recipes import recipes_of


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("rounding") / "a.npy"
    np.save(path, np.zeros((40, 50, 2), "u1"))
    return open_source("npy", str(path))


@pytest.mark.parametrize(
    ("feature", "step"),
    [
        (0, 1.0),
        ({"f": "band0 + 3 * band1 / 2 - 7"}, np.hypot(1.0, 1.5)),
        ({"f": "-(band0 - 1) * 0.5"}, 0.5),
        ({"f": "band0 / (band0 + band1)"}, 0.0),
        ({"f": "band0 + band0 ** 2"}, 0.0),
        ({"kind": "log", "of": 0}, 0.0),
        ({"kind": "gaussian", "of": "2 * band0", "scale": 2}, 2.0),
        ({"kind": "std", "of": 0, "scale": 2}, 1.0),
        ({"kind": "range", "of": "band0 * band1", "scale": 2}, 0.0),
        ({"kind": "quantile", "of": 0}, 0.0),
    ],
)
def test_steps_go_through_what_is_linear(source, feature, step):
    (found,) = with_features(source, recipes_of([feature]), "a").feature_rounding
    assert found == pytest.approx(step, rel=1e-12)


@pytest.mark.parametrize("kind", ["gradient", "laplacian"])
def test_derivatives_take_of_an_error_what_their_weights_say(source, kind):
    made = with_features(source, recipes_of([{"kind": kind, "of": 0, "scale": 1.5}]), "a")
    noise = np.random.default_rng(0).normal(size=(300, 300))
    measured = getattr(filters, kind)(noise, (1.5, 1.5))[20:-20, 20:-20]
    size = np.sqrt(np.mean(measured**2))
    assert made.feature_rounding[0] == pytest.approx(size, rel=0.3)
    assert made.feature_steps == (0.0,)
