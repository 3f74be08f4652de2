"""The page and the picture of :mod:`benchmarks.bench_cluster`."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.output import beginning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COSTS = {
    "reading": ("a reading of one leaf that does nothing", 1e3, "ms"),
    "client_task": ("client, packing a task", 1e6, "µs"),
    "scheduler_task": ("scheduler, taking a task in", 1e6, "µs"),
    "scheduler_run": ("scheduler, sending a task off and hearing of its end", 1e6, "µs"),
    "client_leaf": ("client, hearing of a leaf's end", 1e6, "µs"),
    "worker_task": ("worker, a task beside its arithmetic", 1e6, "µs"),
    "heartbeat": ("scheduler, a heartbeat", 1e6, "µs"),
    "latency": ("a message", 1e6, "µs"),
    "fetch": ("a value from another worker, beside its bytes", 1e6, "µs"),
    "bandwidth": ("its bytes, a second", 1e-6, "MB"),
    "graph_bytes": ("scheduler's memory for a task", 1e-3, "kB"),
}


def table(result: dict[str, Any], script: str) -> str:
    """Return the page."""
    lines = [
        *beginning("Workers beyond this machine", script, result),
        *_verdict(result),
        *_checks(result),
        *_predictions(result),
        *_others(result),
        "Not modelled: networks slower than this machine's loopback interface; the exact way in "
        "which parameters spread (here: whoever has them serves ten others at a time); the once-a-"
        "second question who is at work on what; work that idle workers take over from busy ones; "
        "the start of the workers; starts on the sample; labels, which are written once. Uneven "
        "leaves are drawn once, with a fixed seed; with deaths the mean of "
        f"{result['assumed']['draws']} draws is taken.\n",
    ]
    return "\n".join(lines) + "\n![Efficiency, trees, and the check](cluster.png)\n"


def _verdict(result: dict[str, Any]) -> list[str]:
    even = result["cases"]["as here"]
    good = [each for each in even if each["efficiency"] >= 0.8]
    most = f"{good[-1]['workers']:,} worker(s)" if good else "no number of workers looked at"
    errors = [abs(each["error"]) for each in result["checks"]]
    return [
        f"The scheduler handles {result['task_rate']:,.0f} tasks a second, and a reading of "
        f"{result['rows']:.2g} rows is {result['tasks']:,} tasks ({result['leaves']:,} leaves of "
        f"{result['leaf_seconds']:.2g} s): no reading is shorter than {result['floor']:.1f} s, and "
        f"beyond {result['full_scheduler']:,.0f} workers leaves end faster than it hears of them. "
        f"Four fifths of the cores' time are used by up to {most}. Its graph takes "
        f"{result['graph_bytes'] / 1e6:,.0f} MB there. The model is off by {median(errors):.0%} in "
        f"the median of {len(errors)} measured readings, by {max(errors):.0%} at most.\n"
    ]


def _checks(result: dict[str, Any]) -> list[str]:
    costs = [
        f"| {words} | {scale * result['costs'][name]:,.3g} {unit} |"
        for name, (words, scale, unit) in _COSTS.items()
    ]
    checks = [
        f"| {each['kind']} | {each['slots']} | {each['leaves']:,} "
        f"| {1e3 * each['leaf_seconds']:.0f} | {each['measured']:.2f} | {each['predicted']:.2f} "
        f"| {each['error']:+.0%} |"
        for each in result["checks"]
    ]
    return [
        "| cost, measured here | |\n|---|---:|",
        *costs,
        f"| E-step, a row | {1e9 * result['row_seconds']:.1f} ns |",
        f"| spread of leaves (deviation of the logarithm) | {result['spread']:.3f} |",
        f"| sums of a leaf | {result['statistics_bytes']:,} bytes |\n",
        f"Checked on {result['machine']['cores']} cores that all share; slots are threads of "
        "workers.\n",
        "| leaves | slots | of them | ms each | measured, s | predicted, s | error |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *checks,
        "",
    ]


def _predictions(result: dict[str, Any]) -> list[str]:
    cases, assumed = result["cases"], result["assumed"]
    lines = [
        f"Predicted: {result['rows']:.2g} rows x 4 float32, K = 8, storage that keeps up; a run is "
        f"{result['readings']} readings, as one over 10^9 rows was. Uneven leaves (deviation of the"
        f" logarithm {assumed['uneven']:g}) and deaths ({assumed['deaths']:g} for each worker and "
        "hour) are assumed; a death is known after a minute.\n",
        "| workers | leaves each | a reading, s | before the first leaf, s | the scheduler works "
        "| a run, minutes | core-hours | efficiency | uneven | uneven, deaths |",
        "|---:|" + "---:|" * 9,
    ]
    for i, each in enumerate(cases["as here"]):
        lines.append(
            f"| {each['workers']:,} | {result['leaves'] / each['workers']:,.1f} "
            f"| {each['seconds']:,.1f} | {each['start']:.1f} | {each['scheduler_share']:.0%} "
            f"| {each['run_seconds'] / 60:,.1f} | {each['core_hours']:,.1f} "
            f"| {each['efficiency']:.0%} | {cases['uneven'][i]['efficiency']:.0%} "
            f"| {cases['uneven, deaths'][i]['efficiency']:.0%} |"
        )
    return [*lines, ""]


def _others(result: dict[str, Any]) -> list[str]:
    slot = result["assumed"]["store_slot"] / 1e6
    at = list(result["fan_in"][0]["seconds"])
    return [
        f"A store that gives {slot:,.0f} MB/s to one worker, and to all together at most:\n",
        "| together, GB/s | workers | a reading, s | efficiency |\n|---:|---:|---:|---:|",
        *(
            f"| {each['total'] / 1e9:,.0f} | {each['workers']:,} | {each['seconds']:,.1f} "
            f"| {each['efficiency']:.0%} |"
            for each in result["stores"]
        ),
        "\nTrees: the engine adds sixteen at a time.\n",
        "| D, K | sums of a leaf | added at a time | tasks | to the client | "
        + " | ".join(f"{int(n):,} workers, s" for n in at)
        + " |\n|---|---:|---:|---:|---:|"
        + "---:|" * len(at),
        *(
            f"| {each['shape'][0]}, {each['shape'][1]} | {each['bytes'] / 1e3:,.1f} kB "
            f"| {each['fan_in']} | {each['tasks']:,} | {each['to_client']} | "
            + " | ".join(f"{each['seconds'][n]:,.1f}" for n in at)
            + " |"
            for each in result["fan_in"]
        ),
        f"\nWhat would help {result['remedies'][0]['workers']:,} workers:\n",
        "| change | tasks | a reading, s | efficiency |\n|---|---:|---:|---:|",
        *(
            f"| {each['change']} | {each['tasks']:,} | {each['seconds']:,.1f} "
            f"| {each['efficiency']:.0%} |"
            for each in result["remedies"]
        ),
        "",
    ]


def picture(result: dict[str, Any]) -> Figure:
    """Draw efficiency against workers, trees, and what was predicted against what was measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    efficiency, trees, check = figure.subplots(1, 3)
    for name, series in result["cases"].items():
        workers = [each["workers"] for each in series]
        efficiency.plot(workers, [each["efficiency"] for each in series], "o-", label=name)
    efficiency.axvline(result["full_scheduler"], color="#969696", ls=":", label="scheduler full")
    efficiency.set(xscale="log", xlabel="workers", ylabel="efficiency", ylim=(0, 1.05))
    efficiency.legend(fontsize="small")
    for shape in dict.fromkeys(tuple(each["shape"]) for each in result["fan_in"]):
        mine = [each for each in result["fan_in"] if tuple(each["shape"]) == shape]
        for n in mine[0]["seconds"]:
            label = f"D = {shape[0]}, K = {shape[1]}, {int(n):,} workers"
            times = [each["seconds"][n] for each in mine]
            trees.plot([each["fan_in"] for each in mine], times, "o-", label=label)
    trees.set(xscale="log", xlabel="added at a time", ylabel="seconds a reading", ylim=(0, None))
    trees.legend(fontsize="small")
    for kind in dict.fromkeys(each["kind"] for each in result["checks"]):
        mine = [each for each in result["checks"] if each["kind"] == kind]
        check.loglog(*([each[name] for each in mine] for name in ("measured", "predicted")), "o")
        check.lines[-1].set_label(kind)
    ends = [each["measured"] for each in result["checks"]]
    check.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#969696")
    check.set(xlabel="measured, s", ylabel="predicted, s")
    check.legend()
    return figure
