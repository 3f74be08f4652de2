"""What the page says of the fit itself: views of the rows, likeness to Gaussians, criteria."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profiling import profile
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.views import views_of
from dask_gmm.palette import class_colors
from tests.run.report.conftest import gaussian
from tests.run.report.drawn import drawn


def test_classes_stand_over_the_rows_in_every_pair_of_features(
    report_record, report_history, fitted, parse_page
):
    text = drawn(report_record, report_history, None, fitted=fitted)
    page = parse_page(text)
    labels = [a["aria-label"] for a in page.all("figure") if "ellipse" in a.get("aria-label", "")]
    assert [label.split(" with")[0] for label in labels] == [
        "Histogram of green against red",
        "Histogram of blue against red",
        "Histogram of blue against green",
    ]
    for color in class_colors(3):  # a class's colour stays what it is, whatever the page's are
        assert text.count("#{:02x}{:02x}{:02x}".format(*color)) > 6
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_one_feature_has_a_histogram_with_curves(parse_page):
    rng = np.random.default_rng(1)
    mixture = Parameters.of("spherical", [0.5, 0.5], [[0.0], [5.0]], [1.0, 1.0])
    rows = rng.normal(np.repeat([[0.0], [5.0]], 500, axis=0))
    seen = mixture, profile([Rows(rows)], mixture, views_of(mixture))
    record = {"feature_names": ["brightness"], "classes": [{"label": 1}, {"label": 2}]}
    page = parse_page(drawn(record, [], None, fitted=seen))
    assert "A curve for each class" in page.words
    assert "brightness across" in page.words


def test_how_far_classes_are_from_gaussians_is_said_in_words_and_numbers(
    report_record, report_history, fitted, parse_page
):
    record = gaussian(fitted, report_record)
    page = parse_page(drawn(record, report_history, None, fitted=fitted))
    assert "2 of 3 are, within 5 %; they hold 90.0 % of the rows" in page.words
    assert re.search(r"Farthest off is class 3, by \d+.\d %: peaked, with long tails", page.words)
    assert sum("distances of class" in a.get("aria-label", "") for a in page.all("figure")) == 3
    gap = record["classes"][2]["gaussian"]["gap"]
    assert f"{100 * gap:.1f} %" in page.words
    record["classes"][2]["at_floor"] = True
    again = parse_page(drawn(record, report_history, None, fitted=fitted))
    assert "one value, repeated" in again.words


@pytest.mark.parametrize("gap", [0.01, 0.5])
def test_all_and_none_are_said_as_such(report_record, parse_page, gap):
    shape = {"gap": gap, "inside_half": 0.5, "outside_99": 0.01}
    for each in report_record["classes"]:
        each["gaussian"] = shape
    words = parse_page(drawn(report_record, [], None)).words
    assert ("Yes, within 5 %: all 3 are" in words) is (gap < 0.05)
    assert ("No: all 3 differ" in words) is (gap > 0.05)


def test_a_class_of_no_rows_is_left_out_of_it(report_record, fitted, parse_page):
    record = gaussian(fitted, report_record)
    record["classes"][1]["gaussian"] = None
    parse_page(drawn(record, [], None, fitted=fitted))


def _candidates(kinds):
    return [
        {"n_components": K, "covariance_type": kind, "bic": 100.0 - K, "aic": 90.0, "icl": 110.0,
         "heldout": None, "objection": None, "converged": True, "chosen": K == 3}
        for kind in kinds
        for K in (2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "charts"),
    [(["full"], ["AIC, BIC and ICL"]), (["full", "diag"], ["BIC", "AIC", "ICL"])],
)
def test_all_criteria_are_drawn(report_record, parse_page, kinds, charts):
    report_record["selection"] = {"criterion": "bic", "candidates": _candidates(kinds)}
    page = parse_page(drawn(report_record, [], None))
    said = [a["aria-label"] for a in page.all("figure") if "number of comp" in a["aria-label"]]
    assert [each.split(": ")[1].split(" against")[0] for each in said] == charts


def test_several_inputs_can_be_chosen_from(
    report_record, report_history, make_quicklook, parse_page
):
    attack = "<i>b</i>"
    report_record["inputs"] = [
        {**report_record["inputs"][0], "name": name, "rows": {}} for name in ("a", attack, "c")
    ]
    seen = make_quicklook(), make_quicklook()
    page = parse_page(drawn(report_record, report_history, *seen))
    assert len(page.all("option")) == 2
    assert "Picture of a." in page.words
    assert f"Picture of {attack}." in page.words
    assert "The first 2 of 3 inputs are shown." in page.words


def test_every_class_has_a_map_of_its_probability(
    report_record, report_history, make_quicklook, parse_page
):
    page = parse_page(drawn(report_record, report_history, make_quicklook()))
    maps = [a["alt"] for a in page.all("img") if "probability that" in a["alt"]]
    assert [re.findall(r"class (\d)", alt) for alt in maps] == [["1"], ["2"], ["3"]]
