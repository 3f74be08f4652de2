"""Rows in any layout and type of number; files and lazy arrays are not loaded whole."""

from __future__ import annotations

import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest

from dask_gmm import GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(n=400):
    generator = np.random.default_rng(5)
    return np.round(generator.normal(size=(n, 3)) * 20 + 100 * generator.integers(0, 2, (n, 1)))


def fitted(X, **arguments):
    return GaussianMixture(**{"n_components": 2, "random_state": 0} | arguments).fit(X)


def read_only(X, path):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, path):
    np.save(path / "rows.npy", X)
    return np.load(path / "rows.npy", mmap_mode="r")


FORMS = {
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "memory-mapped integers": lambda X, path: memory_mapped(X.astype("i2"), path),
    "columns first": lambda X, _: np.asfortranarray(X),
    "every second row": lambda X, _: np.repeat(X, 2, axis=0)[::2],
    "every second column": lambda X, _: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X, _: X[::-1].copy()[::-1],
    "the other byte order": lambda X, _: X.astype(X.dtype.newbyteorder()),
    "float32": lambda X, _: X.astype("f4"),
    "int64": lambda X, _: X.astype("i8"),
    "int16": lambda X, _: X.astype("i2"),
    "lists": lambda X, _: X.tolist(),
    "objects": lambda X, _: X.astype(object),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_rows_in_memory_does_not_matter(form, tmp_path):
    X = rows()
    given, expected = FORMS[form](X, tmp_path), fitted(X)
    found = fitted(given)
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-12)
    np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-10)
    np.testing.assert_array_equal(found.predict(given), expected.predict(X))
    np.testing.assert_allclose(found.score_samples(given), expected.score_samples(X), rtol=1e-10)
    w = np.linspace(0.0, 2.0, len(X))
    assert found.score(given, sample_weight=w) == pytest.approx(
        expected.score(X, sample_weight=w), rel=1e-12
    )


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_of_rows_is_not_loaded_whole(tmp_path):
    n = 500_000
    file = memory_mapped(np.random.default_rng(0).normal(size=(n, 8)), tmp_path)
    mixture = GaussianMixture(2, init_params="random", max_iter=2, random_state=0)
    mixture.fit(file[:1000])
    # Rows are numbered, 8 bytes each, to draw the sample.
    assert peak_of(lambda: mixture.fit(file)) < 8 * n + 0.25 * file.nbytes
    assert peak_of(lambda: mixture.score(file)) < 0.1 * file.nbytes


def test_a_lazy_array_is_not_loaded_whole():
    lazy = da.random.default_rng(0).normal(size=(2_000_000, 8), chunks=(20_000, 8))
    mixture = GaussianMixture(2, max_iter=2, random_state=0)
    with dask.config.set(scheduler="synchronous"):
        mixture.fit(lazy[:1000])
        # A few blocks, and the samples of 20,000 rows that a sum of sixteen leaves adds.
        sample = 20_000 * 8 * 8
        assert peak_of(lambda: mixture.fit(lazy)) < 2 * 16 * sample < 0.35 * lazy.nbytes
        assert peak_of(lambda: mixture.score(lazy)) < 0.05 * lazy.nbytes
        assert peak_of(lambda: mixture.predict(lazy)) < 0.02 * lazy.nbytes


@pytest.mark.parametrize("kind", ["image", "dataset"])
def test_lazy_xarray_keeps_coordinates_and_stays_lazy(kind):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    image = xarray.DataArray(
        rows(1200).reshape(30, 40, 3),
        dims=("y", "x", "band"),
        coords={
            "band": ["red", "green", "blue"],
            "y": np.arange(30) * 0.5,
            "x": np.arange(40),
            "lon": (("y", "x"), np.ones((30, 40))),
            "epoch": 7,
        },
    )
    reads = []

    def touch(block):
        reads.append(block.shape)
        return block

    lazy = image.chunk({"y": 7, "x": 11})
    lazy = lazy.copy(data=lazy.data.map_blocks(touch, meta=np.empty((0, 0, 0))))
    lazy = lazy.to_dataset(dim="band") if kind == "dataset" else lazy
    mixture = fitted(lazy)
    reads.clear()
    for answer in (mixture.predict(lazy), mixture.predict_proba(lazy), mixture.score_samples(lazy)):
        assert isinstance(answer.data, da.Array)
        assert answer.dims[:2] == ("y", "x")
        assert set(answer.coords) == {"y", "x", "lon", "epoch"}
        assert answer.chunks[:2] == ((7, 7, 7, 7, 2), (11, 11, 11, 7))
    assert reads == []
    w = xarray.ones_like(image.isel(band=0, drop=True))
    assert mixture.score(lazy, sample_weight=w) == pytest.approx(mixture.score(image), rel=1e-12)


def test_weights_beside_a_dask_dataframe():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frames = pytest.importorskip("dask.dataframe", reason="dask.dataframe cannot be imported")
    table = pandas.DataFrame(rows(), columns=["a", "b", "c"])
    table["w"] = np.arange(len(table)) % 3
    lazy, columns = frames.from_pandas(table, npartitions=3), ["a", "b", "c"]
    start = {"means_init": rows()[:2], "weights_init": [0.5, 0.5]}
    start |= {"precisions_init": [np.eye(3)] * 2, "max_iter": 3}
    found = GaussianMixture(2, **start).fit(lazy[columns], sample_weight=lazy["w"])
    expected = GaussianMixture(2, **start).fit(table[columns], sample_weight=table["w"])
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-10)
