"""A fitted mixture for other programs: JSON, NumPy's arrays under scikit-learn's names, or a table.

Nothing that is written can run code when it is read: no pickle, no joblib.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.errors import ConfigurationError, RunFailedError
from dask_gmm.model_file import Model, write_durably
from dask_gmm.palette import class_colors
from dask_gmm.run.directory import RunDirectory, disk_errors

FORMS = ("json", "npz", "csv")
STDOUT = Path("-")


def export_model(path: Path, target: Path, form: str | None = None, *, overwrite: bool) -> str:
    """Write a mixture to a file in another form, or as text to standard output.

    Parameters
    ----------
    path : Path
        A run directory, or a model's file.
    target : Path
        The file; ``-``: standard output.
    form : {'json', 'npz', 'csv'}, optional
        By default the suffix of ``target``.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    str
        What to print: where it went, or the text itself.

    Raises
    ------
    InputDataError
        If the model cannot be read.
    ConfigurationError
        If the form is not known, or the file exists.
    RunFailedError
        If it cannot be written.
    """
    chosen = _form(target, form)
    model = Model.load(path)
    if target == STDOUT:
        if chosen == "npz":
            raise ConfigurationError(
                "FILE: found -, but npz is no text; name a file, or choose --format json or csv"
            )
        return content(model, chosen, _counted(path)).decode()
    if target.exists() and not overwrite:
        raise ConfigurationError(
            f"{target}: exists; choose another file, or replace it by --overwrite"
        )
    if not target.absolute().parent.is_dir():
        raise RunFailedError(f"{target.parent}: is no directory; make it, or choose another file")
    with disk_errors(target):
        write_durably(target, content(model, chosen, _counted(path)))
    K, D = model.parameters.K, model.parameters.D
    return f"{target}: {K} {model.covariance_type} components in {D} features\n"


def content(model: Model, form: str, classes: list[dict[str, Any]] | None = None) -> bytes:
    """Return a mixture in one of :data:`FORMS`.

    Parameters
    ----------
    model : Model
    form : str
    classes : list of mapping, optional
        The table of classes of a run's manifest.
    """
    if form == "json":
        return (json.dumps(model.document(), indent=2, allow_nan=False) + "\n").encode()
    if form == "npz":
        return _arrays(model)
    return _table(model, classes).encode()


def _form(target: Path, form: str | None) -> str:
    found = form or target.suffix.lower().removeprefix(".")
    if found not in FORMS:
        raise ConfigurationError(
            f"FILE: found {str(target)!r}, whose suffix names no form; allowed are .json, .npz and "
            ".csv, or say --format"
        )
    return found


def _counted(path: Path) -> list[dict[str, Any]] | None:
    """Return the table of classes where ``path`` is a finished run."""
    manifest = RunDirectory(path.absolute()).manifest() if path.is_dir() else None
    classes = None if manifest is None else manifest.get("classes")
    return classes if isinstance(classes, list) else None


def _arrays(model: Model) -> bytes:
    """Return the arrays of a fitted ``sklearn.mixture.GaussianMixture`` as an npz archive."""
    p = model.parameters
    arrays: dict[str, Any] = {
        "weights_": p.weights,
        "means_": p.means,
        "covariances_": p.covariances,
        "precisions_cholesky_": p.factors,
        # A spherical mixture of standardised data has a variance per feature: scikit-learn's diag.
        "covariance_type": np.array(p.family.name),
    }
    if model.feature_names is not None:
        arrays["feature_names_in_"] = np.array([str(name) for name in model.feature_names])
    text = io.BytesIO()
    np.savez(text, **arrays)
    return text.getvalue()


def _table(model: Model, classes: list[dict[str, Any]] | None) -> str:
    """Return the table of classes as CSV: a line for each, label 1 first."""
    p = model.parameters
    names = model.feature_names or tuple(f"feature_{i + 1}" for i in range(p.D))
    deviations, colors = np.sqrt(p.variances), class_colors(p.K)
    heading = ["label", "weight", "rows", "color", *(f"mean_{n}" for n in names)]
    heading += [*(f"std_{n}" for n in names), "status"]
    rows = {each.get("label"): each for each in classes or () if isinstance(each, dict)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(word) for word in heading])
    for k in range(p.K):
        known = rows.get(k + 1, {})
        color = "#" + "".join(f"{value:02x}" for value in colors[k])
        numbers = [*p.means[k].tolist(), *deviations[k].tolist()]
        writer.writerow(
            [
                *(k + 1, float(p.weights[k]), known.get("rows", ""), color, *numbers),
                _harmless(str(known.get("status", ""))),
            ]
        )
    return text.getvalue()


def _harmless(word: str) -> str:
    """Return a word that no spreadsheet takes for a formula."""
    return f"'{word}" if word[:1] in ("=", "+", "-", "@", "\t", "\r") else word
