"""Has anything become slower? Our time over that of NumPy primitives, against what was recorded.

Each thing watched is timed in turns with NumPy primitives that do comparable work on as much data
(matrix products of the same shapes and as many exponentials, say), in one process, with one BLAS
thread: a ratio of ours over theirs, from the fastest turns, in seconds of processor, which a busy
machine does not lengthen as it does those of the wall. A slow machine makes both slower, so that
the ratio can be held against a recorded one, in seconds, within the tests. What takes half as long
again must be found: the bar is 1.35 times the recorded ratio, which leaves the rest to noise.

Why minima: what else runs on a machine only ever adds time. The fastest of several turns has least
of it; a loss is in every turn. What is above its bar is measured up to three times more, and the
smallest counts: a loss stays, noise goes. Other processors have other ratios: on one that nothing
was recorded on (by its name, and the kernels that its BLAS takes), the bar is twice the largest
ratio of any recorded one. Waiting takes no processor: that is for ``bench_pass_cost`` and
``bench_chunks`` to see.

``python -m benchmarks.guard`` measures and judges; ``--record`` writes what was measured as what is
to be expected on processors of this kind from now on, into ``results/guard.json``, with a page.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
from threadpoolctl import threadpool_limits

from benchmarks.guarded.pair import Pair, Work
from benchmarks.guarded.ratios import pairs
from benchmarks.machine import described
from benchmarks.output import RESULTS, beginning, deliver, exit_code

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Times the recorded ratio that is allowed: on a recorded kind of processor, and on another one.
ALLOWED, ALLOWED_ELSEWHERE = 1.35, 2.0
#: Turns of which the fastest counts, and how many such minima the median is taken of.
TURNS, MINIMA = 5, 3
#: How often what is above its bar is measured again, and how often what is recorded is measured.
AGAIN, RECORDED = 3, 5


def ratio(pair: Pair) -> float:
    """Return our time over the primitives': a median of ratios of minima, taken turn by turn."""
    pair.ours(), pair.primitives()  # the first calls compile, and pay for buffers

    def taken(work: Work) -> float:
        before = pair.clock()
        work()
        return pair.clock() - before

    found = []
    for _ in range(MINIMA):
        times = [(taken(pair.ours), taken(pair.primitives)) for _ in range(TURNS)]
        ours, primitives = (min(each) for each in zip(*times, strict=True))
        found.append(ours / primitives)
    return median(found)


@dataclass(frozen=True)
class Verdict:
    """One thing watched.

    Attributes
    ----------
    name : str
    measured : float
        The smallest ratio that was measured.
    most : float
        The bar: the recorded ratio times what is a loss; infinite where nothing was recorded.
    """

    name: str
    measured: float
    most: float

    @property
    def lost(self) -> bool:
        """Whether it has become slower."""
        return not self.measured <= self.most

    def __str__(self) -> str:
        mark = "SLOWER" if self.lost else "ok"
        return f"{mark:>6}  {self.name}: {self.measured:.2f} of at most {self.most:.2f}"


def judged(pair: Pair, most: float, measure: Callable[[Pair], float] = ratio) -> Verdict:
    """Measure one thing, and again while it is above its bar."""
    smallest = measure(pair)
    for _ in range(AGAIN):
        if smallest <= most:
            break
        smallest = min(smallest, measure(pair))
    return Verdict(pair.name, smallest, most)


def kind_of(machine: dict[str, Any]) -> str:
    """Return what ratios depend on: the processor's name, and the kernels that BLAS has for it."""
    kernels = sorted(set(re.findall(r"\((\w+)\)", machine["blas"])))
    return f"{machine['cpu']} ({', '.join(kernels)})"


def bars(recorded: dict[str, Any], kind: str) -> dict[str, float]:
    """Return the most that every ratio may be on a kind of processor."""
    kinds = recorded["kinds"]
    if kind in kinds:
        return {name: ALLOWED * each[0] for name, each in kinds[kind]["ratios"].items()}
    largest: dict[str, float] = {}
    for each in kinds.values():
        for name, (middle, *_) in each["ratios"].items():
            largest[name] = max(middle, largest.get(name, 0.0))
    return {name: ALLOWED_ELSEWHERE * each for name, each in largest.items()}


