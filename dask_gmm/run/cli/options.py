"""What verbs share: their options, how a command line is shown again, and how results are told."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.shell_completion import CompletionItem

from dask_gmm.run.exits import printing

if TYPE_CHECKING:
    from dask_gmm.run.config import Config
    from dask_gmm.run.job import Outcome

LOG_FORMATS = ("rich", "plain", "json")

#: Puts an option or an argument at a verb.
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

config_argument: Decorator = click.argument("config", type=click.Path(path_type=Path))
run_dir_argument: Decorator = click.argument("run_dir", type=click.Path(path_type=Path))
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)
quiet_option: Decorator = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="Say nothing but warnings and errors: no progress, no result unless as JSON.",
)
log_option: Decorator = click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default="rich",
    show_default=True,
    help="How log lines on stderr look.",
)


def directory_option(what: str) -> Decorator:
    """Return the option ``-C``, which says what is relative to it."""
    return click.option(
        "-C",
        "directory",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"What {what} are relative to.",
    )


def _keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the keys of a configuration that begin so, for the shell's completion."""
    from dask_gmm.run.config import config_schema
    from dask_gmm.run.config.allowed import Allowed

    keys = (".".join(map(str, path)) for path in Allowed(config_schema()).all_keys())
    return [CompletionItem(f"{key}=") for key in keys if key.startswith(incomplete)]


set_option: Decorator = click.option(
    "--set",
    "overrides",
    metavar="KEY.PATH=VALUE",
    multiple=True,
    shell_complete=_keys,
    help="Put a value over the configuration's. May be repeated.",
)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb what all verbs with a configuration share."""
    where = directory_option("relative paths in the configuration")
    for decorate in (quiet_option, json_option, set_option, where, config_argument):
        command = decorate(command)
    return command


def start(log_format: str, *, quiet: bool = False) -> None:
    """Send log lines to stderr."""
    from dask_gmm.run.logs import start_logging

    start_logging(log_format, quiet=quiet)


def loaded(config: Path, directory: Path | None, overrides: tuple[str, ...]) -> Config:
    """Return the configuration that a command line names."""
    from dask_gmm.run.config import load_config

    return load_config(config, directory=directory, overrides=overrides)


def tell(
    result: Callable[[], Any], words: Callable[[], Any], *, as_json: bool, quiet: bool = False
) -> None:
    """Print a result: as JSON, or in words, or not at all."""
    with printing():
        if as_json:
            click.echo(json.dumps(result(), allow_nan=False))
        elif not quiet:
            words()


def tell_outcome(outcome: Outcome, *, as_json: bool, quiet: bool) -> None:
    """Print the summary of a run."""
    from dask_gmm.run.summary import SummaryConsole, print_summary, summary_json

    tell(
        lambda: summary_json(outcome),
        lambda: print_summary(outcome, SummaryConsole()),
        as_json=as_json,
        quiet=quiet,
    )


def shown_command(
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


_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?")


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of 5400, 90m or 1h30m."""
    if value is None:
        return None
    found = _DURATION.fullmatch(value.strip())
    parts = zip(found.groups(), (86_400, 3600, 60, 1), strict=True) if found else ()
    total = float(sum(int(n) * unit for n, unit in parts if n))
    if not total:
        raise click.BadParameter(f"{value!r} is no time above 0, such as 5400, 90m or 1h30m")
    return total
