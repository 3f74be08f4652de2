"""More data than memory: whether the truth is found, inside the memory, and what cold files cost.

A Zarr array of float32 rows, drawn block by block from a known mixture (D = 4), is fitted by
``dask-gmm run`` with ``tol: auto`` on two workers of little memory: once with the files dropped
from the system's cache before, once as the first run left them. Every parameter found is compared
with the truth in units of its sampling error, that of the maximum-likelihood estimate by Fisher's
information. The workers' resident memory is looked at ten times a second over both runs.

At the default size, 8.6 GB, about 8 minutes: two to write, three for each run. 10^9 rows (16 GB)
are one command, ``python -m benchmarks.bench_out_of_core --rows 1e9 --name billion``: 15 minutes;
with ``--components 8 --memory 2GiB`` somewhat more. The data are written once into ``--directory``
and stay there until ``--delete``; ``bench_scaling --rows 1e9`` takes those of eight components.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from dask.utils import parse_bytes
from scipy.optimize import linear_sum_assignment

from benchmarks.known import Known, standard_errors, written_once
from benchmarks.machine import described
from benchmarks.output import HERE, RESULTS, beginning, deliver, exit_code, required
from benchmarks.watched import ResidentMemory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D, K = 4, 4  # K by default
ROWS, QUICK_ROWS = 540_000_000, 300_000
CHUNK_ROWS = 1 << 18  # 4 MiB
LIMIT = "512MiB"
CONFIG = """\
version: 1
name: out-of-core
run_dir: {run_dir}
source: {{kind: zarr, path: {path}}}
standardize: true
model: {{n_components: {K}, covariance_type: full, tol: auto}}
outputs:
  labels: {{kind: zarr, path: labels.zarr}}
cluster: {{kind: local, n_workers: 2, memory_limit: {limit}}}
if_exists: overwrite
"""


def drop_from_cache(folder: Path) -> None:
    """Let the system forget the files' content: the next reading is one from the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def run(folder: Path, components: int, limit: int) -> dict[str, Any]:
    """Carry the configuration out as a user would; return what is measured of the run."""
    text = CONFIG.format(
        run_dir=folder / "run", path=folder / "data.zarr", K=components, limit=limit
    )
    (folder / "run.yaml").write_text(text)
    command = [sys.executable, "-m", "dask_gmm", "run", str(folder / "run.yaml"), "--json"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        ResidentMemory(process.pid) as memory,
    ):
        out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"dask-gmm run ended with {process.returncode}")
    manifest = json.loads(out)
    steps = {each["step"]: each["seconds"] for each in manifest["timings"]}
    return {
        "seconds": sum(steps.values()),
        "survey": steps["survey"],
        "steps": steps,
        "passes": manifest["fit"]["passes"]["total"],
        "converged": manifest["fit"]["converged"],
        "peak_bytes": max(memory.most.values()),
    }


def deviations(known: Known, model: dict[str, Any]) -> dict[str, float]:
    """Return how far every kind of parameter is from the truth, at most, in sampling errors."""
    truth = known.parameters()
    found = [np.asarray(model[name], float) for name in ("weights", "means", "covariances")]
    apart = ((truth[1][:, None] - found[1][None]) ** 2).sum(axis=-1)
    _, order = linear_sum_assignment(apart)
    errors = standard_errors(known)
    names = ("weights", "means", "covariances")
    return {
        name: float(np.abs((value[order] - true) / error).max())
        for name, value, true, error in zip(names, found, truth, errors, strict=True)
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    away = result["deviations"]
    K = result["components"]
    n_parameters = K - 1 + K * D + K * D * (D + 1) // 2
    lines = [
        *beginning(f"Larger than memory: {result['rows']:,} rows", __doc__ or "", result),
        f"K = {K}, two workers of {result['limit'] / 2**20:,.0f} MiB. The array is "
        f"{result['bytes'] / 1e9:.1f} GB ({result['stored_bytes'] / 1e9:.1f} stored). "
        f"Of {n_parameters} parameters the one farthest from the truth is "
        f"{max(away.values()):.1f} sampling errors away (weights {away['weights']:.1f}, means "
        f"{away['means']:.1f}, covariances {away['covariances']:.1f}).\n",
        "| files | readings | survey (the first reading), s | GB/s | whole run, s "
        "| largest worker | of its limit |\n|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {each['passes']} | {each['survey']:.1f} "
            f"| {result['bytes'] / each['survey'] / 1e9:.2f} | {each['seconds']:.0f} "
            f"| {each['peak_bytes'] / 2**20:.0f} MiB | {each['peak_bytes'] / result['limit']:.0%} |"
            for name, each in result["runs"].items()
        ),
    ]
    return "\n".join(lines) + f"\n\n![Time by step]({result['name']}.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw what the steps of both runs took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for i, (name, each) in enumerate(result["runs"].items()):
        left = 0.0
        for j, (step, took) in enumerate(each["steps"].items()):
            axes.barh(name, took, left=left, color=f"C{j}", label=None if i else step)
            left += took
    axes.set(xlabel="seconds")
    axes.legend(fontsize="x-small", ncols=2)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--rows", type=float, help=f"Rows to write, such as 1e9; by default {ROWS:,}.")
@click.option("--name", default="out_of_core", show_default=True, help="Of the results' files.")
@click.option("--components", default=K, show_default=True, type=click.IntRange(min=1))
@click.option("--memory", default=LIMIT, show_default=True, help="Of each of the two workers.")
@click.option("--delete", is_flag=True, help="Delete data and run when done.")
@click.option("--require-deviation", default=np.inf, help="Most sampling errors from the truth.")
@click.option("--require-memory", default=np.inf, help="Most of its limit that a worker may hold.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=HERE.parent / "data" / "out-of-core",
    help="Where the data go; by default data/out-of-core.",
)
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    rows: float | None,
    name: str,
    components: int,
    memory: str,
    delete: bool,
    require_deviation: float,
    require_memory: float,
    directory: Path,
    output: Path | None,
) -> None:
    """Fit an array that is larger than the workers' memory, and compare with the truth."""
    n, limit = int(rows or (QUICK_ROWS if quick else ROWS)), parse_bytes(memory)
    known = Known(D, components, n, min(CHUNK_ROWS, max(1, n // 8)))
    click.echo(f"{n:,} rows", err=True)
    folder = written_once(directory, known)
    runs = {}
    drop_from_cache(folder / "data.zarr")
    for files in ("cold", "warm"):
        runs[files] = run(folder, components, limit)
        click.echo(f"{files}: {runs[files]}", err=True)
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    model = json.loads((folder / "run" / "model.json").read_text())
    result = {
        "machine": described(),
        "quick": quick,
        "name": name,
        "rows": n,
        "bytes": n * D * 4,
        "stored_bytes": manifest["inputs"][0]["stored_bytes"],
        "components": components,
        "limit": limit,
        "deviations": deviations(known, model),
        "runs": runs,
    }
    if delete:
        shutil.rmtree(folder)
    deliver(name, result, table(result), picture(result), output)
    away = max(result["deviations"].values())
    required("sampling errors from the truth", away, most=require_deviation)
    for files, each in runs.items():
        required(f"{files} run, converged", each["converged"], least=1)
        required(f"{files} run, of its limit", each["peak_bytes"] / limit, most=require_memory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_out_of_core", arguments)


if __name__ == "__main__":
    sys.exit(main())
