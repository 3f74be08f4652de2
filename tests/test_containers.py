"""Rows in the containers that users keep them in: results come back in the same kind."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Theirs

from dask_gmm import GaussianMixture

BANDS = ["red", "green", "blue"]


@pytest.fixture
def rows():
    generator = np.random.default_rng(20261123)
    X = np.concatenate([generator.normal(size=(600, 3)) + 6 * k for k in range(2)])
    generator.shuffle(X)
    return X


@pytest.fixture
def expected(rows):
    return GaussianMixture(2, random_state=0).fit(rows).predict(rows)


@pytest.fixture
def image(rows):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    return xarray.DataArray(
        rows.reshape(30, 40, 3).transpose(2, 0, 1),
        dims=("band", "y", "x"),
        coords={"band": BANDS, "y": np.arange(30) * 0.5, "x": np.arange(40)},
    )


def fitted(X, **arguments):
    return GaussianMixture(2, random_state=0, **arguments).fit(X)


def test_an_xarray_image_comes_back_with_its_coordinates(image, expected):
    mixture = fitted(image, feature_dim="band")
    labels = mixture.predict(image)
    assert labels.dims == ("y", "x")
    assert set(labels.coords) == {"y", "x"}
    np.testing.assert_array_equal(labels.coords["y"], image.coords["y"])
    np.testing.assert_array_equal(labels.to_numpy().ravel(), expected)
    assert mixture.predict_proba(image).dims == ("y", "x", "component")
    assert list(mixture.feature_names_in_) == BANDS


def test_a_lazy_xarray_image_stays_lazy_and_keeps_its_chunks(image):
    lazy = image.chunk({"y": 7, "x": 11})
    mixture = fitted(lazy, feature_dim="band")
    labels = mixture.predict(lazy)
    assert isinstance(labels.data, da.Array)
    assert labels.chunks == lazy.chunks[1:]
    inside = fitted(image, feature_dim="band").predict(image)
    # Equal but for the order of the two components: another start.
    agreement = float((labels.to_numpy() == inside.to_numpy()).mean())
    assert agreement in (0.0, 1.0)


def test_the_variables_of_a_dataset_are_its_features(image, expected):
    dataset = image.to_dataset(dim="band")
    mixture = fitted(dataset)
    assert list(mixture.feature_names_in_) == BANDS
    np.testing.assert_array_equal(mixture.predict(dataset).to_numpy().ravel(), expected)


def test_an_unknown_feature_dimension_is_named(image):
    with pytest.raises(ValueError, match=r"feature_dim='bands' is no dimension of X; X has band"):
        fitted(image, feature_dim="bands")


def test_other_bands_than_those_of_the_fit_are_refused(image):
    mixture = fitted(image, feature_dim="band")
    with pytest.raises(ValueError, match="feature names should match"):
        mixture.predict(image.assign_coords(band=["nir", "green", "blue"]))


def test_a_pyarrow_table(rows, expected):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table({name: rows[:, i] for i, name in enumerate(BANDS)})
    mixture = fitted(table)
    assert list(mixture.feature_names_in_) == BANDS
    np.testing.assert_array_equal(mixture.predict(table), expected)


def test_a_dask_dataframe_gives_lazy_labels(rows):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frames = pytest.importorskip("dask.dataframe", reason="dask.dataframe cannot be imported")
    table = frames.from_pandas(pandas.DataFrame(rows, columns=BANDS), npartitions=3)
    mixture = fitted(table)
    labels = mixture.predict(table)
    assert isinstance(labels, da.Array)
    np.testing.assert_array_equal(labels.compute(), mixture.predict(table.compute()))


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_to_scikit_learn_and_back_predicts_the_same(rows, covariance_type):
    ours = fitted(rows, covariance_type=covariance_type)
    theirs = ours.to_sklearn()
    assert isinstance(theirs, Theirs)
    np.testing.assert_array_equal(theirs.predict(rows), ours.predict(rows))
    np.testing.assert_allclose(theirs.score_samples(rows), ours.score_samples(rows), rtol=1e-10)
    back = GaussianMixture.from_sklearn(theirs)
    np.testing.assert_array_equal(back.predict_proba(rows), ours.predict_proba(rows))


def test_a_standardized_spherical_mixture_becomes_diag_in_scikit_learn(rows):
    ours = fitted(rows * [1, 10, 100], covariance_type="spherical", standardize=True)
    theirs = ours.to_sklearn()
    assert theirs.covariance_type == "diag"
    X = rows * [1, 10, 100]
    np.testing.assert_allclose(theirs.score_samples(X), ours.score_samples(X), rtol=1e-10)


@pytest.mark.parametrize("lazy", [False, True])
def test_masked_rows_are_left_out_and_marked(rows, lazy):
    holes = rows.copy()
    holes[[5, 17], [1, 2]] = np.nan, np.inf
    kept = np.delete(holes, [5, 17], axis=0)
    start = {"means_init": rows[:2], "weights_init": [0.5, 0.5], "precisions_init": [np.eye(3)] * 2}
    X = da.from_array(holes, chunks=(100, 3)) if lazy else holes
    mixture = fitted(X, on_invalid="mask", **start)
    reference = fitted(kept, **start)
    np.testing.assert_allclose(mixture.means_, reference.means_, rtol=1e-10)
    labels = np.asarray(mixture.predict(X))
    assert set(np.flatnonzero(labels == -1)) == {5, 17}
    probabilities = np.asarray(mixture.predict_proba(X))
    assert np.isnan(probabilities[[5, 17]]).all()
    assert np.isfinite(np.delete(probabilities, [5, 17], axis=0)).all()
    assert mixture.score(X) == pytest.approx(reference.score(kept), rel=1e-10)
    with pytest.raises(ValueError, match="NaN"):
        fitted(X)
