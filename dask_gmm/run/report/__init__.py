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

from dask_gmm.errors import ConfigurationError, DaskGmmError
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profile import Profile
from dask_gmm.model_file import Model, write_durably
from dask_gmm.run.directory import MANIFEST, RunDirectory, disk_errors
from dask_gmm.run.records import read_record
from dask_gmm.run.report.page import render_report
from dask_gmm.run.report.pictures import load_pictures

__all__ = ["FIGURES", "MODEL", "PROFILE", "REPORT", "draw", "redraw", "render_report"]

REPORT = "report.html"
#: Where a run's directory keeps what pages are drawn from, and pictures for people.
FIGURES = "figures"
#: Below it: histograms of the rows, see :mod:`dask_gmm.mixture.profile`.
PROFILE = "profile.safetensors"
MODEL = "model.safetensors"


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
    return render_report(record, _history(run_dir / "history.jsonl"), pictures, _fitted(run_dir))


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


def _fitted(run_dir: Path) -> tuple[Parameters, Profile] | None:
    """Read the mixture and the profile of the rows; None where they are lost or damaged."""
    try:
        mixture = Model.load(run_dir / MODEL).parameters
        profile = read_record(run_dir / FIGURES / PROFILE)
    except (DaskGmmError, ValueError, OSError):
        return None
    mine = isinstance(profile, Profile) and len(profile.distances) == mixture.K
    return (mixture, profile) if mine and profile.n_features == mixture.D else None


def _history(path: Path) -> list[dict[str, Any]]:
    """Read the records of EM; none where they are lost or damaged: the page does without."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [entry for line in lines if isinstance(entry := json.loads(line), dict)]
    except (OSError, ValueError, RecursionError):
        return []
