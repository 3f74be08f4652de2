"""Time what a shell waits for: whole processes of the command, start to end.

What a person at a shell waits for before anything happens: Python alone (``python -c pass``), which
nothing that runs on it can beat, the command's help, the help of a verb, the check of a
configuration and the plan of a run, which opens the data. Every process is a new one, with files in
the system's cache and modules compiled, as on every call but the first; medians of turns taken one
after the other. The bar is that help comes within 0.4 s.

About a minute. ``python -m benchmarks.bench_startup`` writes table, JSON and picture.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from math import inf
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from benchmarks.known import Known, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIG = """\
version: 1
name: startup
run_dir: run
source: {kind: zarr, path: data.zarr}
model: {n_components: 3}
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what is started, by the name that the page gives it."""
    config, ours = str(folder / "run.yaml"), [str(Path(sys.executable).parent / "dask-gmm")]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "dask-gmm --help": [*ours, "--help"],
        "dask-gmm run --help": [*ours, "run", "--help"],
        "dask-gmm validate": [*ours, "validate", config],
        "dask-gmm plan": [*ours, "plan", config],
    }


def measure(folder: Path, turns: int) -> dict[str, list[float]]:
    """Return the median, least and most seconds of every process."""
    write_zarr(folder / "data.zarr", Known(3, 3, 20_000, 10_000))
    (folder / "run.yaml").write_text(CONFIG, encoding="utf-8")
    times: dict[str, list[float]] = {}
    for turn in range(turns + 1):  # the first finds modules to compile, and files on the disk
        for name, command in commands(folder).items():
            took = seconds(lambda command=command: started(command, folder))
            if turn:
                times.setdefault(name, []).append(took)
    return {name: [median(each), min(each), max(each)] for name, each in times.items()}


def started(command: Sequence[str], folder: Path) -> None:
    """Run a process to its end."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(
            f"{' '.join(command)} ended with {done.returncode}: {done.stderr}"
        )


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    python = result["seconds"]["python -c pass"][0]
    lines = [
        *beginning("What a shell waits for", __doc__ or "", result),
        f"Medians of {result['turns']} turns, with their extremes.\n",
        "| process | s | beyond Python alone, s |\n|---|---:|---:|",
        *(
            f"| `{name}` | {middle:.2f} ({low:.2f}-{high:.2f}) | {middle - python:.2f} |"
            for name, (middle, low, high) in result["seconds"].items()
        ),
    ]
    return "\n".join(lines) + "\n\n![Seconds of whole processes](startup.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw the seconds of every process."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes, times = figure.subplots(), result["seconds"]
    middles = [middle for middle, *_ in times.values()]
    errors = [
        [m - low for m, low, _ in times.values()],
        [high - m for m, _, high in times.values()],
    ]
    axes.barh(list(times), middles, xerr=errors, color=["C7", *["C0"] * (len(times) - 1)])
    axes.invert_yaxis()
    axes.set(xlabel="seconds, whole process")
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=7, show_default=True, type=click.IntRange(min=1))
@click.option("--require-help", default=inf, help="Most seconds of dask-gmm --help.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(quick: bool, turns: int, require_help: float, output: Path | None) -> None:
    """Time whole processes of the command."""
    turns = 1 if quick else turns
    with tempfile.TemporaryDirectory() as place:
        times = measure(Path(place), turns)
    result = {"machine": described(), "quick": quick, "turns": turns, "seconds": times}
    deliver("startup", result, table(result), picture(result), output)
    required("seconds of dask-gmm --help", times["dask-gmm --help"][0], most=require_help)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_startup", arguments)


if __name__ == "__main__":
    sys.exit(main())
