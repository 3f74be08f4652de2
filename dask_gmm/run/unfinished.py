"""Whose the records of an unfinished run are, and how far they go: told without reading them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FORMAT, FORMAT_VERSION = "dask-gmm checkpoint", 1
IDENTITY = "identity.json"
JOURNAL = "journal.jsonl"
SUFFIX = ".safetensors"


def write_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Say whose records will stand in ``folder``: a JSON document, written before any of them."""
    from dask_gmm.model_file import write_durably

    document = {"format": FORMAT, "format_version": FORMAT_VERSION, **identity}
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_durably(folder / IDENTITY, text.encode())


def read_identity(folder: Path) -> dict[str, Any] | None:
    """Return whose records stand in ``folder``; None where there are none that can be used."""
    try:
        document = json.loads((folder / IDENTITY).read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError("it is not the identity of a checkpoint")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: %s; the run starts from its beginning", folder / IDENTITY, error)
        return None
    return document


def progress(folder: Path) -> tuple[dict[str, int], tuple[str, int] | None]:
    """Count what a checkpoint holds, without reading it.

    Returns
    -------
    finished : dict of str to int
        Finished calls by name.
    at_work : (str, int) or None
        The name of the call in work, and its parts on disk.
    """
    finished, at_work = dict[str, int](), None
    for path in sorted(folder.glob("[0-9]" * 5 + "-*")):
        name = path.stem[6:] if path.is_file() else path.name[6:]
        if path.is_dir():
            at_work = (name, len(list(path.glob(f"*{SUFFIX}"))))
        elif path.suffix == SUFFIX:
            finished[name] = finished.get(name, 0) + 1
    return finished, at_work
