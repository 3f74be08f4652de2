"""The command ``dask-gmm``: one verb per stage of a run's life; heavy imports stay lazy."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from dask_gmm import __version__
from dask_gmm.errors import DaskGmmError, NotConvergedError

if TYPE_CHECKING:
    from rich.console import Console

    from dask_gmm.run.config import Config

LOG_FORMATS = ("rich", "plain", "json")


class _Terminated(BaseException):
    """SIGTERM arrived."""


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dask-gmm")
def cli() -> None:
    """Gaussian mixture clustering for data that does not fit in memory."""


@cli.command()
@_common
@_log_option
@click.option("--require-convergence", is_flag=True, help="Exit with 4 if EM did not converge.")
def run(
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    log_format: str,
    require_convergence: bool,
) -> None:
    """Carry out CONFIG: fit the mixture, write the outputs, the model and the report."""
    from dask_gmm.run.logs import start_logging

    start_logging(log_format)
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.job import run_configured
    from dask_gmm.run.summary import print_summary, summary_json

    outcome = run_configured(loaded)
    if as_json:
        click.echo(json.dumps(summary_json(outcome)))
    else:
        print_summary(outcome, _console())
    fit = outcome.manifest["fit"]
    if require_convergence and not fit["converged"]:
        raise NotConvergedError(
            f"EM did not converge: {fit['stopped_by']}; raise model.max_iter, or loosen model.tol"
        )


@cli.command()
@_common
def validate(
    config: Path, directory: Path | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Check CONFIG and the metadata of its input; read no data."""
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.job import plan_configured

    source, _ = plan_configured(loaded)
    if as_json:
        click.echo(json.dumps({"valid": True, "configuration": loaded.redacted()}))
    else:
        rows, D = source.grid.n_rows_total, source.n_features
        click.echo(f"{config}: valid; the input has {rows:,} rows in {D} features")


@cli.command()
@_common
def plan(config: Path, directory: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what CONFIG will read and hold, and refuse what would not fit; read no data."""
    loaded = _loaded(config, directory, overrides)
    from dask_gmm.run.job import plan_configured
    from dask_gmm.run.summary import print_plan

    _, planned = plan_configured(loaded)
    if as_json:
        click.echo(json.dumps(planned.to_json()))
    else:
        print_plan(planned, _console())
    planned.require_fit(loaded)


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
    click.echo(f"{array}: {shape} {manifest.dtype}, {manifest.n_cells} chunks")


def _loaded(config: Path, directory: Path | None, overrides: tuple[str, ...]) -> Config:
    from dask_gmm.run.config import load_config

    return load_config(config, directory=directory, overrides=overrides)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def _on_sigterm(number: int, frame: Any) -> None:
    raise _Terminated


def _with_exit_codes(command: Callable[[], Any]) -> Callable[[], int]:
    """Turn every way a command can end into the contract's exit code and one message."""

    @wraps(command)
    def ended() -> int:
        signal.signal(signal.SIGTERM, _on_sigterm)
        try:
            command()
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except DaskGmmError as error:
            click.echo(f"error: {error}", err=True)
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; start the same command again", err=True)
            return 130
        except _Terminated:
            click.echo("terminated; start the same command again", err=True)
            return 143
        except BrokenPipeError:
            # The reader of our summary has gone: nothing is left to be said.
            sys.stdout = None
            return 0
        except Exception as error:
            return _unexpected(error)
        return 0

    return ended


def _unexpected(error: Exception) -> int:
    """Say what was not foreseen, and where the details are."""
    import tempfile
    import traceback

    from dask_gmm.run.failures import explained

    foreseen = explained(error)
    if foreseen is not None:
        click.echo(f"error: {foreseen}", err=True)
        return foreseen.exit_code
    with tempfile.NamedTemporaryFile(
        "w", prefix="dask-gmm-", suffix=".traceback", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    click.echo(
        f"error: {type(error).__name__}: {error} (this was not foreseen and is a fault of "
        f"dask-gmm; please report it with {file.name})",
        err=True,
    )
    return 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command with ``arguments``, by default the process's, and return its exit code."""

    def command() -> None:
        cli.main(arguments, prog_name="dask-gmm", standalone_mode=False)

    return _with_exit_codes(command)()
