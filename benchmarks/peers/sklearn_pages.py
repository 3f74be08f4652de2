"""The page and the picture of the benchmark against scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.output import beginning
from benchmarks.peers.sklearn_end import EQUAL, TIGHT, TOL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GIB = 1 << 30
PEER, OURS = "#969696", "#0072b2"


def table(result: dict[str, Any], script: str) -> str:
    """Return the page: first where scikit-learn wins."""
    lines = beginning(
        "Against scikit-learn: until it dies, and to equal likelihood", script, result
    )
    scale, end = result.get("scale"), result.get("end")
    lines += [f"{_wins(scale, end)}\n", *_of_ways(result["ways"])]
    if scale:
        lines += _of_scale(scale)
    if end:
        lines += _of_end(end)
    return "\n".join(lines) + "\n\n![Seconds, memory and likelihood](sklearn.png)\n"


def _wins(scale: dict[str, Any] | None, end: dict[str, Any] | None) -> str:
    """Say where scikit-learn is the better one."""
    said = []
    for each in scale["series"] if scale else ():
        peer, ours, rows = each["peer"], each["ours"], f"{each['rows']:,} rows"
        if each["ratio"] is not None and each["ratio"] < 1:
            took = f"{peer['seconds']:.1f} s against {ours['seconds']:.1f}"
            said.append(f"it is done sooner with {rows}, start of processes included ({took})")
        if each["ratio_of_fits"] is not None and each["ratio_of_fits"] < 1:
            said.append(f"its fit alone is faster with {rows}")
        if peer and not peer["stopped_by"] and peer["peak_bytes"] < ours["peak_bytes"]:
            held = f"{_gib(peer['peak_bytes'])} GiB against {_gib(ours['peak_bytes'])}"
            said.append(f"it holds less memory with {rows} ({held})")
    if end:
        said += [f"it is as likely as {name} sooner" for name in _lost(end["goals"])]
    if end and end["ours"][0]["above_truth"] < end["peer"]["above_truth"][-1] - EQUAL:
        apart = end["peer"]["above_truth"][-1] - end["ours"][0]["above_truth"]
        said.append(f"its fit ends {apart:.2g} nats a row higher than ours")
    return f"Where scikit-learn wins: {'; '.join(said) or 'nowhere here'}."


def _lost(goals: dict[str, dict[str, Any]]) -> list[str]:
    """Return the likelihoods that scikit-learn had sooner, or alone."""
    names = {"default": "its default end", "tight": "its last end", "ours": "our end"}
    return [
        names[name]
        for name, goal in goals.items()
        if goal["peer"] is not None and (goal["ours"] is None or goal["peer"] < goal["ours"])
    ]


def _of_ways(ways: dict[str, Any]) -> list[str]:
    """Say what scikit-learn takes in every way, of which the fastest was taken."""
    return [
        f"scikit-learn's settings, {ways['rows']:,} rows, {ways['iterations']} iterations; the "
        "fastest is its own in all that follows.\n",
        "| dtype | BLAS threads | fit, s | GiB |\n|---|---:|---:|---:|",
        *(
            f"| {each['dtype']} | {each['threads']} | {each['fit']:.2f} "
            f"| {_gib(each['peak_bytes'])} |"
            for each in ways["ways"]
        ),
        "",
    ]


def _of_scale(scale: dict[str, Any]) -> list[str]:
    lines = [
        "Ever more rows: seconds are those of whole processes, in brackets those of the fit alone; "
        "memory is the sum of what processes held at most, each at its own time. In brackets "
        "after a run that was stopped: what it would have needed, by the line through the two "
        "largest sizes that went through.\n",
        "| rows | iterations | scikit-learn, s | ours, s | ratio | of the fits "
        "| scikit-learn, GiB | ours, GiB | our largest worker | of its limit | apart |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row_of_scale(scale, each) for each in scale["series"]),
    ]
    return [*lines, ""]


def _row_of_scale(scale: dict[str, Any], each: dict[str, Any]) -> str:
    peer, ours = each["peer"], each["ours"]
    ratio, of_fits, apart = (each[name] for name in ("ratio", "ratio_of_fits", "apart"))
    cells = [
        f"{each['rows']:,}",
        f"{each['iterations']}",
        _seconds(peer),
        _seconds(ours),
        "" if ratio is None else f"**{_ratio(ratio)}**",
        "" if of_fits is None else _ratio(of_fits),
        _memory(peer, each["needed_bytes"]),
        _gib(ours["peak_bytes"]),
        f"{ours['largest_bytes'] / 2**20:.0f} MiB",
        f"{ours['largest_bytes'] / scale['limit']:.0%}",
        "" if apart is None else f"{apart:.1g}",
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not tried"
    if found["stopped_by"] == "time":
        return f"not finished in {found['seconds']:.0f} s ({found['iterations']} iterations)"
    if found["stopped_by"]:
        return f"stopped after {found['seconds']:.0f} s, {found['iterations']} iterations"
    low, high = found["extremes"]
    spread = f", {low:.1f}-{high:.1f}" if low < high else ""
    return f"{found['seconds']:.1f}{spread} ({found['fit']:.2f})"


def _memory(peer: dict[str, Any] | None, needed: float | None) -> str:
    would = f" ({needed / GIB:.0f} GiB)" if needed else ""
    if peer is None:
        return f"not tried{would}"
    if peer["stopped_by"]:
        return f"stopped at {_gib(peer['peak_bytes'])}{would}"
    return _gib(peer["peak_bytes"])


def _ratio(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def _gib(held: float) -> str:
    return f"{held / GIB:.2f}"


def _of_end(end: dict[str, Any]) -> list[str]:
    peer, names = end["peer"], ("default", "tight", "ours")
    iterations = peer["default_end"] + 1
    if peer["default_ended"]:
        default = f"scikit-learn's end at tol {TOL:g}, {iterations} iterations"
    else:
        default = f"where scikit-learn was when its time ended, {iterations} iterations"
    last = f"tol {TIGHT:g}" if peer["converged"] else f"{end['most_seconds']:.0f} s"
    goals = (
        default,
        f"its end at {last}, {len(peer['at'])} iterations",
        "the end of ours with its defaults",
    )
    ours = end["ours"][0]
    lines = [
        f"To equal likelihood, {end['rows']:,} rows: seconds from the start of the process; a "
        f"likelihood counts as reached {EQUAL:g} nats a row below. One pair of runs.\n",
        "| as likely as | nats a row above the truth's | scikit-learn, s | ours, s | our settings "
        "| ratio |\n|---|---:|---:|---:|---:|---:|",
        *(
            _row_of_end(words, end["goals"][name], peer)
            for words, name in zip(goals, names, strict=True)
        ),
        "",
        f"scikit-learn had read the array after {peer['loaded']:.1f} s and its k-means after "
        f"{peer['start']:.0f}; it held {_gib(peer['peak_bytes'])} GiB, ours "
        f"{_gib(ours['peak_bytes'])} with all processes. Ours read the array {ours['passes']} "
        "times. The likelihoods are by one code; scikit-learn's own word differed from it by "
        f"{peer['own_word_apart']:.1g} nats a row at most.",
    ]
    return [*lines, *(_seconds_of(each) for each in end["ours"])]


def _seconds_of(ours: dict[str, Any]) -> str:
    steps = ", ".join(f"{step} {took:.1f}" for step, took in ours["steps"].items())
    before = ours["seconds"] - sum(ours["steps"].values())
    return (
        f"\nOur {ours['seconds']:.1f} seconds, {ours['settings']}, {ours['passes']} readings: "
        f"{steps}; the interpreter {before:.1f}."
    )


def _row_of_end(words: str, goal: dict[str, Any], peer: dict[str, Any]) -> str:
    never = f"not in {peer['at'][-1]:.0f}" if goal["peer"] is None else f"{goal['peer']:.1f}"
    ours = "not reached" if goal["ours"] is None else f"{goal['ours']:.1f}"
    least = "at least " if goal["peer"] is None else ""
    ratio = "" if goal["ratio"] is None else f"{least}**{_ratio(goal['ratio'])}**"
    above = goal["above_truth"] + EQUAL
    return f"| {words} | {above:+.2g} | {never} | {ours} | {goal['settings'] or ''} | {ratio} |"


def picture(result: dict[str, Any]) -> Figure:
    """Draw seconds and memory by rows, and likelihood by seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    seconds, memory, likelihood = figure.subplots(1, 3)
    if scale := result.get("scale"):
        _draw_scale(seconds, memory, scale)
    if end := result.get("end"):
        _draw_end(likelihood, end)
    return figure


