"""A saved mixture is the mixture, bit for bit; a file that is none is refused with a reason."""

from __future__ import annotations

import json
import pickle
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from sklearn.exceptions import ConvergenceWarning

from dask_gmm import GaussianMixture
from dask_gmm.errors import InputDataError
from dask_gmm.model_file import FORMAT, Model
from tests.mixture.problems import FAMILIES, draw, random_mixture

KEPT = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def rows(D=4, n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = draw(random_mixture("full", 3, D, rng), n, rng)
    return X * rng.lognormal(size=D) + 100 * rng.normal(size=D)


def fitted(X, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**{"n_components": 3, "random_state": 0} | arguments).fit(X)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the path of a good model file."""
    path = tmp_path_factory.mktemp("model") / "good.safetensors"
    fitted(rows()).save(path)
    return path


@pytest.mark.parametrize("D", [1, 4, 70])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_round_trip_keeps_every_bit(tmp_path, covariance_type, standardize, D):
    X = rows(D)
    found = fitted(X, covariance_type=covariance_type, standardize=standardize, max_iter=8)
    found.save(tmp_path / "model")
    back = GaussianMixture.load(tmp_path / "model")
    for name in KEPT:
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name), name)
    for ask in ("predict", "predict_proba", "score_samples"):
        np.testing.assert_array_equal(getattr(back, ask)(X), getattr(found, ask)(X), ask)
    for ask in ("score", "bic", "aic", "icl"):
        assert getattr(back, ask)(X) == getattr(found, ask)(X)
    for name in ("converged_", "n_iter_", "lower_bound_", "n_features_in_", "standardize"):
        assert getattr(back, name) == getattr(found, name), name
    assert (back.n_components, back.covariance_type) == (3, covariance_type)
    assert back.sample(5)[0].shape == (5, D)


def test_save_load_save_is_the_same_file(saved, tmp_path):
    GaussianMixture.load(saved).save(tmp_path / "again")
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == saved.read_bytes()


@pytest.mark.parametrize("max_iter", [0, 1])
def test_a_mixture_that_was_given_and_not_fitted(tmp_path, max_iter):
    """Factors come from the given precisions then, not from covariances."""
    X = rows(2)
    precisions = np.tile([[2.0, 0.3], [0.3, 1.0]], (3, 1, 1))
    found = fitted(X, precisions_init=precisions, max_iter=max_iter)
    found.save(tmp_path / "model")
    back = GaussianMixture.load(tmp_path / "model")
    np.testing.assert_array_equal(back.predict_proba(X), found.predict_proba(X))
    assert back.lower_bound_ == found.lower_bound_


def test_a_loaded_mixture_goes_on(saved):
    X = rows()
    back = GaussianMixture.load(saved).set_params(warm_start=True, max_iter=2, tol=0.0)
    before = back.lower_bound_
    with pytest.warns(ConvergenceWarning):
        back.fit(X)
    assert back.lower_bound_ >= before - 1e-6


def test_feature_names_are_kept(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows(3), columns=["red", "grün", "nir"])
    found = fitted(frame)
    found.save(tmp_path / "model")
    back = GaussianMixture.load(tmp_path / "model")
    assert back.feature_names_in_.tolist() == ["red", "grün", "nir"]
    np.testing.assert_array_equal(back.predict(frame), found.predict(frame))


def test_the_document_is_readable(saved):
    document = json.loads(saved.with_suffix(".json").read_text())
    tensors = load_file(saved)
    assert document["format"] == FORMAT
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(document[name], tensors[name])
    assert document["n_parameters"] == 2 + 12 + 30


def test_names_with_dots_are_names(tmp_path):
    found = fitted(rows())
    for name in ("fit-0.1", "fit-0.2", "plain", "full.safetensors"):
        found.save(tmp_path / name)
        np.testing.assert_array_equal(GaussianMixture.load(tmp_path / name).means_, found.means_)
    names = {path.name for path in tmp_path.iterdir()}
    stems = ("fit-0.1", "fit-0.2", "plain", "full")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("safetensors", "json")}


def test_a_directory_holds_one_model(tmp_path):
    found = fitted(rows())
    found.save(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    np.testing.assert_array_equal(GaussianMixture.load(str(tmp_path)).means_, found.means_)


# -- files that are none ---------------------------------------------------------------------------


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=path.name) as caught:
        GaussianMixture.load(path)
    return str(caught.value)


def changed(saved, tensors=None, **head):
    """Return the good file with other tensors, or another header."""
    content = saved.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    known = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["dask-gmm"])
    arrays = load_file(saved) | (tensors or {})
    arrays = {name: array for name, array in arrays.items() if array is not None}
    return save(arrays, {"dask-gmm": json.dumps(known | head)})


def test_a_missing_file(tmp_path):
    for path in (tmp_path / "none", tmp_path, tmp_path / "no" / "folder.safetensors"):
        with pytest.raises(InputDataError, match="cannot be read"):
            GaussianMixture.load(path)


def test_every_truncation(saved, tmp_path):
    content = saved.read_bytes()
    for length in [*range(0, 200, 7), *range(200, len(content), 97), len(content) - 1]:
        refused(tmp_path / "short.safetensors", content[:length])


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"format": "another"}, "another"),
        ({"format_version": 2}, "version 2"),
        ({"parameter_family": "banded"}, "banded"),
        ({"parameter_family": "diag"}, "variance"),
        ({"parameter_family": None}, "None"),
        ({"parameter_family": ["full"]}, "full"),
        ({"covariance_type": "tied"}, "tied"),
        ({"covariance_type": []}, ""),
        ({"feature_names": ["one"]}, "feature_names"),
        ({"feature_names": "abcd"}, "feature_names"),
        ({"feature_names": 4}, "feature_names"),
        ({"information": None}, "information"),
        ({"information": [["n_iter", 1]]}, "information"),
        ({"information": {"n_iter": "many"}}, "n_iter"),
        ({"information": {"n_iter": 1e400}}, "n_iter"),
        ({"information": {"lower_bound": 10**400}}, "lower_bound"),
        ({"information": {"lower_bound": {}}}, "lower_bound"),
    ],
    ids=str,
)
def test_a_wrong_header(saved, tmp_path, head, reason):
    assert reason in refused(tmp_path / "head.safetensors", changed(saved, **head))


BAD_TENSORS = {
    "no weights": {"weights": None},
    "no factors": {"factors": None},
    "float32": {"means": np.zeros((3, 4), np.float32)},
    "integers": {"means": np.zeros((3, 4), np.int64)},
    "another K": {"means": np.zeros((2, 4))},
    "another D": {"means": np.zeros((3, 5))},
    "one axis": {"means": np.zeros(12)},
    "no components": {"weights": np.zeros(0), "means": np.zeros((0, 4))},
    "no features": {"means": np.zeros((3, 0)), "covariances": np.zeros((3, 0, 0))},
    "NaN": {"means": np.full((3, 4), np.nan)},
    "infinite weights": {"weights": np.array([np.inf, 0, 0])},
    "weights without sum": {"weights": np.full(3, 0.5)},
    "a negative weight": {"weights": np.array([-0.5, 0.5, 1.0])},
    "indefinite": {"covariances": -np.tile(np.eye(4), (3, 1, 1))},
    "singular": {"covariances": np.ones((3, 4, 4))},
    "NaN covariance": {"covariances": np.full((3, 4, 4), np.nan)},
    "infinite covariance": {"covariances": np.tile(np.diag([np.inf, 1, 1, 1]), (3, 1, 1))},
    "others' factors": {"covariances": np.tile(np.eye(4), (3, 1, 1))},
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_wrong_tensors(saved, tmp_path, name):
    refused(tmp_path / "tensors.safetensors", changed(saved, BAD_TENSORS[name]))


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    refused(tmp_path / "bomb.safetensors", pickle.dumps(Bomb()))
    assert not (tmp_path / "exploded").exists()


HYPOTHESIS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@HYPOTHESIS
@given(content=st.binary(max_size=300))
def test_random_bytes(tmp_path, content):
    refused(tmp_path / "random.safetensors", content)


@HYPOTHESIS
@given(header=st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["__metadata__", "dask-gmm", "means", "dtype", "shape", "data_offsets"])
        | st.text(max_size=5),
        inner,
        max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
def test_random_headers(tmp_path, header):
    encoded = json.dumps(header).encode()
    refused(tmp_path / "header.safetensors", struct.pack("<Q", len(encoded)) + encoded + bytes(64))


@HYPOTHESIS
@given(data=st.data())
def test_flipped_bytes_are_refused_or_give_a_sound_mixture(saved, tmp_path, data):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 4), label="flips")):
        content[data.draw(st.integers(0, len(content) - 1), label="at")] ^= data.draw(
            st.integers(1, 255), label="bits"
        )
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(content)
    try:
        model = Model.load(path)
    except InputDataError:
        return
    assert np.isfinite(model.parameters.means).all()
    assert model.parameters.weights.sum() == pytest.approx(1.0)
    GaussianMixture.load(path)
