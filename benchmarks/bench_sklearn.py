"""Where scikit-learn's GaussianMixture dies, and who is first at the same likelihood.

The peer is ``sklearn.mixture.GaussianMixture``; D = 6, K = 16, full covariances, float32 rows drawn
from a known mixture into a Zarr array. Every fit is a process of its own, from its start to its
end: scikit-learn loads the array into memory as float32 or float64, in which it then computes, with
one BLAS thread or two, whichever is fastest, and two threads for its k-means; ours is ``dask-gmm
fit`` with two local workers of one thread and 1 GiB each, which reads the files again in every
iteration. Ever more rows: both start from the same parameters (the truth) and make the same number
of EM iterations, plain ones of ours, too; a small number with many rows, so that time stays
bearable. Around them scikit-learn makes one more E-step for its labels, ours a survey before and a
reading for the report after. What holds more than 80 % of the machine's memory, or takes more than
ten minutes, is stopped. Apart is how far the means of both are from each other, at most, in
standard deviations of their component. To equal likelihood: a mixture that overlaps (means drawn
with deviation 1.25, not 4). scikit-learn with its defaults and one k-means of all rows, after which
its fit goes on past its default tolerance of 1e-3 to 1e-6, or for twelve minutes; ours with its own
defaults, with one start and the tolerance of scikit-learn, and with 1e-7 where the defaults end
lower than scikit-learn's; the soonest of them that is as likely counts. scikit-learn's parameters
are kept after every iteration, so that it counts as done as soon as it has them; ours count when
the process has ended, report drawn. The mean log-likelihood of all rows is taken afterwards by the
same code for both.

At most 25 minutes, 10 of them for ever more rows, and 3 GB on disk. Needs 20 GB of memory to stop
scikit-learn where the machine ends; ``--ceiling`` stops it earlier. ``python -m
benchmarks.bench_sklearn`` writes table, JSON and picture; ``--only`` runs one part and keeps the
other's numbers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import described
from benchmarks.output import RESULTS, deliver, exit_code, required
from benchmarks.peers import sklearn_end, sklearn_scale
from benchmarks.peers.sklearn_pages import GIB, picture, table
from benchmarks.watched import most_of_memory

NAME = "sklearn"


def kept(output: Path | None, quick: bool) -> dict[str, Any]:
    """Return the parts of the result that is there, of the same kind of run."""
    path = (output or RESULTS) / f"{NAME}.json"
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["quick"] != quick:
        return {}
    return {part: stored[part] for part in ("scale", "end") if part in stored}


@click.command()
@click.option("--quick", is_flag=True, help="A toy size: shows that it works.")
@click.option("--only", type=click.Choice(["scale", "end"]), help="One part; the other is kept.")
@click.option("--rows", type=float, help="Of the part to equal likelihood, such as 1e7.")
@click.option("--seconds", default=sklearn_end.MOST_SECONDS, help="Of scikit-learn in that part.")
@click.option("--ceiling", type=float, help="GiB at which scikit-learn is stopped.")
@click.option("--require-end-to-end", default=0.0, help="Least ratio at scikit-learn's default.")
@click.option("--require-memory", default=np.inf, help="Most of its limit that a worker may hold.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    only: str | None,
    rows: float | None,
    seconds: float,
    ceiling: float | None,
    require_end_to_end: float,
    require_memory: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Fit ever more rows until scikit-learn dies, and compare the time to equal likelihood."""
    most_bytes = most_of_memory() if ceiling is None else ceiling * GIB
    parts = kept(output, quick) if only else {}
    with tempfile.TemporaryDirectory(dir=directory) as name:
        place = Path(name).absolute()
        ways = sklearn_scale.measure_ways(place, quick)
        way = sklearn_scale.fastest(ways)
        click.echo(f"scikit-learn's way: {way}", err=True)
        if only != "end":
            parts["scale"] = sklearn_scale.measure(place, quick, way, most_bytes)
        if only != "scale":
            n = int(rows or (sklearn_end.QUICK_ROWS if quick else sklearn_end.ROWS))
            parts["end"] = sklearn_end.measure(place, n, way, seconds)
    result = {"machine": described(), "quick": quick, "ways": ways, **parts}
    deliver(NAME, result, table(result, __doc__ or ""), picture(result), output)
    if only != "end":
        for each in parts["scale"]["series"]:
            what, ours = f"{each['rows']:,} rows of ours", each["ours"]
            share = ours["largest_bytes"] / parts["scale"]["limit"]
            required(f"{what}, a worker's share of its limit", share, most=require_memory)
            required(f"{what}, iterations", ours["iterations"], least=each["iterations"])
    if only != "scale":
        ratio = parts["end"]["goals"]["default"]["ratio"]
        reached = 0.0 if ratio is None else ratio  # ours never was as likely
        required("end to end, scikit-learn's time over ours", reached, least=require_end_to_end)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_sklearn", arguments)


if __name__ == "__main__":
    sys.exit(main())
