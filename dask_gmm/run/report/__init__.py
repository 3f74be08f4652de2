"""One run as one self-contained HTML page: no network, no file beside it, no code in its data.

Everything that a page shows is kept in the run's directory, so that it can be drawn again, by a
later version too: :func:`draw` makes the page, :func:`redraw` puts it in the old one's place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.directory import MANIFEST, RunDirectory, disk_errors
from dask_gmm.run.report.page import render_report
from dask_gmm.run.report.pictures import load_pictures

__all__ = ["FIGURES", "REPORT", "draw", "redraw", "render_report"]

REPORT = "report.html"
#: Where a run's directory keeps what pages are drawn from, and pictures for people.
FIGURES = "figures"


def draw(run_dir: Path, record: Mapping[str, Any] | None = None) -> str:
    """Draw the page of a run from its directory alone.

    Parameters
    ----------
    run_dir : Path
        Holds ``history.jsonl`` and ``figures``.
    record : mapping, optional
        The manifest, where it is not written yet; by default ``manifest.json`` is read.

    Returns
    -------
    str
        The page. One version of this program draws one directory to the same bytes.

    Raises
    ------
    ConfigurationError
        If there is no finished run, or its manifest cannot be read.
    """
    if record is None:
        record = _finished(RunDirectory(run_dir))
    pictures = load_pictures(run_dir / FIGURES, record.get("pictures"))
    return render_report(record, _history(run_dir / "history.jsonl"), pictures)


def redraw(run_dir: Path) -> Path:
    """Draw the page of a finished run again, in the place of its old one; return its path.

    The manifest has the new page's checksum, so that ``verify`` finds the run as it was.

    Raises
    ------
    ConfigurationError
        If there is no finished run, or its manifest cannot be read.
    TemporaryFailureError
        If a run is at work there.
    RunFailedError
        If the directory cannot be written.
    """
    from dask_gmm.model_file import write_durably

    run = RunDirectory(run_dir.absolute())
    _finished(run)  # nothing is claimed or locked that is no run
    with run.locked(), disk_errors(run.path):
        record = _finished(run)
        page = draw(run.path, record).encode()
        files = dict(record.get("files") or {})
        record["files"] = files | {REPORT: hashlib.sha256(page).hexdigest()}
        write_durably(run.path / REPORT, page)
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        write_durably(run.path / MANIFEST, text.encode())
    return run.path / REPORT


def _finished(run: RunDirectory) -> dict[str, Any]:
    record = run.manifest()
    if record is None:
        raise ConfigurationError(f"{run.path}: no finished run is here; dask-gmm info says more")
    return record


def _history(path: Path) -> list[dict[str, Any]]:
    """Read the records of EM; none where they are lost or damaged: the page does without."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [entry for line in lines if isinstance(entry := json.loads(line), dict)]
    except (OSError, ValueError, RecursionError):
        return []
