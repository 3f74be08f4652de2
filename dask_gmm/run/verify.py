"""Whether a finished run is still what it was: its files, its outputs, and the input it read."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dask_gmm.data.sources.several import manifests_of
from dask_gmm.errors import ConfigurationError, InputDataError, RunFailedError
from dask_gmm.run.directory import CHECKPOINT, RunDirectory
from dask_gmm.run.unfinished import JOURNAL

_AGAIN = "run again with if_exists: overwrite"


def verify_run(path: Path, directory: Path | None = None) -> Iterator[str]:
    """Check a finished run; yield a line for everything that is as it was.

    Parameters
    ----------
    path : Path
        The run's directory.
    directory : Path, optional
        What a relative path of the input is relative to; the working directory if None.

    Raises
    ------
    ConfigurationError
        If there is no finished run.
    RunFailedError
        If a file or an output of it is missing or changed.
    InputDataError
        If the input is missing or has changed since.
    """
    run = RunDirectory(path.absolute())
    manifest = run.manifest()
    if manifest is None:
        raise ConfigurationError(f"{path}: no finished run is here; dask-gmm info says more")
    try:
        yield from _verified_files(run.path, manifest["files"])
        journal = _journal(run.path / CHECKPOINT / JOURNAL)
        for name, output in manifest["outputs"].items():
            if any(f"{file}/".startswith(f"{output['path']}/") for file in manifest["files"]):
                continue  # files, and they have been checked
            for part in output.get("files") or [output]:
                yield _verified_output(run.path, name, part, manifest, journal)
        # Of many inputs some may never have been opened.
        expected = [each["fingerprint"] for each in manifest["inputs"] if "fingerprint" in each]
    except (KeyError, TypeError, AttributeError) as error:
        raise RunFailedError(
            f"{run.path}: the manifest is damaged ({type(error).__name__}: {error}); {_AGAIN}"
        ) from error
    yield _verified_input(run.path, expected, directory, applied=bool(manifest.get("applied")))


def _verified_files(folder: Path, expected: Mapping[str, str]) -> Iterator[str]:
    for name, checksum in sorted(expected.items()):
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunFailedError(f"{folder / name}: {error.strerror}; {_AGAIN}") from error
        if found != checksum:
            raise RunFailedError(f"{folder / name}: has changed since it was written; {_AGAIN}")
        yield f"{name}: unchanged"


def _journal(path: Path) -> dict[int, dict[str, Any]]:
    """Return what was said of every cell, by its number."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {line["cell"]: line for line in lines}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunFailedError(f"{path}: cannot be read ({error}); {_AGAIN}") from error


def _verified_output(
    folder: Path,
    name: str,
    output: Mapping[str, Any],
    manifest: Mapping[str, Any],
    journal: Mapping[int, Mapping[str, Any]],
) -> str:
    from dask_gmm.data.sinks.zarr import stored_checksums
    from dask_gmm.run.forms import forms

    path = folder / output["path"]
    n_trailing = len(forms(manifest["model"]["n_components"])[name].trailing)
    found = dict(stored_checksums(path, n_trailing))
    first = output.get("first_cell", 0)
    damaged = [
        i
        for i in range(max(len(found), output["cells"]))
        if found.get(i) is None or found[i] != journal.get(first + i, {}).get(name)
    ]
    if damaged:
        raise RunFailedError(
            f"{path}: {len(damaged):,} of {len(found):,} chunks are not what was written, the "
            f"first is number {damaged[0]}; {_AGAIN}"
        )
    whole = hashlib.sha256("".join(found[i] for i in range(len(found))).encode()).hexdigest()
    if whole != output["checksum"] or len(found) != output["cells"]:
        raise RunFailedError(f"{path}: is not what the manifest says; {_AGAIN}")
    shape = output["shape"]
    rows = math.prod(shape[: len(shape) - n_trailing])
    return f"{output['path']}: unchanged, {len(found):,} chunks of {rows:,} rows"


def _verified_input(
    folder: Path, expected: list[str], directory: Path | None, *, applied: bool
) -> str:
    from dask_gmm.model_file import Model
    from dask_gmm.run.config import load_config
    from dask_gmm.run.job import Given, open_configured

    config = load_config(folder / "config.yaml", directory=directory)
    given = Given(Model.load(folder), str(folder), "") if applied else None
    _, found = open_configured(config, given)
    if expected != [each.fingerprint for each in manifests_of(found)]:
        raise InputDataError(
            f"{found.path}: the data have changed since {folder} was made; run again with "
            "if_exists: overwrite, or into another run_dir"
        )
    return f"{found.path}: unchanged since"
