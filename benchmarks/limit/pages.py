"""Page and picture of ``bench_limit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.limit.profiles import BEYOND, CLIENT, LIMIT, PARTS, WAITING
from benchmarks.limit.sampling import COPYING, ENGINE, KERNEL, READING, ZARR
from benchmarks.output import beginning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Above this share of the cores' time a part is named, unless it is arithmetic or decoding.
NAMED = 0.10
#: What each of them is; said of those that are named.
WHAT = {
    KERNEL: "a row's features, and its weights and responsibilities beside the exponentials",
    ZARR: "Zarr hands every chunk from thread to thread, decodes it into memory that is new each "
    "time, and copies what lies in shards",
    COPYING: "rows of 32 bits become columns of 64 bits in the model's frame, and columns of a "
    "table rows",
    ENGINE: "what Dask's workers do beside our functions",
    CLIENT: "the scheduler, and what the client adds up and makes of it between two readings",
    WAITING: "the other core while the client is between two readings or the last leaf is read, "
    "and whatever else this machine did",
}


def beyond(case: dict[str, Any], most: float) -> list[tuple[str, float]]:
    """Return the parts of a pass above a share that are neither arithmetic nor decoding."""
    parts = case["shares"].items()
    return [(n, s) for n, s in parts if n not in (LIMIT, BEYOND, READING) and s > most]


def table(result: dict[str, Any], script: str) -> str:
    """Return the page."""
    lines = [*beginning("To the limit", script, result), *_of_formats(result["formats"]), ""]
    lines += _of_cases(result["cases"])
    return "\n".join(lines) + "\n\n![Bandwidth and parts of a pass](limit.png)\n"


def _of_formats(formats: dict[str, Any]) -> list[str]:
    least, fraction = min(
        ((name, each["one"]["fraction"][0]) for name, each in formats.items()), key=lambda x: x[1]
    )
    return [
        f"The direct reader is ahead most with {least}: of its bandwidth our source reaches "
        f"{fraction:.0%} in one process.\n",
        "| stored as | stored, of its size | peer | one process: peer, GB/s | ours, GB/s "
        "| ours of the peer's (least, most) | two workers: peer, GB/s | ours, GB/s "
        "| ours of the peer's (least, most) |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {each['stored']:.0%} | {each['by']} "
            + "".join(
                f"| {each[way]['direct']:.2f} | {each[way]['ours']:.2f} "
                "| **{:.0%}** ({:.0%}, {:.0%}) ".format(*each[way]["fraction"])
                for way in ("one", "two")
            )
            + "|"
            for name, each in formats.items()
        ),
    ]


def _of_cases(cases: list[dict[str, Any]]) -> list[str]:
    named = [
        f"{part} {share:.0%} of {each['store']} at ({each['D']}, {each['K']})"
        for each in cases
        for part, share in beyond(each, NAMED)
    ]
    kinds = {part for each in cases for part, _ in beyond(each, NAMED)}
    meant = "".join(f" *{part}*: {WHAT[part]}." for part in PARTS if part in kinds)
    costs = [each["looking_costs"] for each in cases]
    unseen = max(each["unseen"] for each in cases)
    return [
        f"Neither arithmetic nor decoding, and above {NAMED:.0%} of both cores' time: "
        f"{'; '.join(named) or 'nothing'}.{meant}\n",
        f"Iterations that were looked at took {min(costs):+.1%} to {max(costs):+.1%} more time. "
        f"Of threads that ended between two looks was at most {unseen:.1%} of both cores' time; it "
        "is put down as the rest of its process is.\n",
        f"| stored as | D, K | rows | an iteration, s | {' | '.join(PARTS)} |",
        f"|---|---|---:|---:|{'---:|' * len(PARTS)}",
        *(
            f"| {each['store']} | {each['D']}, {each['K']} | {each['rows']:,} "
            f"| {each['iteration']:.2f} | "
            + " | ".join(f"{each['shares'][part]:.1%}" for part in PARTS)
            + " |"
            for each in cases
        ),
    ]


def picture(result: dict[str, Any]) -> Figure:
    """Draw the fractions of formats' bandwidths, and what the cores' time goes into."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    above, below = figure.subplots(2, 1)
    names = list(result["formats"])
    for shift, way, label in ((-0.2, "one", "one process"), (0.2, "two", "two workers")):
        each = [result["formats"][name][way]["fraction"] for name in names]
        ends = [[m - a for m, a, _ in each], [b - m for m, _, b in each]]
        at = [i + shift for i in range(len(names))]
        above.barh(at, [m for m, *_ in each], 0.38, xerr=ends, label=label)
    above.set_yticks(range(len(names)), names, fontsize="small")
    above.axvline(1.0, color="black", linewidth=0.8)
    above.set_xlabel("bandwidth of our source over the direct reader's")
    above.invert_yaxis()
    above.legend(fontsize="small")
    rows = [f"{each['store']}\n{each['D']}, {each['K']}" for each in result["cases"]]
    left = [0.0] * len(rows)
    for number, part in enumerate(PARTS):
        wide = [100 * each["shares"][part] for each in result["cases"]]
        below.barh(range(len(rows)), wide, left=left, label=part, color=f"C{number}")
        left = [a + b for a, b in zip(left, wide, strict=True)]
    below.set_yticks(range(len(rows)), rows, fontsize="small")
    below.set(xlabel="share of both cores' time in an EM iteration, %", xlim=(0, 100))
    below.invert_yaxis()
    below.legend(fontsize="small", ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure
