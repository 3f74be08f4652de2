"""Verbs after a run: info, verify, report, export, compare."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from dask_gmm.run.cli.options import (
    directory_option,
    json_option,
    log_option,
    quiet_option,
    run_dir_argument,
    start,
    tell,
)


@click.command()
@run_dir_argument
@quiet_option
@json_option
@log_option
def info(run_dir: Path, as_json: bool, quiet: bool, log_format: str) -> None:
    """Say how far the run in RUN_DIR is, and how it goes on."""
    from dask_gmm.run.state import state_of

    start(log_format, quiet=quiet)
    state = state_of(run_dir)
    tell(state.to_json, lambda: click.echo(state.sentence()), as_json=as_json, quiet=quiet)


@click.command()
@run_dir_argument
@quiet_option
@json_option
@directory_option("a relative path of the input")
@log_option
def verify(
    run_dir: Path, directory: Path | None, as_json: bool, quiet: bool, log_format: str
) -> None:
    """Check the finished run in RUN_DIR: its files, its outputs, and that its input is the same."""
    from dask_gmm.run.verify import verify_run

    start(log_format, quiet=quiet)
    checked = verify_run(run_dir, directory)

    def words() -> None:
        for each in checked:  # a line for each as it is found
            click.echo(each)

    if quiet and not as_json:
        list(checked)
        return
    tell(lambda: {"unchanged": list(checked)}, words, as_json=as_json)


@click.command()
@run_dir_argument
@quiet_option
@json_option
@log_option
def report(run_dir: Path, as_json: bool, quiet: bool, log_format: str) -> None:
    """Draw the report of the finished run in RUN_DIR again, as this version draws it."""
    start(log_format, quiet=quiet)
    from dask_gmm.run.report import redraw

    page = redraw(run_dir)
    tell(lambda: {"report": str(page)}, lambda: click.echo(str(page)), as_json=as_json, quiet=quiet)


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="RUN_DIR|MODEL")
@click.argument("target", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "npz", "csv")),
    help="The form; by default FILE's suffix says it.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
@quiet_option
def export(model: Path, target: Path, form: str | None, overwrite: bool, quiet: bool) -> None:
    """Write the mixture of a run or a model's file for other programs into FILE (-: stdout).

    json: weights, means and covariances in original units, and what is known of the fit. npz: the
    arrays under scikit-learn's names, for numpy.load; nothing in it is pickled. csv: the table of
    classes, with the rows of each where a run has counted them.
    """
    from dask_gmm.run.exporting import export_model

    said = export_model(model, target, form, overwrite=overwrite)
    tell(lambda: None, lambda: click.echo(said, nl=False), as_json=False, quiet=quiet)


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.argument("second", type=click.Path(path_type=Path), metavar="RUN_DIR")
@quiet_option
@json_option
@log_option
def compare(first: Path, second: Path, as_json: bool, quiet: bool, log_format: str) -> None:
    """Compare two finished runs: configurations, likelihoods, classes, and where labels agree.

    Classes are matched by how much their densities overlap. Labels are compared where both runs
    have written them for the same rows, block by block.
    """
    start(log_format, quiet=quiet)
    from dask_gmm.run.comparing import compare_runs
    from dask_gmm.run.comparison_words import print_comparison

    compared = compare_runs(first, second)
    tell(lambda: compared, lambda: print_comparison(compared), as_json=as_json, quiet=quiet)
