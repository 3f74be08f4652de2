"""Bars beside what was measured: one table, the missed ones first.

What has not been measured on this tree is said to be so, and is no error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.output import RESULTS

#: A result file's contents.
Result: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes
    ----------
    what : str
        What is measured, and its unit.
    result : str
        The name of its result file.
    value : callable
        From the file's contents to the value; None where the file holds another size.
    least, most : float
        What is required.
    bounded_by : str
        What bounds it: shown where it is missed.
    """

    what: str
    result: str
    value: Callable[[Result], float | None]
    least: float = -inf
    most: float = inf
    bounded_by: str = ""

    @property
    def required(self) -> str:
        """The bar in words."""
        return f"at least {self.least:g}" if self.least > -inf else f"at most {self.most:g}"


@dataclass(frozen=True)
class Held:
    """A bar beside its measurement.

    Attributes
    ----------
    bar : Bar
    measured : float or None
        None where there is no result.
    when, where : str
        Date and processor of the measurement.
    """

    bar: Bar
    measured: float | None = None
    when: str = ""
    where: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.bar.least <= self.measured <= self.bar.most

    @property
    def words(self) -> str:
        """The verdict."""
        return {None: "not measured", True: "met", False: "**missed**"}[self.met]


def held(bars: Sequence[Bar], results: Path = RESULTS) -> list[Held]:
    """Return every bar with its measurement: the missed first, then what was not measured."""
    found = [_held(bar, results / f"{bar.result}.json") for bar in bars]
    return sorted(found, key=lambda each: [False, None, True].index(each.met))


def _held(bar: Bar, file: Path) -> Held:
    if not file.exists():
        return Held(bar)
    result = json.loads(file.read_text(encoding="utf-8"))
    value, machine = bar.value(result), result["machine"]
    if value is None:
        return Held(bar)
    where = f"{machine['cpu']}, {machine['cores']} cores"
    return Held(bar, float(value), machine["date"], where)


def page(bars: Sequence[Bar], results: Path = RESULTS) -> str:
    """Return the section of all bars."""
    found = held(bars, results)
    counts = [sum(each.met is met for each in found) for met in (True, False, None)]
    lines = [
        "## Every bar\n",
        f"{counts[0]} met, {counts[1]} missed, {counts[2]} not measured. Each is the worst of the "
        "cases that it names; tables, methods and machines stand below.\n",
        "| bar | required | measured | | date | machine | what bounds it |",
        "|---|---|---:|---|---|---|---|",
        *(
            f"| {each.bar.what} | {each.bar.required} | {_shown(each.measured)} | {each.words} "
            f"| {each.when} | {each.where} | {each.bar.bounded_by if each.met is False else ''} |"
            for each in found
        ),
    ]
    return "\n".join(lines) + "\n"


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
