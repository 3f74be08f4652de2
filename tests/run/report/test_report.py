"""The report page: everything recorded is on it, in words, numbers and pictures."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from dask_gmm.palette import MASKED_COLOR, class_colors
from dask_gmm.run.quicklook import Quicklook
from tests.run.report.drawn import drawn


def _image(page, alt_begins):
    (attributes,) = [a for a in page.all("img") if a["alt"].startswith(alt_begins)]
    kind, code = attributes["src"].split(",", 1)
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    image = Image.open(io.BytesIO(base64.b64decode(code)))
    assert (str(image.width), str(image.height)) == (attributes["width"], attributes["height"])
    return np.asarray(image.convert("RGB")).astype(int)


def test_the_page_says_what_was_recorded(report_record, report_history, make_quicklook, parse_page):
    page = parse_page(drawn(report_record, report_history, make_quicklook()))
    for said in (
        "4,800 rows of 3 features in 3 classes, by a Gaussian mixture with full covariance",
        "✓ Converged",
        "below 0.05 nats per free parameter",
        "Time 3 min 13 s 2 workers",
        "80 masked",
        "60.0 %",
        "2,832",
        "252.6 ± 1.00",
        "/data/coast.zarr",
        "60 × 80 × 3, uint8",
        "30 × 40 × 3, 4 of them",
        "22.4 MiB",
        "41.7 MiB",
        "3b5d5c37",
        "1 survey, 8 EM, 1 prediction",
        "1.25 nats in all, predicted",
        "−9.539695 nats per row",
        "90,112.50",
        "90,299.25",
        "90,400.75",
        "local, 2 workers, 2.0 GiB each",
        "a processor, avx2",
        "OpenBLAS 0.3.31",
        "3 min 12 s",
        "2026-11-23 02:44:05 UTC",
        '"n_components": 3',
        "max_iter",
    ):
        assert said in page.words, said
    links = {a["href"] for a in page.all("a")}
    assert {"./labels.zarr", "./model.json", "./manifest.json"} <= links
    assert "not recorded" not in page.words
    assert "Read this first" not in page.words


def test_the_same_run_gives_the_same_page(report_record, report_history, make_quicklook):
    quicklook = make_quicklook()
    assert drawn(report_record, report_history, quicklook) == drawn(
        report_record, report_history, quicklook
    )


def test_the_page_is_accessible_and_stands_alone(
    report_record, report_history, make_quicklook, parse_page
):
    text = drawn({**report_record, "warnings": ["Beware."]}, report_history, make_quicklook())
    page = parse_page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert all(a.get("alt") for a in page.all("img"))
    assert len(page.all("img")) == 6
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert all(a.get("aria-label") for a in page.all("figure") if a.get("role") == "img")
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = {i for _, a in page.elements for i in a.get("aria-labelledby", "").split()}
    assert named <= set(ids)
    for _, attributes in page.elements:
        for key in ("src", "href", "xlink:href"):
            assert re.match(r"(data:|#|\./|$)", attributes.get(key, ""))
    assert "url(http" not in text
    assert "@import" not in text
    assert len(text) < 3_000_000


def test_warnings_stand_before_everything_else(
    report_record, report_history, make_quicklook, parse_page
):
    page = parse_page(
        drawn({**report_record, "warnings": ["Class 2 is thin."]}, report_history, make_quicklook())
    )
    assert page.words.index("Class 2 is thin.") < page.words.index("The picture and its classes")


def test_a_class_at_its_floor_and_a_run_not_converged_are_named_in_words(
    report_record, report_history, parse_page
):
    record = report_record
    record["classes"][1]["at_floor"] = True
    record["fit"]["converged"] = False
    words = parse_page(drawn(record, report_history, None)).words
    assert "at its variance floor" in words
    assert "Stopped before convergence" in words
    assert "✓ Converged" not in words


def test_labels_are_painted_in_their_class_colors_and_the_legend_agrees(
    report_record, report_history, make_quicklook, parse_page
):
    quicklook = make_quicklook()
    text = drawn(report_record, report_history, quicklook)
    painted = _image(parse_page(text), "The same picture painted")
    table = np.array([MASKED_COLOR, *class_colors(3)])
    np.testing.assert_array_equal(painted, table[quicklook.labels])
    for color, label in zip(class_colors(3), (1, 2, 3), strict=True):
        css = "#{:02x}{:02x}{:02x}".format(*color)
        assert re.search(rf"background:{css}[^>]*></span><span>Class {label}<", text)
    assert "<span>Masked</span>" in text


def test_eight_bit_colors_are_shown_as_they_are(
    report_record, report_history, make_quicklook, parse_page
):
    quicklook = make_quicklook()
    flat = np.broadcast_to(np.float32([200, 100, 50]), quicklook.picture.shape)
    quicklook = Quicklook(flat, quicklook.labels, None, 1)
    text = drawn(report_record, report_history, quicklook)
    shown = _image(parse_page(text), "The picture that was segmented")
    assert np.abs(shown - [200, 100, 50]).max() <= 4  # JPEG
    assert "red, green, blue as red, green, blue" in text
    assert "background:#020514" in text  # mean colour of class 1
    assert "#fafbfd" in text


@pytest.mark.parametrize(
    ("n_features", "said"),
    [
        (1, "f1 in grey stretched between its 2nd and 98th percentile"),
        (2, "f1 in orange, f2 in blue, each stretched"),
        (3, "f1, f2, f3 as red, green, blue, each stretched"),
    ],
)
def test_other_values_are_stretched_and_the_caption_says_so(
    report_record, make_quicklook, n_features, said, parse_page
):
    record = report_record
    record["inputs"][0]["dtype"] = "float32"
    record["feature_names"] = [f"f{i + 1}" for i in range(5)]
    quicklook = make_quicklook(n_features)
    values = quicklook.picture * 1e-3 - 4  # all below zero
    values[quicklook.labels == 0] = np.nan
    page = parse_page(drawn(record, [], Quicklook(values, quicklook.labels, None, 2)))
    assert said in page.words
    assert "one pixel in 2 along each axis" in page.words
    assert "Mean colour" not in page.words
    shown = _image(page, "The picture that was segmented")
    assert shown.min() < 30
    assert shown.max() > 225


def test_uncertainty_is_drawn_on_a_fixed_scale_with_masked_pixels_apart(
    report_record, report_history, make_quicklook, parse_page
):
    quicklook = make_quicklook()
    doubt = np.where(quicklook.labels == 0, np.nan, np.where(quicklook.labels == 1, 0, 1))
    quicklook = Quicklook(quicklook.picture, quicklook.labels, doubt.astype(np.float32), 1)
    page = parse_page(drawn(report_record, report_history, quicklook))
    shown = _image(page, "Map of the uncertainty")
    np.testing.assert_array_equal(np.unique(shown[quicklook.labels == 0], axis=0), [MASKED_COLOR])
    certain = np.unique(shown[quicklook.labels == 1], axis=0)
    doubtful = np.unique(shown[quicklook.labels == 2], axis=0)
    assert len(certain) == len(doubtful) == 1
    assert doubtful.sum() > certain.sum() + 200


@pytest.mark.parametrize("n_classes", [1, 12, 255, 300])
def test_any_number_of_classes_has_its_colors(n_classes, parse_page):
    labels = (np.arange(40 * 40).reshape(40, 40) % (n_classes + 1)).astype(np.uint16)
    quicklook = Quicklook(np.zeros((40, 40, 1), np.float32), labels, None, 1)
    record = {"classes": [{"label": k, "weight": 1 / n_classes} for k in range(1, n_classes + 1)]}
    painted = _image(parse_page(drawn(record, [], quicklook)), "The same picture painted")
    np.testing.assert_array_equal(
        painted, np.array([MASKED_COLOR, *class_colors(n_classes)])[labels]
    )


def test_a_table_has_no_pictures_and_wide_means_stand_features_downwards(
    report_record, report_history, parse_page
):
    record = report_record
    record["feature_names"] = None
    record["model"]["n_features"] = 9
    for entry in record["classes"]:
        entry["mean"], entry["std"] = [0.5] * 9, [0.25] * 9
    page = parse_page(drawn(record, report_history, None))
    assert not page.all("img")
    assert "feature 9 0.5000 ± 0.250" in page.words
    assert "The picture" not in page.words
