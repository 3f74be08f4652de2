"""The command ``dask-gmm``: one verb per stage of a run's life; heavy imports stay lazy."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from dask_gmm import __version__
from dask_gmm.errors import NotConvergedError, RunFailedError
from dask_gmm.run.exits import end_after, exit_code, printing

if TYPE_CHECKING:
    from dask_gmm.run.config import Config

LOG_FORMATS = ("rich", "plain", "json")


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the arguments that all verbs with a configuration share."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
        click.option(
            "--set",
            "overrides",
            metavar="KEY.PATH=VALUE",
            multiple=True,
            help="Put a value over the configuration's. May be repeated.",
        ),
        click.option(
            "-C",
            "directory",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="What relative paths in the configuration are relative to.",
        ),
        click.argument("config", type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command


def _log_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--log-format",
        type=click.Choice(LOG_FORMATS),
        default="rich",
        show_default=True,
        help="How log lines on stderr look.",
    )(command)


class _Verbs(click.RichGroup):
    """The verbs, whose failures all reach :func:`dask_gmm.run.exits.exit_code`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out a verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Whatever broke, it was not stdout; click would end without a word.
            raise RunFailedError(f"a connection was closed ({error.strerror})") from error


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dask-gmm")
def cli() -> None:
    """Gaussian mixture clustering for data that does not fit in memory."""


_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?")


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of 5400, 90m or 1h30m."""
    if value is None:
        return None
    found = _DURATION.fullmatch(value.strip())
    parts = zip(found.groups(), (86_400, 3600, 60, 1), strict=True) if found else ()
    seconds = float(sum(int(n) * unit for n, unit in parts if n))
    if not seconds:
        raise click.BadParameter(f"{value!r} is no time above 0, such as 5400, 90m or 1h30m")
    return seconds


@cli.command()
@_common
@_log_option
@click.option("--require-convergence", is_flag=True, help="Exit with 4 if EM did not converge.")
@click.option(
    "--max-runtime",
    callback=_seconds,
    metavar="SECONDS|1h30m",
    help="End after this time, with 75 and what is finished kept; start again to go on.",
)
def run(
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    log_format: str,
    require_convergence: bool,
    max_runtime: float | None,
) -> None:
    """Carry out CONFIG: fit the mixture, write the outputs, the model and the report."""
    from dask_gmm.run.logs import start_logging

    start_logging(log_format)
    if max_runtime is not None:
        end_after(max_runtime)
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.job import run_configured
    from dask_gmm.run.summary import SummaryConsole, print_summary, summary_json

    outcome = run_configured(loaded, _command("run", (str(config),), directory, overrides))
    with printing():
        if as_json:
            click.echo(json.dumps(summary_json(outcome)))
        else:
            print_summary(outcome, SummaryConsole())
    outcome.require_every_input()
    fit = outcome.manifest["fit"]
    if require_convergence and not fit["converged"]:
        raise NotConvergedError(
            f"EM did not converge: {fit['stopped_by']}; raise model.max_iter, or loosen model.tol"
        )


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option(
    "--set",
    "overrides",
    metavar="KEY.PATH=VALUE",
    multiple=True,
    help="Put a value over the configuration's. May be repeated.",
)
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What MODEL, inputs and relative paths in the configuration are relative to.",
)
@click.option("--run-dir", metavar="DIR", help="Where results go; needed with inputs.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="CONFIG|INPUT...")
@_log_option
def predict(
    model: Path,
    inputs: tuple[str, ...],
    run_dir: str | None,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    log_format: str,
) -> None:
    """Apply MODEL, a run directory or a model's file, to what CONFIG reads; fit nothing.

    In the place of CONFIG (.yaml) inputs may stand: paths, globs, URLs, which are read as the run
    in MODEL has read its own, and give the same outputs. An input of many that fails is named, and
    the others finish.
    """
    from dask_gmm.run.logs import start_logging

    start_logging(log_format)
    from dask_gmm.run.predicting import predict_configured
    from dask_gmm.run.summary import SummaryConsole, print_summary, summary_json

    shown = _command("predict", (str(model), *inputs), directory, overrides)
    outcome = predict_configured(
        model,
        inputs,
        run_dir=run_dir,
        directory=directory,
        overrides=overrides,
        command=shown if run_dir is None else f"{shown} {shlex.join(['--run-dir', run_dir])}",
    )
    with printing():
        if as_json:
            click.echo(json.dumps(summary_json(outcome)))
        else:
            print_summary(outcome, SummaryConsole())
    outcome.require_every_input()


@cli.command()
@_common
def validate(
    config: Path, directory: Path | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Check CONFIG and the metadata of its input; read no data."""
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.job import plan_configured

    found = plan_configured(loaded).plan
    with printing():
        if as_json:
            said = {"valid": True, "configuration": loaded.redacted(), "warnings": found.warnings()}
            click.echo(json.dumps(said))
            return
        rows, D = found.n_rows, found.n_features
        click.echo(f"{config}: valid; the input has {rows:,} rows in {D} features")
        for warning in found.warnings():
            click.echo(f"warning: {warning}")


