"""Features in Python: of arrays in memory, as a run makes them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import zarr

from dask_gmm import GaussianMixture, make_features
from dask_gmm.run.cli import main

FEATURES = [
    "nir",
    {"ndvi": "(nir - red) / (nir + red)"},
    {"rough": {"kind": "std", "of": "ndvi", "scale": 1}},
    {"rank": {"kind": "quantile", "of": "red"}},
]
BANDS = ["red", "nir"]


def image(seed=0):
    rng = np.random.default_rng(seed)
    groups = np.array([[30, 90], [120, 60]])[rng.integers(0, 2, (30, 40))]
    return (groups + rng.normal(scale=6, size=(30, 40, 2))).clip(1, 255).astype("u1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run over an image with features."""
    folder = tmp_path_factory.mktemp("make")
    names = {"attributes": {"feature_names": BANDS}}
    zarr.create_array(str(folder / "a.zarr"), data=image(), chunks=(13, 17, 2), **names)
    settings = {
        "version": 1,
        "name": "a",
        "run_dir": "run",
        "source": {"kind": "zarr", "path": "a.zarr"},
        "features": FEATURES,
        "standardize": True,
        "model": {"n_components": 2, "n_init": 1},
        "fit": {"sample_rows": 1000},
        "outputs": {"labels": {"kind": "npy", "path": "labels.npy"}},
        "cluster": {"kind": "threads", "n_workers": 1},
    }
    (folder / "a.yaml").write_text(json.dumps(settings))
    assert main(["run", str(folder / "a.yaml"), "-C", str(folder)]) == 0
    return folder / "run"


def test_a_model_s_features_of_another_image_are_what_it_predicts_by(run):
    made = make_features(image(), run)
    assert made.shape == (30, 40, 4)
    assert made.dtype == np.float32
    mixture = GaussianMixture.load(run)
    rows = pd.DataFrame(made.reshape(-1, 4), columns=mixture.feature_names_in_)
    labels = mixture.predict(rows) + 1
    np.testing.assert_array_equal(labels.reshape(30, 40), np.load(run / "labels.npy"))
    assert not np.array_equal(made[..., 3], make_features(image(1), FEATURES, bands=BANDS)[..., 3])


def test_a_list_is_that_of_a_configuration():
    values = image().astype(float)
    mask = np.ones((30, 40), bool)
    mask[:4, :4] = False
    made = make_features(image(), FEATURES, bands=BANDS, mask=mask)
    assert np.isnan(made[~mask]).all()
    assert np.isfinite(made[mask]).all()
    np.testing.assert_array_equal(made[mask][:, 0], values[mask][:, 1])
    ndvi = (values[..., 1] - values[..., 0]) / values.sum(axis=-1)
    np.testing.assert_allclose(made[mask][:, 1], ndvi[mask], rtol=1e-6)
    np.testing.assert_allclose(made[10, 10, 2], ndvi[9:12, 9:12].std(), rtol=1e-5)
    assert abs(made[mask][:, 3].mean()) < 0.05
    volume = make_features(np.ones((3, 4, 5, 2)), [{"kind": "gaussian", "of": 0, "scale": 1}])
    np.testing.assert_allclose(volume, np.ones((3, 4, 5, 1)), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": [{"a": "red + blue"}], "bands": BANDS}, "there is no band 'blue'"),
        ({"features": [{"a": "log(red)"}]}, "features.0.a: allowed numbers"),
        ({"features": ["red"]}, "did you mean|the bands band0, band1"),
        ({"features": [0], "bands": ["red"]}, "found 1 names"),
        ({"features": [0], "mask": np.ones(3)}, "mask: found shape"),
        ({"features": [0], "image": np.ones(3)}, "image: found shape"),
        ({"features": [{"kind": "mean", "of": 0, "scale": 31}]}, "scale 31 is larger than"),
        ({"features": "nowhere"}, "the model cannot be read"),
        (
            {"features": [{"kind": "quantile", "of": 0}], "mask": np.zeros((30, 40))},
            "no pixel has a value",
        ),
    ],
)
def test_what_does_not_fit_is_a_value_error_that_says_so(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_features(**{"image": image(), **arguments})
