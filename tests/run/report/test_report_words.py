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
