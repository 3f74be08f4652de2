"""The page of promises names real tests, and says rightly when each of them runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/PROMISES.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and "::" in line
]


def decorators(path, name):
    """Return the decorators of a test as they are written; None where there is no such test."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [ast.unparse(each) for each in node.decorator_list]
    return None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_promise_is_shown_by_a_test_that_exists(row):
    *_, named, when = row
    path, name = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", named).groups()
    found = decorators(path, name)
    assert found is not None, f"{PAGE.name} names {named}, which is not there"
    assert when == ("chaos" if "pytest.mark.chaos" in found else "always")


def test_every_test_of_faults_is_a_promise():
    """Whoever adds a fault says on the page what is promised of it."""
    named = {row[-2].strip("`") for row in ROWS}
    here = {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}"
        for path in (ROOT / "tests/faults").glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert len(here) > 20
    assert here <= named, here - named


def test_the_inputs_of_a_run_of_the_tests_are_those_that_are_counted():
    border = [row for row in ROWS if "test_border" in row[-2] and row[1] != "1"]
    counted = {row[-2].strip("`"): row[1] for row in border}
    in_process = 0
    for named, n in counted.items():
        path, name = named.split("::")
        text = " ".join(decorators(path, name))
        assert f"many({n})" in text or f"range({n})" in text, named
        in_process += int(n) if "many(" in text else 0
    assert in_process > 2000
