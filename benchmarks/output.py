"""Where measurements go: a table, its numbers as JSON, and a picture, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.machine import sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def write_results(
    directory: Path, name: str, result: dict[str, Any], text: str, figure: Figure
) -> None:
    """Write NAME.md, NAME.json and NAME.png into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(_rounded(result), indent=1, allow_nan=False)
    (directory / f"{name}.json").write_text(numbers + "\n", encoding="utf-8")
    (directory / f"{name}.md").write_text(text, encoding="utf-8")
    # Without metadata, so that the same numbers give the same file.
    figure.savefig(directory / f"{name}.png", dpi=110, metadata={"Software": None})


def deliver(
    name: str, result: dict[str, Any], text: str, figure: Figure, output: Path | None
) -> None:
    """Write a result, or print the page of a toy run that nobody asked a place for.

    Parameters
    ----------
    name : str
        Of the files.
    result : mapping
        Its ``quick`` tells a toy run.
    output : path, optional
        A directory; by default that of the results.
    """
    if output is None and result["quick"]:
        click.echo(text)
    else:
        write_results(output or RESULTS, name, result, text, figure)


def beginning(title: str, script: str, result: dict[str, Any]) -> list[str]:
    """Return how a page begins: title, the script's own words, and the machine."""
    toy = ["This is a toy run: it shows that the script works.\n"] if result["quick"] else []
    words = script.split("\n\n")[1].replace("\n", " ")
    return [f"## {title}\n", words + "\n", *toy, sentence(result["machine"]) + "\n"]


def required(what: str, measured: float, *, least: float = -inf, most: float = inf) -> None:
    """End with an error where something measured misses its bar, or is not a number."""
    if not least <= measured <= most:
        bar = f"at least {least:g}" if least > -inf else f"at most {most:g}"
        raise click.ClickException(f"below its bar: {what}: {measured:.3g}, required is {bar}")


def exit_code(command: click.Command, name: str, arguments: Sequence[str] | None) -> int:
    """Carry out a benchmark's command and return its exit code."""
    try:
        command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0


def _rounded(value: Any) -> Any:
    """Return the same JSON values with five digits: more of them would be noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
