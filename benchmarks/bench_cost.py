"""What a run costs: core-hours and bytes per 10^9 pixels.

Whole runs by the command ``dask-gmm run``, labels written, model and report made, on two local
workers of one thread: three bands of uint8 as a picture has them (D = 3, K = 8), six and sixteen
bands of float32 (K = 16), drawn from known mixtures, in Zarr. Every job is run with a quarter of
its pixels and with all of them; what a pixel more costs and what a run costs before the first one
follow from the two, and 10^9 pixels from these (that time is linear in rows up to 10^9 is measured
by ``bench_scaling``). Processor time is the kernel's, of the command and of all processes below it.
Core-hours are cores times time, as they are paid for, whether they were busy or not. Bytes read are
those in storage times the readings of the data; bytes shipped are what the loopback interface
counts, so nothing else should use it. Prices differ: state yours with ``--price``.

``python -m benchmarks.bench_cost`` writes table, JSON and picture; about 6 minutes, 3 GB of disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks.known import Known, write_zarr
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORES = 2
CHUNK_BYTES = 4 << 20
PIXELS = 1e9
CONFIG = """\
version: 1
name: cost
run_dir: {run_dir}
source: {{kind: zarr, path: {path}}}
model: {{n_components: {K}, covariance_type: full, tol: auto}}
outputs:
  labels: {{kind: zarr, path: labels.zarr}}
cluster: {{kind: local, n_workers: 2, memory_limit: 2GiB}}
if_exists: overwrite
"""


@dataclass(frozen=True)
class Job:
    """A kind of data, and how many pixels of it are run.

    Attributes
    ----------
    name : str
    D, K, rows : int
    dtype : str
        As Zarr has it.
    """

    name: str
    D: int
    K: int
    rows: int
    dtype: str = "f4"

    def known(self, rows: int) -> Known:
        """Return the mixture that its pixels are drawn from."""
        block = CHUNK_BYTES // (self.D * np.dtype(self.dtype).itemsize)
        kind = Bytes if self.dtype == "u1" else Known
        return kind(self.D, self.K, rows, min(block, max(1, rows // 8)))


class Bytes(Known):
    """The same mixtures in whole numbers of 8 bits, as a picture's bands are."""

    def block(self, number: int) -> npt.NDArray[Any]:
        """Draw a block (n, D)."""
        return np.clip(8.0 * super().block(number) + 128.0, 0, 255).round().astype(np.uint8)


JOBS = (
    Job("3 x uint8, K = 8", 3, 8, 100_000_000, "u1"),
    Job("6 x float32, K = 16", 6, 16, 60_000_000),
    Job("16 x float32, K = 16", 16, 16, 30_000_000),
)
QUICK_JOBS = (Job("3 x uint8, K = 8", 3, 8, 200_000, "u1"),)


