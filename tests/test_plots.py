"""Class colours and plots, as a user of `dask_gmm.plots` sees them."""

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from dask_gmm import plots
from dask_gmm.palette import ink_on, luminance

HISTORY = [
    {"stage": "sample", "start": s, "iteration": i, "mean_log_likelihood": -9 - 1 / i - s / 10}
    for s in (3, 4)
    for i in range(1, 8)
] + [
    {"stage": "full", "start": 3, "iteration": 1, "mean_log_likelihood": -8.91, "fall": False},
    {"stage": "full", "start": 3, "iteration": 2, "mean_log_likelihood": -8.92, "fall": True},
    {"stage": "full", "start": 3, "iteration": 3, "mean_log_likelihood": -8.90, "fall": False},
]


@pytest.mark.parametrize("n_classes", [1, 2, 8, 9, 33, 255, 256, 257, 3000])
def test_class_colors_are_distinct_and_never_the_masked_color(n_classes):
    colors = plots.class_colors(n_classes)
    assert colors.shape == (n_classes, 3)
    assert colors.dtype == np.uint8
    seen = {tuple(color) for color in colors.tolist()}
    assert len(seen) == n_classes
    assert plots.MASKED_COLOR not in seen


def test_a_class_keeps_its_color_when_classes_are_added():
    many = plots.class_colors(300)
    for n_classes in (1, 5, 8, 12, 256):
        np.testing.assert_array_equal(plots.class_colors(n_classes), many[:n_classes])


def test_a_caller_cannot_spoil_the_palette():
    before = plots.class_colors(20).copy()
    plots.class_colors(20)[:] = 0
    np.testing.assert_array_equal(plots.class_colors(20), before)


def _seen_by(colors, vision):
    """Lab colours through an implementation of its own: matrices of Machado et al. 2009."""
    share = np.asarray(colors) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    rgb = np.clip(linear @ np.array(vision).T, 0, 1)
    xyz_from_rgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = rgb @ np.array(xyz_from_rgb).T / [0.9505, 1.0, 1.0890]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


