"""Verbs before a run: init, validate, plan, ingest, schema, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click

from dask_gmm.errors import RunFailedError
from dask_gmm.run.cli.options import (
    configured,
    directory_option,
    json_option,
    loaded,
    log_option,
    quiet_option,
    set_option,
    start,
    tell,
)
from dask_gmm.run.exits import printing


@click.command()
@quiet_option
@click.option(
    "--from",
    "data",
    metavar="DATA",
    help="What is to be read: a path, glob or URL. It is looked at, and nothing is asked.",
)
@click.option("--kind", help="The format of DATA; by default told by its name and content.")
@click.option(
    "--variable", metavar="NAME", help="The array in a group, or the variable of a NetCDF file."
)
@directory_option("DATA and the paths in CONFIG")
@click.argument("config", type=click.Path(path_type=Path), default="job.yaml")
def init(
    config: Path,
    data: str | None,
    kind: str | None,
    variable: str | None,
    directory: Path | None,
    quiet: bool,
) -> None:
    """Write CONFIG (job.yaml), a configuration with comments, for your own data.

    With --from its values come from a look at DATA: format, features, no data, masks beside it, how
    many classes to try, what a worker may hold. On a terminal it asks. Nothing is overwritten. An
    editor that knows YAML schemas completes and checks the file by dask-gmm.schema.json beside it.
    """
    from dask_gmm.run.starting import asked, begin, require_absent

    require_absent(config)
    answers = asked() if data is None else {"path": data}
    given = {"kind": kind, "variable": variable}
    answers |= {name: value for name, value in given.items() if value is not None}
    begun = begin(directory, config, answers)
    tell(lambda: None, lambda: click.echo(begun.sentence()), as_json=False, quiet=quiet)


@click.command()
@configured
def validate(
    config: Path, directory: Path | None, overrides: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Check CONFIG and the metadata of its input; read no data."""
    configuration = loaded(config, directory, overrides)
    from dask_gmm.run.job import plan_configured

    found = plan_configured(configuration).plan

    def words() -> None:
        rows, D = found.n_rows, found.n_features
        click.echo(f"{config}: valid; the input has {rows:,} rows in {D} features")
        for warning in found.warnings():
            click.echo(f"warning: {warning}")

    tell(
        lambda: {
            "valid": True,
            "configuration": configuration.redacted(),
            "warnings": found.warnings(),
        },
        words,
        as_json=as_json,
        quiet=quiet,
    )


@click.command()
@configured
@click.option(
    "--trial",
    is_flag=True,
    help="Read and work on one leaf here, to say how long the run may take.",
)
def plan(
    config: Path,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    trial: bool,
) -> None:
    """Say what CONFIG will read and hold, and refuse what would not fit; read no data.

    With --trial one leaf is read and worked on, in this process, and the time that the run may take
    is worked out from that.
    """
    configuration = loaded(config, directory, overrides)
    from dask_gmm.run.job import plan_configured
    from dask_gmm.run.summary import SummaryConsole, print_plan

    job = plan_configured(configuration)
    told: dict[str, Any] = job.plan.to_json()
    estimate = None
    if trial and job.plan.fits:
        from dask_gmm.run.trial import try_one_leaf

        estimate = try_one_leaf(job)
        told["trial"] = estimate.to_json()
    tell(
        lambda: told,
        lambda: print_plan(job.plan, SummaryConsole(), estimate),
        as_json=as_json,
        quiet=quiet,
    )
    job.plan.require_fit()


@click.command()
@quiet_option
@json_option
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
@log_option
def ingest(
    image: Path,
    array: Path,
    chunk: tuple[int, int],
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    log_format: str,
) -> None:
    """Bring IMAGE (PNG, JPEG, TIFF) into the chunked Zarr array ARRAY."""
    from dask_gmm.data.ingest import ingest_image

    start(log_format, quiet=quiet)
    manifest = ingest_image(image, array, chunk=chunk, overwrite=overwrite)
    shape = " x ".join(map(str, manifest.shape))
    tell(
        manifest.to_json,
        lambda: click.echo(f"{array}: {shape} {manifest.dtype}, {manifest.n_cells} chunks"),
        as_json=as_json,
        quiet=quiet,
    )


@click.command()
def schema() -> None:
    """Print the JSON Schema of a configuration, for editors and other programs."""
    from dask_gmm.run.config import config_schema

    with printing():
        click.echo(json.dumps(config_schema(), indent=2))


@click.command()
@quiet_option
@json_option
@set_option
@directory_option("relative paths in the configuration")
@click.argument("config", type=click.Path(path_type=Path), required=False)
def doctor(
    config: Path | None,
    directory: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Look at what runs here depend on: versions, arithmetic, threads, memory, workers.

    With CONFIG the workers are those of its section cluster, and its input is looked at too; else
    one worker process of this machine. Ends with 1 if a run would fail.
    """
    from dask_gmm.run.doctor import examine, print_findings

    configuration = None if config is None else loaded(config, directory, overrides)
    findings = list(examine(configuration))
    tell(
        lambda: {"findings": [each.to_json() for each in findings]},
        lambda: print_findings(findings),
        as_json=as_json,
        quiet=quiet,
    )
    failed = [each for each in findings if each.state == "fails"]
    if failed:
        raise RunFailedError("\n".join(f"{each.name}: {each.said}" for each in failed))
