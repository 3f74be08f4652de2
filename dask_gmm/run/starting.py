"""``dask-gmm init``: a first configuration with comments, from a look at the data."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dask_gmm.engine.machine import cores, free_memory
from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config import config_schema, load_config
from dask_gmm.run.directory import disk_errors
from dask_gmm.run.first_configuration import configuration_text
from dask_gmm.run.job import plan_configured
from dask_gmm.run.looking import Look, look_at
from dask_gmm.run.plan import RunPlan

#: What lies beside a configuration for its editor.
SCHEMA = "dask-gmm.schema.json"
#: A worker's memory at first, and by which factor it is raised where that does not do.
FIRST_LIMIT, MORE = 2 << 30, 1.5


@dataclass(frozen=True)
class Begun:
    """What has been written.

    Attributes
    ----------
    config : Path
    directory : Path or None
        What its paths are relative to, where that is not the working directory.
    look : Look
    plan : RunPlan
        What the configuration comes to.
    """

    config: Path
    directory: Path | None
    look: Look
    plan: RunPlan

    def sentence(self) -> str:
        """Say what was found, and what to do next."""
        look, plan = self.look, self.plan
        where = "" if self.directory is None else f" -C {shlex.quote(str(self.directory))}"
        config = shlex.quote(str(self.config))
        lines = [
            f"{self.config}: written for {look.kind} {look.path}, {plan.n_rows:,} rows in "
            f"{plan.n_features} features",
            *(f"look at: {each}" for each in worth_a_look(look)),
            "next:",
            f"  dask-gmm plan {config}{where} --trial    # what it needs, and how long it may take",
            f"  dask-gmm run {config}{where}",
        ]
        return "\n".join(lines)


def require_absent(config: Path) -> None:
    """Refuse to write over a file.

    Raises
    ------
    ConfigurationError
    """
    if config.exists():
        raise ConfigurationError(
            f"{config}: exists, and init overwrites nothing; name another file, or move it away"
        )


def begin(directory: Path | None, config: Path, answers: Mapping[str, Any]) -> Begun:
    """Look at data and write a configuration for them, and the schema for its editor.

    Parameters
    ----------
    directory : Path or None
        What the data's path is relative to.
    config : Path
        The file to write.
    answers : mapping
        ``path``; and, where they are known, ``kind``, ``variable``, ``name``, ``n_components`` and
        ``outputs``, names of them.

    Raises
    ------
    ConfigurationError
        If the file exists, or the data are of no kind that is known.
    InputDataError
        If they cannot be read.
    RunFailedError
        If the file cannot be written.
    """
    require_absent(config)
    if not config.absolute().parent.is_dir():
        raise ConfigurationError(
            f"{config.parent}: is no directory; make it, or name another CONFIG"
        )
    look = look_at(str(answers["path"]), directory, answers.get("kind"), answers.get("variable"))
    n_workers, limit = max(1, min(cores(), free_memory() // FIRST_LIMIT)), FIRST_LIMIT
    schema = config.parent / SCHEMA
    while True:
        text = configuration_text(look, answers, n_workers, limit, schema.name)
        with disk_errors(config), config.open("w" if config.exists() else "x") as file:
            file.write(text)
        plan = plan_configured(load_config(config, directory=directory)).plan
        if plan.fits or limit * MORE > free_memory():
            break
        limit = int(limit * MORE) // (256 << 20) * (256 << 20)
        n_workers = max(1, min(n_workers, free_memory() // limit))
    with disk_errors(schema):
        schema.write_text(json.dumps(config_schema(), indent=1) + "\n", encoding="utf-8")
    return Begun(config, directory, look, plan)


def worth_a_look(look: Look) -> list[str]:
    """Say what of the data asks for a decision that nobody can take for their owner."""
    said = list[str]()
    seen = look.seen
    if seen is not None and seen.n_invalid:
        share = seen.n_invalid / seen.n_rows
        said.append(f"{share:.1%} of the rows looked at hold NaN or infinity, and will be masked")
    if seen is not None and seen.n_nodata:
        share = seen.n_nodata / seen.n_rows
        said.append(f"{share:.1%} of the rows looked at say no data, and will be masked")
    if look.suspicious:
        value, share = look.suspicious
        said.append(
            f"{share:.1%} of the rows looked at are {value:g} in every feature; if that means no "
            f"data, set source.nodata: {value:g}"
        )
    said += [f"{mask} may be a mask; see source.mask" for mask in look.masks]
    if look.manifest.n_cells > 1 and look.cell_bytes < 1 << 18:
        said.append(
            f"chunks of {look.cell_bytes / 1024:,.0f} kB are small, and reading them costs more "
            "than working on them; 1 to 64 MB are good"
        )
    if look.cell_bytes > 512 << 20:
        said.append(
            f"chunks of {look.cell_bytes / 2**30:.1f} GiB are large: a worker holds several; 1 to "
            "64 MB are good"
        )
    if look.n_features > 64:
        said.append(
            f"{look.n_features} features: full covariances have "
            f"{look.n_features * (look.n_features + 1) // 2:,} numbers per class; diag has few"
        )
    return said


def asked() -> dict[str, Any]:
    """Ask on the terminal.

    Raises
    ------
    ConfigurationError
        If there is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "init asks its questions on a terminal, and standard input is none; name the data: "
            "dask-gmm init --from DATA"
        )
    path = click.prompt("Which data (a path, glob or URL)", err=True)
    name = click.prompt("A name for the run", default=name_of(path), err=True)
    K = click.prompt(
        "How many classes (a number; 0: compare some)", type=click.IntRange(0), default=0, err=True
    )
    outputs = ["labels"]
    for output in ("uncertainty", "probabilities"):
        if click.confirm(f"Write {output} beside the labels", default=output == "uncertainty",
                         err=True):  # fmt: skip
            outputs.append(output)
    answers = {"path": path, "name": name, "outputs": outputs}
    return answers if not K else {**answers, "n_components": K}


def name_of(path: str) -> str:
    """Return a name for a run from that of its data."""
    stem = path.rstrip("/").rpartition("/")[2].partition(".")[0]
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in stem)
    return name.strip("-") or "run"
