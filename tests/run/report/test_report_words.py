"""Numbers, sizes, durations and links as the report writes them."""

from __future__ import annotations

import pytest

from dask_gmm.run.report import words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.count(14580000), "14,580,000"),
        (words.count(None), "not recorded"),
        (words.number(-9.539694, 7), "−9.539694"),
        (words.number(0.00001234), "1.234e−05"),
        (words.number(float("nan")), "NaN"),
        (words.percent(0.3448), "34.5 %"),
        (words.percent(0.00002), "< 0.01 %"),
        (words.percent(0), "0.00 %"),
        (words.size(512), "512 bytes"),
        (words.size(2**45), "32.0 TiB"),
        (words.size("2GiB"), "2GiB"),
        (words.duration(0.4213), "0.42 s"),
        (words.duration(59.97), "1 min 00 s"),
        (words.duration(7510), "2 h 05 min"),
        (words.moment("2026-11-23T02:44:05.5+01:00"), "2026-11-23 02:44:05+01:00"),
        (words.numbers([0.0833333, 1]), "0.08333, 1.000"),
        (words.extent(40_000, (900.0, "metre^2")), "36.00 km²"),
        (words.extent(40, (900.0, "metre^2")), "36,000 m²"),
        (words.extent(1_234_000, (1.0, "millimetre^3")), "1,234 ml"),
        (words.extent(12, (1.0, "millimetre^3")), "12.00 mm³"),
        (words.extent(3, (0.25, "parsec^2")), "0.7500 parsec²"),
        (words.extent(None, (1.0, "metre^2")), "not recorded"),
        (words.likeness(0.01), "Gaussian, as far as this shows"),
        (words.likeness(0.5), "far from Gaussian"),
        (words.likeness(None), "not recorded"),
        (
            words.form_of({"gap": 0.2, "inside_half": 0.7, "outside_99": 0.05}),
            "peaked, with long tails",
        ),
        (
            words.form_of({"gap": 0.2, "inside_half": 0.3, "outside_99": 0.0}),
            "flat in the middle, with short tails",
        ),
        (words.form_of({"gap": 0.03, "inside_half": 0.7, "outside_99": 0.05}), ""),
        (words.form_of(None), ""),
    ],
)
def test_numbers_read_as_a_person_writes_them(said, expected):
    assert said == expected


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("labels.zarr", "./labels.zarr"),
        ("maps/a b.zarr", "./maps/a%20b.zarr"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("a#b?c.zarr", "./a%23b%3Fc.zarr"),
        ("/etc/passwd", None),
        ("//host/x", None),
        ("..\\secret", None),
        ("a/../../secret", None),
        ("", None),
        (None, None),
    ],
)
def test_only_paths_below_the_report_are_linked(path, link):
    assert words.relative_link(path) == link


def test_a_pixel_has_a_size_where_all_inputs_have_the_same():
    def inputs(*sizes):
        pixels = [None if size is None else {"size": size, "unit": "metre^2"} for size in sizes]
        return {"inputs": [{"geometry": {"pixel": pixel}} for pixel in pixels]}

    assert words.pixel_of(inputs(900.0)) == (900.0, "metre^2")
    assert words.pixel_of(inputs(900.0, 900.0)) == (900.0, "metre^2")
    assert words.pixel_of(inputs(900.0, 100.0)) is None
    assert words.pixel_of(inputs(900.0, None)) is None
    assert words.pixel_of({}) is None