@pytest.mark.parametrize(
    "vision",
    [
        pytest.param(np.eye(3), id="normal"),
        pytest.param(
            [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
            id="protanopia",
        ),
        pytest.param(
            [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
            id="deuteranopia",
        ),
        pytest.param(
            [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
            id="tritanopia",
        ),
    ],
)
@pytest.mark.parametrize(("n_classes", "least"), [(8, 15.0), (20, 15.0), (32, 11.0)])
def test_neighbouring_colors_stay_apart_in_every_color_vision(vision, n_classes, least):
    lab = _seen_by([plots.MASKED_COLOR, *plots.class_colors(n_classes)], vision)
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > least  # 2 is just noticeable side by side, 10 across a page


def test_zero_classes_are_refused_with_what_is_needed():
    with pytest.raises(ValueError, match="n_classes=0; at least 1"):
        plots.class_colors(0)


def test_label_image_paints_masked_and_classes():
    image = plots.label_image([[0, 1], [2, 1]], 2)
    first, second = plots.class_colors(2)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, [[plots.MASKED_COLOR, first], [second, first]])


@pytest.mark.parametrize("labels", [[[3]], [[-1]]])
def test_label_image_refuses_labels_outside_the_model(labels):
    with pytest.raises(ValueError, match=r"n_classes=2 are allowed"):
        plots.label_image(labels, 2)


def test_label_image_refuses_probabilities():
    with pytest.raises(TypeError, match="float64"):
        plots.label_image([[0.5]], 2)


def test_convergence_draws_passes_starts_and_falls():
    ax = plots.plot_convergence(HISTORY)
    names = [line.get_label() for line in ax.lines]
    assert names.count("all rows") == 1
    assert names.count("fell") == 1
    assert {"start 3 on the sample", "start 4 on the sample"} <= set(names)
    (fell,) = (line for line in ax.lines if line.get_label() == "fell")
    assert fell.get_xdata().tolist() == [2]
    assert "log-likelihood" in ax.get_ylabel()


def test_one_stage_alone_highlights_the_start_that_won():
    ax = plots.plot_convergence(HISTORY, stage="sample")
    width = {line.get_label(): line.get_linewidth() for line in ax.lines}
    assert width["start 3 on the sample"] > width["start 4 on the sample"]
    assert "all rows" not in width


def test_a_wild_first_iteration_does_not_flatten_the_rest():
    likelihoods = [-5000.0, -30.0, -10.0, -9.8, -9.7]
    history = [
        {"stage": "full", "start": 0, "iteration": i, "mean_log_likelihood": x}
        for i, x in enumerate(likelihoods, start=1)
    ]
    low, high = plots.plot_convergence(history).get_ylim()
    assert -11 < low < -10
    assert high > -9.7


def test_an_empty_history_gives_empty_axes():
    assert not plots.plot_convergence([]).lines


def mixture(weights, means, covariances=None, covariance_type="full", names=None):
    """What plots take: a fitted mixture's attributes."""
    means = np.asarray(means, float)
    given = np.tile(np.eye(means.shape[1]), (len(means), 1, 1))
    fitted = SimpleNamespace(
        covariance_type=covariance_type,
        weights_=weights,
        means_=means,
        covariances_=given if covariances is None else np.asarray(covariances, float),
        lower_bounds_=[-3.0, -2.0, -2.5, -1.0],
    )
    if names is not None:
        fitted.feature_names_in_ = np.array(names, object)
    return fitted


def test_plots_draw_on_the_axes_given():
    one, two = mixture([0.7, 0.3], [[1.0], [2.0]]), mixture([0.7, 0.3], [[1, 2], [3, 4]])
    edges = np.arange(4.0)
    for draw in (
        lambda ax: plots.plot_convergence(HISTORY, ax),
        lambda ax: plots.plot_classes(one, ax),
        lambda ax: plots.plot_selection(CANDIDATES, ax=ax),
        lambda ax: plots.plot_ellipses(two, ax=ax),
        lambda ax: plots.plot_density(one, ax=ax),
        lambda ax: plots.plot_distances([1, 2, 3], edges, 2, ax),
    ):
        ax = Figure().add_subplot()
        assert draw(ax) is ax
        ax.figure.savefig(io.BytesIO(), format="png")


def test_plot_classes_shows_weights_in_class_colors_and_writes_means():
    fitted = mixture([0.75, 0.25], [[1.25, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    ax = plots.plot_classes(fitted, feature_names=list("abcde"))
    assert [bar.get_width() for bar in ax.patches] == [75, 25]
    written = [text.get_text() for text in ax.texts]
    assert written[0] == "75.0%  (1.25, 2, 3, 4, …)"
    color = np.rint(255 * np.array(ax.patches[1].get_facecolor()[:3]))
    np.testing.assert_array_equal(color, plots.class_colors(2)[1])
    assert "a, b, c, d, …" in ax.get_title(loc="right")


def test_what_is_no_fitted_mixture_is_refused():
    with pytest.raises(ValueError, match=r"weights \(3,\) and means \(2, 1\)"):
        plots.plot_classes(mixture([0.5, 0.3, 0.2], [[1.0], [2.0]]))
    with pytest.raises(TypeError, match="call fit first"):
        plots.plot_classes(SimpleNamespace())
    with pytest.raises(TypeError, match="it was not fitted here"):
        plots.plot_convergence(SimpleNamespace())
    with pytest.raises(ValueError, match="two of 0 to 0 are needed"):
        plots.plot_ellipses(mixture([1.0], [[0.0]]))
    with pytest.raises(ValueError, match="one of 0 to 0 is needed"):
        plots.plot_density(mixture([1.0], [[0.0]]), 1)
    with pytest.raises(ValueError, match="allowed are bic, aic, icl, heldout"):
        plots.plot_selection(CANDIDATES, "mdl")
    with pytest.raises(ValueError, match="are not"):
        plots.plot_distances([1, 2, 3], [0, 1], 2)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_an_ellipse_holds_the_share_of_its_class_that_it_says(covariance_type):
    rng = np.random.default_rng(3)
    covariances = {
        "full": [[[4, 1.5, 0], [1.5, 1, 0], [0, 0, 9]]],
        "tied": [[4, 1.5, 0], [1.5, 1, 0], [0, 0, 9]],
        "diag": [[4, 1, 9]],
        "spherical": [2.0],
    }[covariance_type]
    fitted = mixture([1.0], [[5, -3, 1]], covariances, covariance_type)
    ax = plots.plot_ellipses(fitted, (0, 2), share=0.7)
    (ring, *_) = ax.patches
    if covariance_type == "spherical":
        dense = 2 * np.eye(3)
    elif covariance_type == "diag":
        dense = np.diag(covariances[0])
    else:
        dense = np.reshape(covariances, (3, 3))
    rows = rng.multivariate_normal([5, -3, 1], dense, 20_000)[:, [0, 2]]
    path = ring.get_path().transformed(ring.get_patch_transform())
    assert path.contains_points(rows).mean() == pytest.approx(0.7, abs=0.015)


def test_ellipses_lie_over_a_histogram_and_names_are_no_formulas():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(500, 2))
    fitted = mixture([0.6, 0.4], [[0, 0], [1, 1]], names=["$x_", "<b>"])
    ax = plots.plot_ellipses(fitted, histogram=np.histogram2d(*rows.T, bins=10))
    assert len(ax.images) == 1
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_", "<b>")
    ax.figure.savefig(io.BytesIO(), format="png")


def test_a_density_is_that_of_the_mixture():
    fitted = mixture([0.5, 0.5], [[0.0], [6.0]], [[[1.0]], [[1.0]]])
    ax = plots.plot_density(fitted)
    x, height = ax.lines[0].get_data()
    assert np.trapezoid(height, x) == pytest.approx(1.0, abs=1e-3)
    assert height.max() == pytest.approx(0.5 / np.sqrt(2 * np.pi), rel=1e-2)


def test_distances_of_a_gaussian_lie_under_the_curve():
    rng = np.random.default_rng(2)
    d = np.sqrt((rng.normal(size=(100_000, 5)) ** 2).sum(axis=1))
    counts, edges = np.histogram(d, bins=30, range=(0, 6))
    ax = plots.plot_distances(counts, edges, 5)
    (line,) = ax.lines
    middle = (edges[1:] + edges[:-1]) / 2
    meant = np.interp(middle, *line.get_data())
    np.testing.assert_allclose(counts / len(d) / np.diff(edges), meant, atol=0.015)


CANDIDATES = [
    {"n_components": K, "covariance_type": kind, "bic": 10.0 + (K - 3) ** 2, "aic": 9.0,
     "icl": 11.0, "heldout": -K, "objection": None, "chosen": (K, kind) == (3, "full")}
    for kind in ("full", "diag")
    for K in (2, 3, 4)
]  # fmt: skip


def test_selection_draws_all_criteria_and_rings_what_was_chosen():
    ax = plots.plot_selection(CANDIDATES[:3])
    assert {"BIC", "AIC", "ICL"} <= {line.get_label() for line in ax.lines}
    rings = [line for line in ax.lines if line.get_markersize() == 11.0]
    assert [ring.get_xdata()[0] for ring in rings] == [3, 3, 3]
    both = plots.plot_selection(CANDIDATES, "bic")
    assert {"full", "diag"} <= {line.get_label() for line in both.lines}
    assert "held-out" in plots.plot_selection(CANDIDATES, "heldout").get_ylabel()


def test_fitted_models_and_selections_are_drawn_as_they_are():
    from sklearn.datasets import load_iris

    from dask_gmm import GaussianMixture, select_components

    X = load_iris().data
    fitted = GaussianMixture(3, random_state=0).fit(X)
    curve = plots.plot_convergence(fitted)
    assert curve.lines[0].get_ydata().tolist() == fitted.lower_bounds_
    assert len(plots.plot_ellipses(fitted, (2, 3)).patches) == 6
    found = select_components(X, range(1, 4), random_state=0)
    ax = plots.plot_selection(found)
    rings = [line.get_xdata()[0] for line in ax.lines if line.get_markersize() == 11.0]
    assert set(rings) == {found.best.n_components}


def test_a_fall_of_a_fitted_model_is_marked():
    ax = plots.plot_convergence(mixture([1.0], [[0.0]]))
    (fell,) = (line for line in ax.lines if line.get_label() == "fell")
    assert fell.get_xdata().tolist() == [3]


def test_drawing_chooses_no_backend_and_importing_loads_no_matplotlib():
    code = (
        "import sys, dask_gmm.plots as p; assert 'matplotlib' not in sys.modules;"
        "from types import SimpleNamespace as M;"
        "p.plot_classes(M(weights_=[1.0], means_=[[0.0]]));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("n_classes", [8, 40])
def test_numbers_on_classes_can_be_read(n_classes):
    for color in plots.class_colors(n_classes):
        light = luminance(color) + 0.05
        dark_on_light, light_on_dark = light / 0.05, 1.05 / light
        read = dark_on_light if ink_on(color) == "#000000" else light_on_dark
        assert read >= 4.5
