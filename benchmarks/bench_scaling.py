"""Whether two workers take half the time of one, ten times the rows ten times, at equal memory.

Passes of EM (D = 4, K = 8, full) over Zarr arrays of ever more rows of float32, with one
local worker and with two, turn by turn while both clusters stand. Every worker is held on a core of
its own: a single one would read ahead on the second core, and be no worker of one core. Client and
scheduler have the second core to themselves then; how much that is shows a third turn, in which
they are held on the core of the one worker. Beside the times stands the peak of the workers'
resident memory (the kernel's VmHWM) after the passes over each array, smallest first. Times are
medians; the largest array, where asked for, is read once by each, after a first reading that is not
counted.

About 5 minutes up to 1e8 rows; with ``--rows 1e9`` (16 GB, which stay in ``--shared``, where those
of ``bench_out_of_core --components 8`` are) about 10, of which three are the writing.
``python -m benchmarks.bench_scaling`` writes table, JSON and picture.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks.known import Known, write_zarr, written_once
from benchmarks.machine import described, seconds
from benchmarks.output import HERE, RESULTS, beginning, deliver, exit_code, required
from benchmarks.sources import peak_bytes
from dask_gmm.data.sources import open_source
from dask_gmm.engine.cluster import local_workers
from dask_gmm.engine.leaves import cut_leaves
from dask_gmm.engine.passes import Passes
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D, K = 4, 8
ROWS = (1_000_000, 10_000_000, 100_000_000)
QUICK_ROWS = (20_000, 100_000)
CHUNK_ROWS = 1 << 18  # 4 MiB
#: Rows from which on a pass is so long that one of each is enough.
LARGE = 500_000_000


def hold_on_own_cores(client: Any) -> None:
    """Hold every worker, with all its threads, on one core: the first on the first, and so on."""
    cores = sorted(os.sched_getaffinity(0))
    for core, worker in zip(
        cores, sorted(client.scheduler_info(n_workers=-1)["workers"]), strict=False
    ):
        client.run(_hold_on, core, workers=[worker])


def _hold_on(*cores: int) -> None:
    """Hold this process, with all its threads, on some cores."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)


def on_one_core(run: Callable[[], Any]) -> None:
    """Run with client and scheduler, which are this process, on the core of the first worker."""
    cores = sorted(os.sched_getaffinity(0))
    _hold_on(cores[0])
    try:
        run()
    finally:
        _hold_on(*cores)


def mixture(rows: int) -> Known:
    """Return what the rows are drawn from."""
    return Known(D, K, rows, min(CHUNK_ROWS, rows // 8))


def measure(path: Path, rows: int, turns: int, clients: dict[int, Any]) -> dict[str, Any]:
    """Time a pass with one worker and with two, and look at their memory."""
    known = mixture(rows)
    source, sample = open_source("zarr", str(path)), known.block(0)
    leaves = cut_leaves([known.length(cell) * D * 4 for cell in range(known.n_blocks)])
    frame = Frame.of_sample(sample, unit=sample.std(axis=0).astype(float), isotropic=False)
    parameters = Parameters.of("full", *known.parameters()).inside(frame)
    one, two = (
        partial(Passes.over_source(source, leaves, client).run, "bench", e_step, parameters, frame)
        for client in (clients[1], clients[2])
    )
    passes = {"one": one, "one_core": partial(on_one_core, one), "two": two}
    if rows < LARGE:
        for warm_up in passes.values():
            warm_up()
        # Small passes are short: more of them.
        turns *= max(1, min(10, 10_000_000 // rows))
    else:
        passes["two"]()  # the files come into the system's cache; the workers are warm
        turns = 1
    taken = [{name: seconds(each) for name, each in passes.items()} for _ in range(turns)]
    return {
        "rows": rows,
        **{name: median(turn[name] for turn in taken) for name in passes},
        "speedup": median(turn["one"] / turn["two"] for turn in taken),
        "speedup_of_cores": median(turn["one_core"] / turn["two"] for turn in taken),
        "peak_bytes": max(clients[2].run(peak_bytes).values()),
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        *beginning("One worker and two, few rows and many", __doc__ or "", result),
        "| rows | one worker, s | all on its core, s | two workers, s | ratio | to all on one core "
        "| ns a row, two workers | worker's peak |\n|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {each['rows']:,} | {each['one']:.2f} | {each['one_core']:.2f} "
            f"| {each['two']:.2f} | {each['speedup']:.2f} | {each['speedup_of_cores']:.2f} "
            f"| {1e9 * each['two'] / each['rows']:.1f} | {each['peak_bytes'] / 2**20:.0f} MiB |"
            for each in result["series"]
        ),
    ]
    return "\n".join(lines) + "\n\n![Seconds and memory by rows](scaling.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw time and memory against rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    (times, memory), series = figure.subplots(1, 2), result["series"]
    rows = [each["rows"] for each in series]
    for name in ("one", "two"):
        times.plot(rows, [each[name] for each in series], "o-", label=f"{name} worker(s)")
    times.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds a pass")
    times.legend()
    memory.plot(rows, [each["peak_bytes"] / 2**20 for each in series], "o-")
    memory.set(xscale="log", xlabel="rows", ylabel="peak of a worker, MiB", ylim=(0, None))
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--rows", type=float, help="One more size, such as 1e9.")
@click.option(
    "--shared",
    type=click.Path(path_type=Path),
    default=HERE.parent / "data" / "out-of-core",
    help="Where the array of --rows is kept; by default data/out-of-core.",
)
@click.option("--require-speedup", default=0.0, help="Least of two workers, at the most rows.")
@click.option("--require-linear", default=np.inf, help="Most cost of a row, against a tenth of it.")
@click.option("--require-flat", default=np.inf, help="Most memory, against a tenth of the rows.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    turns: int,
    rows: float | None,
    shared: Path,
    require_speedup: float,
    require_linear: float,
    require_flat: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Time passes over ever more rows, with one worker and with two."""
    series = []
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        local_workers(1, 1, None) as one,
        local_workers(2, 1, None) as two,
    ):
        clients = {1: one.scheduler, 2: two.scheduler}
        for client in clients.values():
            hold_on_own_cores(client)
        for n in QUICK_ROWS if quick else ROWS:
            path = Path(place) / f"{n}.zarr"
            write_zarr(path, mixture(n))
            series.append(measure(path, n, turns, clients))
            click.echo(str(series[-1]), err=True)
        if rows is not None:
            path = written_once(shared, mixture(int(rows))) / "data.zarr"
            series.append(measure(path, int(rows), turns, clients))
            click.echo(str(series[-1]), err=True)
    result = {"machine": described(), "quick": quick, "turns": turns, "series": series}
    deliver("scaling", result, table(result), picture(result), output)
    tenth, last = series[-2:]
    cost = (last["two"] / last["rows"]) / (tenth["two"] / tenth["rows"])
    required("time of one worker over that of two", last["speedup"], least=require_speedup)
    required("cost of a row over that with a tenth of the rows", cost, most=require_linear)
    memory = last["peak_bytes"] / tenth["peak_bytes"]
    required("memory over that with a tenth of the rows", memory, most=require_flat)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_scaling", arguments)


if __name__ == "__main__":
    sys.exit(main())
