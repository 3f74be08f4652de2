"""In scikit-learn's company: pandas, pipelines, searches, clones, pickles, notebooks."""

from __future__ import annotations

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES

IRIS = load_iris().data


def fitted(**arguments):
    return GaussianMixture(**{"n_components": 3, "random_state": 0} | arguments).fit(IRIS)


def test_feature_names():
    frame = pd.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    found = GaussianMixture(3, random_state=0).fit(frame)
    assert found.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(found.predict(frame), fitted().predict(IRIS))
    with pytest.raises(ValueError, match="feature names"):
        found.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="valid feature names"):
        found.predict(IRIS)
    with pytest.raises(ValueError, match="4 features"):
        fitted().predict(IRIS[:, :3])
    assert not hasattr(found.fit(IRIS), "feature_names_in_")


def test_pipeline_grid_search_and_clone():
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    grid = {
        "gaussianmixture__n_components": [1, 2, 3],
        "gaussianmixture__covariance_type": ["full", "spherical"],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(IRIS)
    ours = search.best_params_
    pipeline = make_pipeline(StandardScaler(), SklearnMixture(random_state=0))
    theirs = GridSearchCV(pipeline, grid, cv=3).fit(IRIS)
    assert ours == theirs.best_params_
    assert search.best_score_ == pytest.approx(theirs.best_score_, rel=1e-6)
    copy = clone(search.best_estimator_[-1])
    assert copy.get_params() == search.best_estimator_[-1].get_params()
    assert not hasattr(copy, "means_")
    assert np.isfinite(cross_val_score(copy, IRIS, cv=3)).all()


def test_metadata_routing_of_weights():
    w = np.linspace(0.5, 1.5, len(IRIS))
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0))
    found = pipeline.fit(IRIS, gaussianmixture__sample_weight=w)[-1]
    direct = GaussianMixture(2, random_state=0).fit(StandardScaler().fit_transform(IRIS), None, w)
    np.testing.assert_array_equal(found.means_, direct.means_)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_pickle_and_joblib_keep_every_bit(covariance_type):
    found = fitted(covariance_type=covariance_type)
    file = io.BytesIO()
    joblib.dump(found, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(found)), joblib.load(file)):
        np.testing.assert_array_equal(copy.predict_proba(IRIS), found.predict_proba(IRIS))
        assert copy.get_params() == found.get_params()


def test_it_shows_itself():
    assert repr(fitted()) == "GaussianMixture(n_components=3, random_state=0)"
    html = fitted()._repr_html_()
    assert "GaussianMixture" in html
    assert "standardize" in html


def test_arguments_and_data_are_left_alone():
    X = IRIS.copy()
    X.flags.writeable = False
    means = np.asfortranarray(IRIS[[0, 60, 120]])
    kept = means.copy()
    found = GaussianMixture(3, means_init=means, random_state=0).fit(X)
    np.testing.assert_array_equal(means, kept)
    assert found.means_init is means
    found.means_ += 1  # ours is a copy, as scikit-learn's
    np.testing.assert_array_equal(means, kept)
