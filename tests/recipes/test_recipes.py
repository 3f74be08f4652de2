"""Lists of features as they are written: read, written again, and refused where they are none."""

from __future__ import annotations

import json

import pytest

from dask_gmm.recipes import KINDS, UnfitError, recipes_of
from dask_gmm.recipes.stored import Kept, kept_of

LIST = [
    "red",
    0,
    {"ndvi": "(nir - red) / (nir + red)"},
    {"smooth": {"kind": "gaussian", "of": "nir", "scale": 1.5}},
    {"kind": "std", "of": "ndvi", "scale": [0.0, 2.0, 2.0]},
    {"colour": {"kind": "lab", "of": ["red", "green", 0], "white": 255.0}},
    {"rank": {"kind": "quantile", "of": 2, "to": "uniform"}},
    {"kind": "coordinates", "unit": "geometry"},
]


def test_a_list_is_written_as_it_was_read():
    recipes = recipes_of(LIST)
    again = [each.plain() for each in recipes]
    assert recipes_of(again) == recipes
    assert [each.name for each in recipes] == [None] * 2 + ["ndvi", "smooth", None, "colour"] + [
        "rank",
        None,
    ]
    assert again[:4] == LIST[:4]


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ([], (), "one or more"),
        ("red", (), "a list"),
        ([None], (0,), "a band's name or number"),
        ([True], (0,), "a band's name or number"),
        ([-1], (0,), "a band's name"),
        ([{"a": "red", "b": "nir"}], (0,), "one name an item"),
        ([{"a": "red"}, {"a": "nir"}], (1,), "another name"),
        ([{"a": "log(red)"}], (0, "a"), "at column 1 stands a call, log(...)"),
        ([{"a": None}], (0, "a"), "numbers, names of bands"),
        ([{"a": {"of": "red"}}], (0, "a"), "kind: one of gaussian"),
        ([{"a": {"kind": "gausian", "of": "red"}}], (0, "a", "kind"), "did you mean gaussian?"),
        ([{"kind": "std", "of": "red", "size": 3}], (0, "size"), "kind, of, scale, as kind is std"),
        ([{"kind": "std", "of": "red", "scal": 3}], (0, "scal"), "did you mean scale?"),
        ([{"kind": "std", "of": "red"}], (0,), "scale is missing"),
        ([{"kind": "log", "of": "a", "scale": 2}], (0, "scale"), "the keys kind, of, as kind is"),
        ([{"kind": "std", "of": "red", "scale": 1.5}], (0, "scale"), "whole number"),
        ([{"kind": "gaussian", "of": "a", "scale": 0}], (0, "scale"), "> 0"),
        ([{"kind": "gaussian", "of": "a", "scale": [0, 0]}], (0, "scale"), "> 0"),
        ([{"kind": "gaussian", "of": "a", "scale": -1}], (0, "scale"), "> 0"),
        ([{"kind": "gaussian", "of": "a", "scale": "2"}], (0, "scale"), "> 0"),
        ([{"kind": "lab", "of": "red"}], (0, "of"), "a list of 3 bands"),
        ([{"kind": "lab", "of": ["a", "b", "c()"]}], (0, "of", 2), "a call, c(...)"),
        ([{"kind": "lab", "of": ["a", "b", "c"], "white": 0}], (0, "white"), "> 0"),
        ([{"kind": "quantile", "of": "a", "to": "gauss"}], (0, "to"), "one of normal, uniform"),
    ],
)
def test_what_is_no_recipe_is_refused_where_it_stands(value, path, words):
    with pytest.raises(UnfitError) as caught:
        recipes_of(value)
    assert caught.value.path == path
    assert words in caught.value.allowed


def test_every_kind_says_what_it_is_and_what_it_needs():
    for name, kind in KINDS.items():
        assert kind.sentence, name
        assert kind.keys[0] == kind.required[0] == "kind"


def test_a_model_keeps_recipes_with_their_knots():
    from dataclasses import replace

    recipes = list(recipes_of(LIST))
    recipes[6] = replace(recipes[6], knots=((0.0, 1.5, 7.0), (0.1, 0.5, 0.9)))
    kept = Kept(tuple(recipes), ("red", "green", "nir"))
    again = kept_of(json.loads(json.dumps(kept.to_json())))
    assert again == kept
    assert kept.by_number


@pytest.mark.parametrize(
    "spoil",
    [
        lambda k: k.pop("bands"),
        lambda k: k["recipes"].append({"a": "log(red)"}),
        lambda k: k["knots"].pop(),
        lambda k: k["knots"].__setitem__(6, None),
        lambda k: k["knots"].__setitem__(6, [[1, 0], [0, 1]]),
        lambda k: k["knots"].__setitem__(6, [["x"], [0]]),
        lambda k: k["knots"].__setitem__(6, [[float("nan")], [0.0]]),
    ],
)
def test_a_spoilt_model_s_features_are_refused(spoil):
    plain = {"bands": ["red"], "recipes": list(LIST), "knots": [None] * len(LIST)}
    plain["knots"][6] = [[0, 1], [0.0, 1.0]]
    kept_of(plain)
    spoil(plain)
    with pytest.raises(ValueError):
        kept_of(plain)
