"""What the command prints when it is done: where things are, what the classes are, what it took."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from dask_gmm.run.job import Outcome
from dask_gmm.run.plan import RunPlan

#: Features shown of a class; the report and ``model.json`` have them all.
_SHOWN = 6


def summary_json(outcome: Outcome) -> dict[str, Any]:
    """Return the summary as JSON values: the manifest, where it is, and whether work was done."""
    return {"run_dir": str(outcome.run_dir), "skipped": outcome.skipped, **outcome.manifest}


def print_summary(outcome: Outcome, console: Console) -> None:
    """Print the summary of a run."""
    manifest = outcome.manifest
    rows, fit, model = manifest["rows"], manifest["fit"], manifest["model"]
    done = "finished earlier, unchanged: nothing was done" if outcome.skipped else "finished"
    console.print(f"[bold]{manifest['name']}[/bold]: {done}", highlight=False)
    console.print(
        f"{rows['used']:,} of {rows['total']:,} rows in {model['n_features']} features, "
        f"{model['n_components']} {model['covariance_type']} components, "
        f"{fit['passes']['total']} readings of the data",
        highlight=False,
    )
    state = "converged" if fit["converged"] else "NOT converged"
    console.print(f"{state}: {fit['stopped_by']}", highlight=False, soft_wrap=True)
    console.print(_classes(manifest))
    console.print(_steps(manifest))
    for warning in manifest["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {warning}", highlight=False)
    files = ["report.html", "model.json", *(each["path"] for each in manifest["outputs"].values())]
    for name in files:
        console.print(f"{outcome.run_dir / name}", highlight=False, soft_wrap=True)


def _classes(manifest: dict[str, Any]) -> Table:
    D = manifest["model"]["n_features"]
    names = manifest["feature_names"] or [f"feature {i}" for i in range(D)]
    table = Table(title="Classes: weight, mean ± standard deviation", title_justify="left")
    table.add_column("label", justify="right")
    table.add_column("weight", justify="right")
    table.add_column("rows", justify="right")
    for name in names[:_SHOWN]:
        table.add_column(str(name), justify="right")
    pictured = manifest["inputs"][0]["dtype"].endswith("u1") and D == 3
    if pictured:
        table.add_column("colour")
    for each in manifest["classes"]:
        pairs = list(zip(each["mean"], each["std"], strict=True))[:_SHOWN]
        cells = [f"{mean:.4g} ± {std:.3g}" for mean, std in pairs]
        if pictured:
            color = "#" + "".join(f"{min(max(round(v), 0), 255):02x}" for v in each["mean"])
            cells.append(f"[on {color}]      [/] {color}")
        label = f"{each['label']}{' (at its floor)' if each['at_floor'] else ''}"
        table.add_row(label, f"{each['weight']:.2%}", f"{each['rows']:,}", *cells)
    return table


def _steps(manifest: dict[str, Any]) -> Table:
    table = Table(title="Steps", title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for each in manifest["timings"]:
        table.add_row(each["step"], f"{each['seconds']:.2f}")
    table.add_row("all", f"{sum(each['seconds'] for each in manifest['timings']):.2f}")
    return table


def print_plan(plan: RunPlan, console: Console) -> None:
    """Print what a run will read and hold."""
    numbers = plan.to_json()
    table = Table(title="Plan", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right", overflow="fold")
    for name, value in numbers.items():
        words = name.replace("_", " ")
        if value is not None and name.endswith(("bytes", "limit", "pass")):
            value = f"{value / 2**20:,.1f} MiB"
        table.add_row(words, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)
