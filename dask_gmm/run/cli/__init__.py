"""The command ``dask-gmm``: a verb per stage of a run's life, imported when it is met."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import Any

import rich_click as click

from dask_gmm import __version__
from dask_gmm.errors import RunFailedError
from dask_gmm.run.exits import exit_code

#: Modules of this room, each with its verbs, in the order in which help shows them.
GROUPS = MappingProxyType(
    {
        "before": ("init", "validate", "plan", "ingest", "schema", "doctor"),
        "work": ("run", "fit", "predict", "select", "demo"),
        "after": ("info", "verify", "report", "export", "compare"),
    }
)


class Verbs(click.RichGroup):
    """The verbs, whose failures all reach :func:`dask_gmm.run.exits.exit_code`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs."""
        return [verb for verbs in GROUPS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, imported; None where there is none of that name."""
        for module, verbs in GROUPS.items():
            if cmd_name in verbs:
                found: click.Command = getattr(import_module(f"{__name__}.{module}"), cmd_name)
                return found
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out a verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Whatever broke, it was not stdout; click would end without a word.
            raise RunFailedError(
                f"a connection was closed ({error.strerror}); start the same command again"
            ) from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.command_panel("Before a run", commands=list(GROUPS["before"]))
@click.command_panel("Work", commands=list(GROUPS["work"]))
@click.command_panel("After a run", commands=list(GROUPS["after"]))
@click.version_option(__version__, prog_name="dask-gmm")
def cli() -> None:
    """Gaussian mixture clustering for data that does not fit in memory."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command with ``arguments``, by default the process's, and return its exit code."""
    return exit_code(lambda: cli.main(arguments, prog_name="dask-gmm", standalone_mode=False))
