"""What a notebook shows of a fitted mixture."""

from __future__ import annotations

import re

import numpy as np
import pytest
import sklearn

from dask_gmm import GaussianMixture
from dask_gmm.plots import class_colors

X = np.random.default_rng(0).normal(size=(200, 3)) + np.repeat([[0], [9]], 100, axis=0)


def fitted(**parameters):
    return GaussianMixture(2, random_state=0, **parameters).fit(X)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_classes_stand_below_scikit_learns_diagram(covariance_type):
    model = fitted(covariance_type=covariance_type)
    html = model._repr_html_()
    assert "sk-estimator" in html
    table = html[html.index("dask-gmm-classes") :]
    assert model._repr_mimebundle_()["text/html"].endswith(table)
    for k, color in enumerate(class_colors(2)):
        assert "background:#{:02x}{:02x}{:02x}".format(*color) in table
        assert f"{100 * model.weights_[k]:.1f} %" in table
        assert f"{model.means_[k, 2]:.4g} ±" in table
    assert "converged after" in table
    assert "feature 3" in table


def test_a_mixture_that_is_not_fitted_shows_the_diagram_alone():
    html = GaussianMixture(2)._repr_html_()
    assert "sk-estimator" in html
    assert "dask-gmm-classes" not in html


def test_where_diagrams_are_switched_off_there_is_no_html():
    model = fitted()
    with sklearn.config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
        assert "text/html" not in model._repr_mimebundle_()


def test_names_are_escaped_and_much_is_left_out():
    import pandas as pd

    wide = pd.DataFrame(np.tile(X, 4), columns=[f"<b>{i}</b>" for i in range(12)])
    html = GaussianMixture(2, random_state=0, reg_covar=1e-2).fit(wide)._repr_html_()
    table = html[html.index("dask-gmm-classes") :]
    assert "&lt;b&gt;7&lt;/b&gt;" in table
    assert "<b>" not in table
    assert "4 more features" in table


def test_a_mixture_that_was_loaded_shows_its_classes(tmp_path):
    fitted().save(tmp_path / "m.safetensors")
    table = GaussianMixture.load(tmp_path / "m.safetensors")._repr_html_()
    assert len(re.findall("border:1px solid", table)) == 2
    assert "readings of the data" not in table
