"""What an input knows of its place: the size of a pixel, and a record that is plain JSON."""

from __future__ import annotations

import json
import math

import pytest

from dask_gmm.data.geometry import Axis, Geometry

METRES = (Axis("y", "space", "metre", -30.0), Axis("x", "space", "metre", 20.0))


@pytest.mark.parametrize(
    ("geometry", "pixel"),
    [
        (Geometry(METRES), (600.0, "metre^2")),
        # Turned by 45 degrees and stretched: the area of the parallelogram, not of its frame.
        (Geometry(METRES, transform=(3.0, 1.0, 0.0, 1.0, 3.0, 0.0)), (8.0, "metre^2")),
        (Geometry((*METRES, Axis("t", "time", "second", 5.0))), (600.0, "metre^2")),
        (Geometry((Axis("y", "space", "degree", 1.0), Axis("x", "space", "degree", 1.0))), None),
        (Geometry((Axis("y", "space"), Axis("x", "space"))), None),
        (Geometry((METRES[0], Axis("x", "space", "kilometre", 1.0))), None),
        (Geometry(METRES[:1]), None),
        (
            Geometry(
                tuple(Axis(name, "space", "millimetre") for name in "ijk"),
                affine=((0.0, 2.0, 0, 7), (0.5, 0, 0, 8), (0, 0, 4.0, 9), (0, 0, 0, 1.0)),
            ),
            (4.0, "millimetre^3"),
        ),
    ],
)
def test_the_size_of_a_pixel(geometry, pixel):
    assert geometry.pixel == (pixel if pixel is None else (pytest.approx(pixel[0]), pixel[1]))


def test_it_is_a_value_that_json_takes():
    geometry = Geometry(METRES, nodata=math.nan)
    assert hash(geometry) == hash(Geometry(METRES, nodata=geometry.nodata))
    said = json.loads(json.dumps(geometry.to_json(), allow_nan=False))
    assert said["nodata"] == "nan"
    assert said["pixel"] == {"size": 600.0, "unit": "metre^2"}


def test_a_place_that_holds_nan_is_a_value_that_json_takes():
    """A coordinate or an affine may hold one; the manifest is written after all the work."""
    affine = ((math.nan, 0.0, 0.0, 0.0), *((0.0, 1.0, 0.0, math.inf),) * 3)
    axes = (Axis("y", "space", "metre", 1.0, math.nan), Axis("x", "space", "metre", math.nan))
    said = json.loads(json.dumps(Geometry(axes, affine=affine).to_json(), allow_nan=False))
    assert said["axes"][0]["start"] == said["affine"][0][0] == said["pixel"]["size"] == "nan"
    assert said["affine"][1][3] == "inf"