def recorded_ratios(directory: Path = RESULTS) -> dict[str, Any]:
    """Return what has been recorded so far."""
    file = directory / "guard.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"kinds": {}}


def verdicts(directory: Path = RESULTS) -> list[Verdict]:
    """Measure everything, and judge it."""
    allowed = bars(recorded_ratios(directory), kind_of(described()))
    with tempfile.TemporaryDirectory() as place, threadpool_limits(1):
        return [judged(pair, allowed.get(pair.name, float("inf"))) for pair in pairs(Path(place))]


def recording(directory: Path) -> dict[str, Any]:
    """Measure everything several times; return all that was recorded, with this machine's part."""
    with tempfile.TemporaryDirectory() as place, threadpool_limits(1):
        every = list(pairs(Path(place)))
        # One round after the other, so that what happened to run beside one of them does not count.
        rounds = [{pair.name: ratio(pair) for pair in every} for _ in range(RECORDED)]
    machine = described()
    measured = {name: [each[name] for each in rounds] for name in rounds[0]}
    ratios = {name: [median(each), min(each), max(each)] for name, each in measured.items()}
    mine = {"date": machine["date"], "ratios": ratios}
    kinds = {**recorded_ratios(directory)["kinds"], kind_of(machine): mine}
    return {"machine": machine, "quick": False, "kinds": kinds}


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    kinds = result["kinds"]
    names = list(dict.fromkeys(name for each in kinds.values() for name in each["ratios"]))
    lines = [
        *beginning("Has anything become slower: ratios to NumPy primitives", __doc__ or "", result),
        f"Medians of {RECORDED} recordings, with extremes. Allowed: {ALLOWED:g} times that, on "
        f"other processors {ALLOWED_ELSEWHERE:g} times the largest of a row.\n",
        "| watched | " + " | ".join(f"{kind}, {kinds[kind]['date']}" for kind in kinds) + " |",
        "|---|" + "---:|" * len(kinds),
        *(
            f"| {name} | " + " | ".join(_shown(e, name) for e in kinds.values()) + " |"
            for name in names
        ),
    ]
    return "\n".join(lines) + "\n\n![Ratios to NumPy primitives](guard.png)\n"


def _shown(kind: dict[str, Any], name: str) -> str:
    if name not in kind["ratios"]:
        return ""
    middle, low, high = kind["ratios"][name]
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def picture(result: dict[str, Any]) -> Figure:
    """Draw the ratios of all kinds, with the bar of a loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    for kind, each in result["kinds"].items():
        names, ratios = list(each["ratios"]), [middle for middle, *_ in each["ratios"].values()]
        (points,) = axes.plot(ratios, names, "o", label=kind)
        bar = [ALLOWED * ratio for ratio in ratios]
        axes.plot(bar, names, "|", ms=12, color=points.get_color(), label="allowed")
    axes.axvline(1.0, color="0.7", lw=1)
    axes.set(xscale="log", xlabel="our time over that of NumPy primitives")
    axes.invert_yaxis()
    axes.legend(frameon=False)
    return figure


@click.command()
@click.option("--record", is_flag=True, help="Write what was measured as what is to be expected.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(record: bool, output: Path | None) -> None:
    """Hold our time over that of NumPy primitives against what was recorded; a minute at most."""
    directory = output or RESULTS
    if record:
        result = recording(directory)
        deliver("guard", result, table(result), picture(result), directory)
        return
    found = verdicts(directory)
    for each in found:
        click.echo(str(each))
    if lost := [each.name for each in found if each.lost]:
        raise click.ClickException(
            f"slower than recorded, however often measured: {'; '.join(lost)}. Find what made it "
            "so, or, where that is meant, record anew: python -m benchmarks.guard --record"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "guard", arguments)


if __name__ == "__main__":
    sys.exit(main())