def _draw_scale(seconds: Axes, memory: Axes, scale: dict[str, Any]) -> None:
    for name, label, colour in (("peer", "scikit-learn", PEER), ("ours", "dask-gmm", OURS)):
        done = [each for each in scale["series"] if each[name] and not each[name]["stopped_by"]]
        rows = [each["rows"] for each in done]
        took = [each[name]["seconds"] for each in done]
        seconds.plot(rows, took, "o-", color=colour, label=label)
        held = [each[name]["peak_bytes"] / GIB for each in done]
        memory.plot(rows, held, "o-", color=colour, label=label)
    stopped = [each for each in scale["series"] if not (each["peer"] and each["peer"]["fit"])]
    wanted = [(each["rows"], each["needed_bytes"]) for each in stopped if each["needed_bytes"]]
    memory.plot(
        [rows for rows, _ in wanted],
        [needed / GIB for _, needed in wanted],
        *("x",),
        color=PEER,
        label="would have needed",
    )
    memory.axhline(scale["physical_bytes"] / GIB, color="k", linestyle=":", label="the machine's")
    seconds.set(xscale="log", yscale="log", xlabel="rows")
    seconds.set_ylabel("seconds of the process; iterations as in the table")
    memory.set(xscale="log", yscale="log", xlabel="rows", ylabel="peak memory, GiB")
    for axes in (seconds, memory):
        axes.legend(frameon=False)


def _draw_end(axes: Axes, end: dict[str, Any]) -> None:
    peer, ours = end["peer"], end["ours"][0]
    best = max(*peer["above_truth"], ours["above_truth"]) + EQUAL / 10
    axes.plot(
        peer["at"],
        [best - each for each in peer["above_truth"]],
        *(".-",),
        color=PEER,
        label="scikit-learn, after every iteration",
    )
    at = [each["at"] for each in ours["curve"]]
    below = [best - each["above_truth"] for each in ours["curve"]]
    axes.plot(
        [*at, ours["seconds"]],
        [*below, best - ours["above_truth"]],
        *("o-",),
        color=OURS,
        label="dask-gmm, and the end of its process",
    )
    axes.set(xscale="log", yscale="log", xlabel="seconds from the start of the process")
    axes.set_ylabel(f"nats a row below the best + {EQUAL / 10:g}")
    axes.legend(frameon=False)
