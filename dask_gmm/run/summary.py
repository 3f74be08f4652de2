"""What the command prints when it is done: where things are, what the classes are, what it took."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from dask_gmm.run.logs import printable

if TYPE_CHECKING:
    from dask_gmm.run.job import Outcome
    from dask_gmm.run.plan import RunPlan
    from dask_gmm.run.trial import Trial

#: Features shown of a class; the report and ``model.json`` have them all.
_SHOWN = 6


class SummaryConsole(Console):
    """Standard output, 120 columns wide where it is no terminal."""

    def __init__(self) -> None:
        super().__init__(width=None if sys.stdout.isatty() else 120)

    def on_broken_pipe(self) -> None:
        """Let the command decide what it means that the reader has gone; rich would exit with 1."""
        raise BrokenPipeError


def summary_json(outcome: Outcome) -> dict[str, Any]:
    """Return the summary as JSON values: the manifest, where it is, and whether work was done."""
    return {"run_dir": str(outcome.run_dir), "skipped": outcome.skipped, **outcome.manifest}


def print_summary(outcome: Outcome, console: Console) -> None:
    """Print the summary of a run."""
    manifest = outcome.manifest
    rows, fit, model = manifest["rows"], manifest["fit"], manifest["model"]
    done = "finished earlier: nothing was done" if outcome.skipped else "finished"
    state = "converged" if fit["converged"] else "NOT converged"
    lines = [
        f"{manifest['name']}: {done}",
        f"{rows['used']:,} of {rows['total']:,} rows in {model['n_features']} features, "
        f"{model['n_components']} {model['covariance_type']} components, "
        f"{fit['passes']['total']} readings of the data",
        fit["stopped_by"] if manifest.get("applied") else f"{state}: {fit['stopped_by']}",
    ]
    counted = fit.get("compression") or {}  # an earlier version's manifest has none
    if counted.get("used"):
        lines.insert(
            2, f"EM ran on {counted['distinct_rows']:,} distinct rows, each with its count"
        )
    if field := manifest.get("smoothing"):
        share = "" if field["share"] is None else f" ({field['share']:.2%})"
        lines.append(
            f"{field['iterations']} iterations among {field['neighbourhood']} neighbours, strength "
            f"{field['strength']:g}: the class of {field['changed']:,} pixels{share} has changed"
        )
    for line in lines:
        print_line(console, line)
    _print_classes(manifest, console)
    console.print(_steps(manifest, "Steps of that run" if outcome.skipped else "Steps"))
    if manifest.get("selection"):
        print_selection({**manifest["selection"], "passes": fit["passes"]["total"]}, console)
    for warning in manifest["warnings"]:
        print_line(console, f"warning: {warning}", style="yellow")
    files = ["report.html", "model.json", *(each["path"] for each in manifest["outputs"].values())]
    for name in files:
        print_line(console, str(outcome.run_dir / name))


def print_plan(plan: RunPlan, console: Console, trial: Trial | None = None) -> None:
    """Print what a run will read and hold, and how long it may take, if a leaf was tried."""
    table = Table(title="Plan", title_justify="left", show_header=False)
    table.add_column("what", overflow="fold")
    table.add_column("value", justify="right", overflow="fold")
    for name, value in plan.to_json().items():
        table.add_row(Text(name.replace("_", " ")), _shown(value, name))
    console.print(table)
    if trial is not None:
        print_line(console, f"time: {trial.sentence()}")
    for warning in plan.warnings():
        print_line(console, f"warning: {warning}", style="yellow")


def print_selection(compared: dict[str, Any], console: Console) -> None:
    """Print how candidates compare, and which is chosen."""
    table = Table(title=f"Candidates, chosen by {compared['criterion']}", title_justify="left")
    for heading in ("components", "covariance", "BIC", "AIC", "ICL", "held-out", ""):
        table.add_column(heading, justify="right" if heading != "covariance" else "left")
    for each in compared["candidates"]:
        outside = each["heldout"]
        table.add_row(
            str(each["n_components"]),
            each["covariance_type"],
            *(f"{each[name]:,.1f}" for name in ("bic", "aic", "icl")),
            "" if outside is None else f"{outside:.6f}",
            "chosen" if each["chosen"] else "",
        )
    console.print(table)
    for remark in compared["remarks"]:
        print_line(console, f"remark: {remark}", style="yellow")
    print_line(console, f"{compared['passes']} readings of the data")


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is: no markup in it, not wrapped, nothing for a terminal to obey."""
    console.print(plain(text, style), soft_wrap=True)


def plain(value: Any, style: str = "") -> Text:
    """Return a value as it is: no markup in it, nothing for a terminal to obey."""
    return Text(printable(str(value)), style=style)


def _shown(value: Any, name: str) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if value is None:
        return Text("no limit" if name.endswith("limit") else "none")
    if isinstance(value, int):
        if name.endswith(("bytes", "limit", "pass")):
            return Text(f"{value / 2**20:,.1f} MiB")
        return Text(f"{value:,}")
    return plain(value)


def _print_classes(manifest: dict[str, Any], console: Console) -> None:
    """Print the classes: as a table where it fits, else a line each."""
    D = manifest["model"]["n_features"]
    names = (manifest["feature_names"] or [f"feature {i + 1}" for i in range(D)])[:_SHOWN]
    title = "Classes: weight, mean ± standard deviation"
    if D > _SHOWN:
        title += f" of the first {_SHOWN} of {D} features"
    table = Table(title=title, title_justify="left")
    read = manifest["inputs"][0]
    pictured = read["dtype"].endswith("u1") and D == 3 and read["kind"] != "parquet"
    for heading in ("label", "weight", "rows", *names):
        table.add_column(plain(heading), justify="right", no_wrap=True)
    if pictured:
        table.add_column("colour", no_wrap=True)
    lines = []
    for each in manifest["classes"]:
        label = f"{each['label']}{' (at its floor)' if each['at_floor'] else ''}"
        pairs = zip(each["mean"], each["std"], strict=True)
        cells = [f"{mean:.4g} ± {std:.3g}" for mean, std in pairs][:_SHOWN]
        counted = (label, f"{each['weight']:.2%}", f"{each['rows']:,}")
        patches = [_patch(each["mean"])] if pictured else []
        table.add_row(*counted, *cells, *patches)
        spread = ", ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
        lines.append(f"class {label}: {counted[1]}, {counted[2]} rows; {spread}")
    endless = console.options.update(width=10_000)
    if Measurement.get(console, endless, table).maximum <= console.width:
        console.print(table)
    else:
        for line in lines:
            print_line(console, line)


def _patch(mean: list[float]) -> Text:
    color = "#" + "".join(f"{min(max(round(v), 0), 255):02x}" for v in mean)
    return Text.assemble(("      ", f"on {color}"), f" {color}")


def _steps(manifest: dict[str, Any], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for each in manifest["timings"]:
        table.add_row(each["step"], f"{each['seconds']:.2f}")
    table.add_row("all", f"{sum(each['seconds'] for each in manifest['timings']):.2f}")
    return table