def shipped() -> int:
    """Return the bytes that the loopback interface has carried so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    return 0


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(job: Job, rows: int, folder: Path) -> dict[str, Any]:
    """Write so many pixels and carry a run out; return what it has taken."""
    path, run_dir = folder / f"{rows}.zarr", folder / f"run-{rows}"
    write_zarr(path, job.known(rows), dtype=job.dtype)
    text = CONFIG.format(run_dir=run_dir, path=path, K=job.K)
    (folder / "run.yaml").write_text(text)
    command = [sys.executable, "-m", "dask_gmm", "run", str(folder / "run.yaml"), "--quiet"]
    before, ended = shipped(), list[Any]()

    def carry_out() -> None:
        process = subprocess.Popen(command)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.extend((process.returncode, used))

    took, (code, used) = seconds(carry_out), ended
    if code:
        raise click.ClickException(f"dask-gmm run ended with {code}")
    manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    passes = manifest["fit"]["passes"]
    labels = size_of(run_dir / "labels.zarr")
    return {
        "rows": rows,
        "seconds": took,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "passes": passes,
        "compression": manifest["fit"]["compression"]["used"],
        "steps": {each["step"]: each["seconds"] for each in manifest["timings"]},
        "stored_bytes": manifest["inputs"][0]["stored_bytes"],
        "decoded_bytes": rows * job.D * np.dtype(job.dtype).itemsize,
        "label_bytes": labels,
        "other_bytes": size_of(run_dir) - labels,
        "shipped_bytes": shipped() - before,
    }


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """Run a quarter and the whole of a job; return what 10^9 pixels cost by them."""
    few, many = (run(job, rows, folder) for rows in (job.rows // 4, job.rows))

    def at(pixels: float, name: str) -> float:
        """Return a quantity on the line through both."""
        # Toy runs are so short that the smaller one may take longer.
        a_pixel = max(0.0, (many[name] - few[name]) / (many["rows"] - few["rows"]))
        return many[name] + a_pixel * (pixels - many["rows"])

    readings = many["passes"]["total"]
    return {
        "name": job.name,
        "few": few,
        "many": many,
        "readings": readings,
        "core_hours": CORES * at(PIXELS, "seconds") / 3600,
        "cpu_hours": at(PIXELS, "cpu_seconds") / 3600,
        "before_the_first": at(0, "seconds"),
        "stored": many["stored_bytes"] / many["rows"],
        "read": readings * many["stored_bytes"] / many["rows"] * PIXELS,
        "decoded": readings * many["decoded_bytes"] / many["rows"] * PIXELS,
        "written": many["label_bytes"] / many["rows"] * PIXELS + many["other_bytes"],
        "shipped": max(0.0, at(PIXELS, "shipped_bytes")),
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    price = result["price"]
    priced = "" if price is None else f" costs at {price:g} per core-hour |"
    lines = [
        *beginning("Cost of 10^9 pixels", __doc__ or "", result),
        "Per 10^9 pixels:\n",
        "| job | measured with | readings | core-hours | of them busy |"
        f"{priced} read, GB | decoded, GB | written, GB | shipped, MB |",
        "|---|" + "---:|" * (8 if price is None else 9),
    ]
    for each in result["jobs"]:
        cost = "" if price is None else f" {price * each['core_hours']:.2f} |"
        lines.append(
            f"| {each['name']} | {each['many']['rows']:,} | {each['readings']} "
            f"| {each['core_hours']:.2f} | {each['cpu_hours'] / each['core_hours']:.0%} |{cost}"
            f" {each['read'] / 1e9:,.1f} | {each['decoded'] / 1e9:,.1f} "
            f"| {each['written'] / 1e9:,.2f} | {each['shipped'] / 1e6:,.0f} |"
        )
    lines += [
        "\n| job | bytes stored a pixel, each reading | seconds before the first pixel "
        "| quarter, s | whole, s | whole shipped, MB | rows counted |\n|---|"
        + "---:|" * 5
        + "---|",
        *(
            f"| {each['name']} | {each['stored']:.2f} | {each['before_the_first']:.1f} "
            f"| {each['few']['seconds']:.1f} | {each['many']['seconds']:.1f} "
            f"| {each['many']['shipped_bytes'] / 1e6:.1f} "
            f"| {'yes' if each['many']['compression'] else 'no'} |"
            for each in result["jobs"]
        ),
    ]
    return "\n".join(lines) + "\n\n![Core-hours by step](cost.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw which steps the time goes into."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    steps = dict.fromkeys(step for each in result["jobs"] for step in each["many"]["steps"])
    for i, step in enumerate(steps):
        for each in result["jobs"]:
            left = sum(each["many"]["steps"].get(name, 0.0) for name in list(steps)[:i])
            per_pixel = 1e9 / each["many"]["rows"]
            took = each["many"]["steps"].get(step, 0.0) * per_pixel
            label = step if each is result["jobs"][0] else None
            axes.barh(each["name"], took, left=left * per_pixel, color=f"C{i}", label=label)
    axes.set(xlabel="nanoseconds a pixel, two cores, by step of the run")
    axes.legend(fontsize="x-small", ncols=2)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--price", type=click.FloatRange(min=0), help="Of a core-hour, in your currency.")
@click.option("--require-hours", default=np.inf, help="Most core-hours of 10^9 pixels, any job.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    price: float | None,
    require_hours: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Measure what whole runs cost."""
    jobs = []
    for job in QUICK_JOBS if quick else JOBS:
        with tempfile.TemporaryDirectory(dir=directory) as place:
            jobs.append(measure(job, Path(place)))
        click.echo(str(jobs[-1]), err=True)
    result = {"machine": described(), "quick": quick, "price": price, "jobs": jobs}
    deliver("cost", result, table(result), picture(result), output)
    for each in jobs:
        required(f"{each['name']}, core-hours", each["core_hours"], most=require_hours)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_cost", arguments)


if __name__ == "__main__":
    sys.exit(main())