@cli.command()
@_common
def plan(config: Path, directory: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what CONFIG will read and hold, and refuse what would not fit; read no data."""
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.job import plan_configured
    from dask_gmm.run.summary import SummaryConsole, print_plan

    planned = plan_configured(loaded).plan
    with printing():
        if as_json:
            click.echo(json.dumps(planned.to_json()))
        else:
            print_plan(planned, SummaryConsole())
    planned.require_fit()


@cli.command()
@_common
@_log_option
def select(
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    log_format: str,
) -> None:
    """Fit all candidates that CONFIG names and say which is the best; write nothing."""
    from dask_gmm.run.logs import settings, start_logging

    start_logging(log_format)
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.choosing import select_configured
    from dask_gmm.run.summary import SummaryConsole, print_selection

    compared = select_configured(loaded, settings())
    with printing():
        if as_json:
            click.echo(json.dumps(compared))
        else:
            print_selection(compared, SummaryConsole())


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=".",
    help="Where picture, configuration and result go.",
)
@_log_option
def demo(directory: Path, as_json: bool, log_format: str) -> None:
    """Segment NASA's Blue Marble, 14.6 million pixels; leaves blue-marble.yaml to go on from."""
    from dask_gmm.run.logs import start_logging

    start_logging(log_format)
    from dask_gmm.run.demo import CONFIG, bring_demo
    from dask_gmm.run.job import run_configured
    from dask_gmm.run.summary import SummaryConsole, print_summary, summary_json

    loaded = _loaded(bring_demo(directory), directory, ())
    outcome = run_configured(loaded, _command("run", (CONFIG,), directory, ()))
    with printing():
        if as_json:
            click.echo(json.dumps(summary_json(outcome)))
        else:
            print_summary(outcome, SummaryConsole())


@cli.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("array", type=click.Path(path_type=Path))
@click.option(
    "--chunk",
    nargs=2,
    type=click.IntRange(min=1),
    default=(512, 1024),
    show_default=True,
    metavar="ROWS COLUMNS",
    help="Pixels of a chunk.",
)
@click.option("--overwrite", is_flag=True, help="Replace an array that ingest has made.")
@_log_option
def ingest(
    image: Path, array: Path, chunk: tuple[int, int], overwrite: bool, log_format: str
) -> None:
    """Bring IMAGE (PNG, JPEG, TIFF) into the chunked Zarr array ARRAY."""
    from dask_gmm.data.ingest import ingest_image
    from dask_gmm.run.logs import start_logging

    start_logging(log_format)
    manifest = ingest_image(image, array, chunk=chunk, overwrite=overwrite)
    shape = " x ".join(map(str, manifest.shape))
    with printing():
        click.echo(f"{array}: {shape} {manifest.dtype}, {manifest.n_cells} chunks")


@cli.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@_log_option
def info(run_dir: Path, as_json: bool, log_format: str) -> None:
    """Say how far the run in RUN_DIR is, and how it goes on."""
    from dask_gmm.run.logs import start_logging
    from dask_gmm.run.state import state_of

    start_logging(log_format)
    state = state_of(run_dir)
    with printing():
        click.echo(json.dumps(state.to_json()) if as_json else state.sentence())


@cli.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What a relative path of the input is relative to.",
)
@_log_option
def verify(run_dir: Path, directory: Path | None, log_format: str) -> None:
    """Check the finished run in RUN_DIR: its files, its outputs, and that its input is the same."""
    from dask_gmm.run.logs import start_logging
    from dask_gmm.run.verify import verify_run

    start_logging(log_format)
    checked = verify_run(run_dir, directory)
    with printing():
        for line in checked:
            click.echo(line)


def _command(
    verb: str, arguments: tuple[str, ...], directory: Path | None, overrides: tuple[str, ...]
) -> str:
    """Return the command line as it may be shown and stored."""
    shown = ["dask-gmm", verb, *arguments]
    if directory is not None:
        shown += ["-C", str(directory)]
    for text in overrides:
        key, _, _ = text.partition("=")
        secret = key.strip().startswith("source.storage_options")
        shown.append(f"--set={key}=***" if secret else f"--set={text}")
    return shlex.join(shown)


def _loaded(config: Path, directory: Path | None, overrides: tuple[str, ...]) -> Config:
    from dask_gmm.run.config import load_config

    return load_config(config, directory=directory, overrides=overrides)


def main(arguments: list[str] | None = None) -> int:
    """Run the command with ``arguments``, by default the process's, and return its exit code."""
    return exit_code(lambda: cli.main(arguments, prog_name="dask-gmm", standalone_mode=False))
