"""Verbs that read the data: run, fit, predict, select, demo."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from dask_gmm.errors import NotConvergedError
from dask_gmm.run.cli.options import (
    configured,
    directory_option,
    json_option,
    loaded,
    log_option,
    quiet_option,
    seconds,
    set_option,
    shown_command,
    start,
    tell,
    tell_outcome,
)
from dask_gmm.run.exits import end_after

_runtime_option = click.option(
    "--max-runtime",
    callback=seconds,
    metavar="SECONDS|1h30m",
    help="End after this time, with 75 and what is finished kept; start again to go on.",
)
_convergence_option = click.option(
    "--require-convergence", is_flag=True, help="Exit with 4 if EM did not converge."
)


def _fitting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb what those share that fit a configuration's mixture."""
    for decorate in (_runtime_option, _convergence_option, log_option, configured):
        command = decorate(command)
    return command


@click.command()
@_fitting
def run(**options: Any) -> None:
    """Carry out CONFIG: fit the mixture, write the outputs, the model and the report."""
    _fitted("run", **options)


@click.command()
@_fitting
def fit(**options: Any) -> None:
    """Fit the mixture of CONFIG: model and report, but none of the outputs that it names.

    The last reading counts the classes and draws the report. `predict RUN_DIR CONFIG` applies the
    model later, to the same data or others; give it a directory of its own by --run-dir.
    """
    _fitted("fit", more=("outputs={}",), **options)


@click.command()
@quiet_option
@json_option
@set_option
@directory_option("MODEL, inputs and relative paths in the configuration")
@click.option("--run-dir", metavar="DIR", help="Where results go; needed with inputs.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="CONFIG|INPUT...")
@log_option
def predict(
    model: Path,
    inputs: tuple[str, ...],
    run_dir: str | None,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    log_format: str,
) -> None:
    """Apply MODEL, a run directory or a model's file, to what CONFIG reads; fit nothing.

    In the place of CONFIG (.yaml) inputs may stand: paths, globs, URLs, which are read as the run
    in MODEL has read its own, and give the same outputs. An input of many that fails is named, and
    the others finish.
    """
    start(log_format, quiet=quiet)
    from dask_gmm.run.predicting import predict_configured
    from dask_gmm.run.showing import command_progress

    shown = shown_command("predict", (str(model), *inputs), directory, overrides)
    with command_progress(quiet=quiet) as progress:
        outcome = predict_configured(
            model,
            inputs,
            run_dir=run_dir,
            directory=directory,
            overrides=overrides,
            command=shown if run_dir is None else f"{shown} {shlex.join(['--run-dir', run_dir])}",
            progress=progress,
        )
    tell_outcome(outcome, as_json=as_json, quiet=quiet)
    outcome.require_every_input()


@click.command()
@configured
@log_option
def select(
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    log_format: str,
) -> None:
    """Fit all candidates that CONFIG names and say which is the best; write nothing."""
    from dask_gmm.run.logs import settings

    start(log_format, quiet=quiet)
    configuration = loaded(config, directory, overrides)
    from dask_gmm.run.choosing import select_configured
    from dask_gmm.run.showing import command_progress
    from dask_gmm.run.summary import SummaryConsole, print_selection

    with command_progress(quiet=quiet) as progress:
        compared = select_configured(configuration, settings(), progress)
    tell(
        lambda: compared,
        lambda: print_selection(compared, SummaryConsole()),
        as_json=as_json,
        quiet=quiet,
    )


@click.command()
@quiet_option
@json_option
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=".",
    help="Where picture, configuration and result go.",
)
@log_option
def demo(directory: Path, as_json: bool, quiet: bool, log_format: str) -> None:
    """Segment NASA's Blue Marble, 14.6 million pixels; leaves blue-marble.yaml to go on from."""
    start(log_format, quiet=quiet)
    from dask_gmm.run.demo import bring_demo

    config = bring_demo(directory)
    _carry_out("run", config, directory, (), (), as_json, quiet, shown=Path(config.name))


def _fitted(
    verb: str,
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    log_format: str,
    require_convergence: bool,
    max_runtime: float | None,
    more: tuple[str, ...] = (),
) -> None:
    start(log_format, quiet=quiet)
    if max_runtime is not None:
        end_after(max_runtime)
    _carry_out(
        verb, config, directory, overrides, more, as_json, quiet, converged=require_convergence
    )


def _carry_out(
    verb: str,
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    more: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    *,
    converged: bool = False,
    shown: Path | None = None,
) -> None:
    """Run a configuration, with ``more`` put over it, and print what has come of it."""
    configuration = loaded(config, directory, (*overrides, *more))
    from dask_gmm.run.job import run_configured
    from dask_gmm.run.showing import command_progress

    said = shown_command(verb, (str(shown or config),), directory, overrides)
    with command_progress(quiet=quiet) as progress:
        outcome = run_configured(configuration, said, progress=progress)
    tell_outcome(outcome, as_json=as_json, quiet=quiet)
    outcome.require_every_input()
    fitted = outcome.manifest["fit"]
    if converged and not fitted["converged"]:
        raise NotConvergedError(
            f"EM did not converge: {fitted['stopped_by']}; raise model.max_iter, or loosen "
            "model.tol"
        )
