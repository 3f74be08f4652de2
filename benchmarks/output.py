"""Where measurements go: a table, its numbers as JSON, and a picture, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
