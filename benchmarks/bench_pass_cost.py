"""A pass over stored data: does it cost more than reading plus arithmetic? About 7 minutes.

A pass of EM by two local workers, beside the same leaves read and decoded only, and beside the same
arithmetic on blocks that are in memory already, turn by turn. With every core busy a pass can cost
their sum and should not cost more (the bar is 1.15 times); from a slow store, where every chunk
arrives late by what its arithmetic takes, reading ahead hides the smaller of the two, and the bar
is 1.15 times the larger. Reading only then means one chunk at a time per worker. Times are medians.
``python -m benchmarks.bench_pass_cost`` writes table, JSON and picture.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.known import Known, write_parquet, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from benchmarks.sources import Alone, Remembered, Slow, read_only
from dask_gmm.data.sources import Source, open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: (D, K) and rows: passes of some seconds.
SIZES = {(3, 3): 60_000_000, (6, 16): 24_000_000, (16, 16): 7_000_000}
QUICK_SIZES = {(6, 16): 40_000}
STORES = ("blosc-lz4", "zstd", "parquet")
CHUNK_BYTES = 6 << 20


def stored(path: Path, store: str, known: Known) -> Source:
    """Write the rows in one way, and open them."""
    if store == "parquet":
        write_parquet(path, known)
        return open_source("parquet", str(path))
    write_zarr(path, known, store)
    return open_source("zarr", str(path))


def measure(source: Source, known: Known, turns: int, scheduler: Any) -> dict[str, Any]:
    """Time passes, readings and arithmetic alone, from the store as it is and from a slow one."""
    rows = [known.length(cell) for cell in range(known.n_blocks)]
    leaves = cut_leaves(np.asarray(rows) * known.D * 4)
    sample = known.block(0)
    frame = Frame.of_sample(sample, unit=sample.std(axis=0).astype(float), isotropic=False)
    parameters = Parameters.of("full", *known.parameters())
    step = (e_step, parameters.inside(frame), frame)

    def timer(of: Source, *what: Any) -> Any:
        passes = Passes.over_source(of, leaves, scheduler)
        return partial(passes.run, "bench", *what)

    kinds = {
        "whole": timer(source, *step),
        "read": timer(source, read_only),
        "compute": timer(Remembered(source), *step),
    }
    fast = _in_turns(kinds, turns)
    # One worker reads half of the chunks: late by what each one's arithmetic takes.
    delay = 2 * fast["compute"] / len(rows)
    late = Slow(source, delay)
    kinds |= {"whole": timer(late, *step), "read": timer(Alone(late), read_only)}
    slow = _in_turns(kinds, turns)
    return {
        "fast": fast,
        "slow": slow,
        "delay_ms": 1e3 * delay,
        "of_sum": fast["whole"] / (fast["read"] + fast["compute"]),
        "of_larger": slow["whole"] / max(slow["read"], slow["compute"]),
    }


def _in_turns(kinds: dict[str, Any], turns: int) -> dict[str, float]:
    for warm_up in kinds.values():
        warm_up()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(turns):
        for name in list(kinds)[:: 1 if turn % 2 else -1]:
            times[name].append(seconds(kinds[name]))
    return {name: median(each) for name, each in times.items()}


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    head = (
        "| stored as | D, K | rows | read, s | compute, s | pass, s | of the sum "
        "| slow store: pass, s | of the larger |\n|---|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    lines = [
        *beginning("A pass against reading plus arithmetic", __doc__ or "", result),
        head,
        *(
            f"| {each['store']} | {each['D']}, {each['K']} | {each['rows']:,} "
            f"| {each['fast']['read']:.2f} | {each['fast']['compute']:.2f} "
            f"| {each['fast']['whole']:.2f} | {each['of_sum']:.2f} "
            f"| {each['slow']['whole']:.2f} | {each['of_larger']:.2f} |"
            for each in result["cases"]
        ),
    ]
    return "\n".join(lines) + "\n\n![A pass beside its parts](pass_cost.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw what a pass takes beside the sum of its parts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes, cases = figure.subplots(), result["cases"]
    at = np.arange(len(cases))
    read, compute, whole = (
        np.array([each["fast"][name] for each in cases]) for name in ("read", "compute", "whole")
    )
    axes.bar(at - 0.2, compute, 0.38, label="arithmetic only")
    axes.bar(at - 0.2, read, 0.38, bottom=compute, label="reading only")
    axes.bar(at + 0.2, whole, 0.38, label="pass")
    names = [f"{each['store']}\n{each['D']}, {each['K']}" for each in cases]
    axes.set_xticks(at, names, fontsize="small")
    axes.set(ylabel="seconds, two workers")
    axes.legend()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--only", multiple=True, type=click.Choice(STORES), help="This store. Repeatable.")
@click.option("--require-sum", default=np.inf, help="Most times the sum that a pass may cost.")
@click.option("--require-larger", default=np.inf, help="The same, of the larger: slow store.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    turns: int,
    only: Sequence[str],
    require_sum: float,
    require_larger: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Compare a pass with the sum, and from a slow store with the larger, of its parts."""
    cases = []
    sizes = QUICK_SIZES if quick else SIZES
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        local_workers(2, 1, None) as workers,
    ):
        for ((D, K), rows), store in product(sizes.items(), only or STORES):
            known = Known(D, K, rows, rows // 8 if quick else CHUNK_BYTES // (4 * D))
            source = stored(Path(place) / f"{store}-{D}", store, known)
            found = measure(source, known, turns, workers.scheduler)
            cases.append({"store": store, "D": D, "K": K, "rows": rows, **found})
            click.echo(_line(cases[-1]), err=True)
    result = {"machine": described(), "quick": quick, "turns": turns, "cases": cases}
    deliver("pass_cost", result, table(result), picture(result), output)
    for each in cases:
        name = f"{each['store']} {each['D']},{each['K']}"
        required(f"{name}, of the sum", each["of_sum"], most=require_sum)
        required(f"{name}, slow store, of the larger", each["of_larger"], most=require_larger)


def _line(each: dict[str, Any]) -> str:
    return (
        f"{each['store']:>10} {each['D']:2}, {each['K']:2}: pass {each['fast']['whole']:.2f} s, "
        f"{each['of_sum']:.2f} of the sum; slow store {each['of_larger']:.2f} of the larger"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_pass_cost", arguments)


if __name__ == "__main__":
    sys.exit(main())
