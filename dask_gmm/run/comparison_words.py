"""What ``dask-gmm compare`` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from dask_gmm.run.summary import SummaryConsole, plain, print_line

_ROWS = (
    *("version", "finished", "rows", "n_components", "covariance_type", "n_parameters"),
    *("mean_log_likelihood", "aic", "bic", "icl", "passes", "converged", "seconds"),
)


def print_comparison(compared: Mapping[str, Any]) -> None:
    """Print a comparison of two runs, see :func:`dask_gmm.run.comparing.compare_runs`."""
    console = SummaryConsole()
    first, second = compared["runs"]
    table = Table(title="Runs", title_justify="left")
    table.add_column("")
    for each in (first, second):
        table.add_column(plain(each["run_dir"]), justify="right", overflow="fold")
    for name in _ROWS:
        table.add_row(name.replace("_", " "), *(_number(each[name]) for each in (first, second)))
    console.print(table)
    if not compared["same_input"]:
        print_line(console, "The inputs differ, so that likelihoods and criteria do not compare.")
    _configuration(compared["configuration"], console)
    _classes(compared["classes"], console)
    _labels(compared["labels"], console)


def _configuration(differing: Mapping[str, Any], console: SummaryConsole) -> None:
    for key, (before, after) in differing.items():
        print_line(console, f"{key}: {json.dumps(before)} -> {json.dumps(after)}")
    if not differing:
        print_line(console, "The configurations are the same.")


def _classes(classes: Mapping[str, Any], console: SummaryConsole) -> None:
    if not classes["compared"]:
        print_line(console, f"Classes are not compared: {classes['reason']}.")
        return
    table = Table(title="Classes, matched by how much they overlap", title_justify="left")
    headings = ("first", "second", "overlap", "largest shift of the mean, std", "weight")
    for heading in headings:
        table.add_column(heading, justify="right")
    for each in classes["matched"]:
        if each["second"] is None:
            table.add_row(str(each["first"]), "none", "", "", "")
            continue
        shift = max(each["mean_shift"], key=abs)
        mark = "" if each["same"] else " (hardly the same)"
        table.add_row(
            *(str(each["first"]), str(each["second"]), f"{each['overlap']:.3f}{mark}"),
            *(f"{shift:+.3f}", f"{each['weight_change']:+.2%}"),
        )
    console.print(table)
    if classes["new_in_second"]:
        new = ", ".join(map(str, classes["new_in_second"]))
        print_line(console, f"Only in the second run: class {new}.")


def _labels(labels: Mapping[str, Any], console: SummaryConsole) -> None:
    if not labels["compared"]:
        print_line(console, f"Labels are not compared: {labels['reason']}.")
        return
    agree, index = labels["agree"], labels["adjusted_rand"]
    said = f"Labels: {labels['rows']:,} rows are labelled in both runs"
    if agree is not None:
        said += f", {agree:.3%} of them alike"
    if index is not None:
        said += f"; adjusted Rand index {index:.4f}"
    if labels["masked_in_one"]:
        said += f"; {labels['masked_in_one']:,} rows are masked in one run alone"
    print_line(console, f"{said}.")


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(plain(value or "not recorded"))
