"""Arithmetic over names: what is read, and in which words the rest is refused."""

from __future__ import annotations

import pytest

from dask_gmm.recipes.expressions import (
    DEEPEST,
    LONGEST,
    Name,
    NotArithmeticError,
    Number,
    Operation,
    parse,
)


def test_an_index_is_a_tree_of_names_and_signs():
    nir, red = Name("nir"), Name("red")
    expected = Operation("/", (Operation("-", (nir, red)), Operation("+", (nir, red))))
    assert parse("(nir - red) /\n (nir + red)").tree == expected
    assert parse("(nir - red) / (nir + red)").names == ("nir", "red")


def test_powers_bind_as_in_python_and_quotes_hold_any_name():
    assert parse("-a ** 2").tree == Operation("-", (Operation("**", (Name("a"), Number(2.0))),))
    assert parse("'near infrared' * 1e-4").names == ("near infrared",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("(nir - red", "the bracket at column 1 has no other one"),
        ("nir - red)", "the bracket at column 10 has no other one"),
        ("nir -", "at its end something is missing"),
        ("near infrared", "at column 6 stands 'infrared'"),
        ("1 + log(nir)", "at column 5 stands a call, log(...); a logarithm is {kind: log"),
        ("sqrt(nir)", "a root is ** 0.5"),
        ("nir.real", "at column 1 stands an attribute, .real"),
        ("größe + nir.real", "at column 9 stands an attribute, .real"),
        ("nir[0]", "an index"),
        ("nir > red", "a comparison"),
        ("nir and red", "and / or"),
        ("nir if red else 0", "a condition"),
        ("lambda: 0", "a function"),
        ("nir, red", "a comma"),
        ("nir % 2", "stands %"),
        ("nir ^ 2", "a power is **"),
        ("nir + True", "at column 7"),
        ("nir + 2j", "at column 7"),
        ("(nir := 2)", "an assignment"),
        ("[n for n in nir]", "something else"),
        ("f'{nir}'", "something else"),
        ("9" * 400 + " * nir", "the number is too large"),
        ("-" * (DEEPEST + 2) + "nir", "nested more than"),
        ("(" * 300 + "nir" + ")" * 300, ""),
        ("nir +" * LONGEST + "nir", "characters"),
        ("nir\0", ""),
        ("import os", ""),
        ("__import__('os').system('true')", "a call"),
    ],
)
def test_what_is_no_arithmetic_is_refused_with_its_column(text, words):
    with pytest.raises(NotArithmeticError) as caught:
        parse(text)
    assert words in str(caught.value)
