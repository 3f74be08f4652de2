"""Two finished runs side by side: what was asked, what it came to, which class is which.

Labels are compared block by block: what is held of them is one cell of each run, and a table of how
often every pair of labels meets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_gmm.data.sources import Source, open_source
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.mixture.alignment import bhattacharyya, matching
from dask_gmm.model_file import Model
from dask_gmm.run.directory import RunDirectory
from dask_gmm.run.numbering import SAME, pair_of_classes
from dask_gmm.run.standing import differences

#: Numbers of a manifest's model that are told of both runs.
_NUMBERS = ("n_components", "covariance_type", "n_parameters")
_CRITERIA = ("mean_log_likelihood", "aic", "bic", "icl")

#: How often each label of the one run (row) meets each of the other's (column); 0: masked.
Contingency = npt.NDArray[np.int64]


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """Compare two finished runs.

    Parameters
    ----------
    first, second : Path
        Run directories.

    Returns
    -------
    dict
        JSON values: ``runs``, ``configuration`` (keys whose values differ), ``same_input``,
        ``classes`` (matched by the Bhattacharyya distance, with how much they overlap) or why they
        cannot be, and ``labels`` (how often they agree) or why not.

    Raises
    ------
    ConfigurationError
        If there is no finished run.
    InputDataError
        If a model or labels cannot be read.
    """
    paths = (first, second)
    manifests = [_finished(path) for path in paths]
    models = [Model.load(path) for path in paths]
    a, b = manifests
    compared = {
        "runs": [_told(path, manifest) for path, manifest in zip(paths, manifests, strict=True)],
        "configuration": differences(a.get("configuration"), b.get("configuration")),
        "same_input": _fingerprints(a) == _fingerprints(b),
    }
    reason = _not_alike(models)
    pairs = dict[int, int]()
    if reason is None:
        distances = bhattacharyya(models[1].parameters, models[0].parameters)
        pairs = {j: i for i, j in matching(distances).items()}
        compared["classes"] = _classes(models, distances, pairs)
    else:
        compared["classes"] = {"compared": False, "reason": reason}
    compared["labels"] = _labels(paths, manifests, pairs)
    return compared


def _finished(path: Path) -> dict[str, Any]:
    manifest = RunDirectory(path.absolute()).manifest()
    if manifest is None:
        raise ConfigurationError(
            f"{path}: no finished run is here; name a run's directory (dask-gmm info says how far "
            "a run is)"
        )
    return manifest


def _told(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    model, fit = manifest.get("model") or {}, manifest.get("fit") or {}
    return {
        "run_dir": str(path),
        **{key: manifest.get(key) for key in ("name", "version", "finished", "status")},
        **{key: model.get(key) for key in (*_NUMBERS, *_CRITERIA)},
        "rows": (manifest.get("rows") or {}).get("used"),
        "passes": (fit.get("passes") or {}).get("total"),
        "converged": fit.get("converged"),
        "seconds": sum(each.get("seconds", 0.0) for each in manifest.get("timings") or ()),
    }


def _fingerprints(manifest: Mapping[str, Any]) -> list[Any]:
    return [each.get("fingerprint") for each in manifest.get("inputs") or ()]


def _not_alike(models: list[Model]) -> str | None:
    """Return why the classes of two models cannot be compared, in words."""
    a, b = models
    if a.parameters.D != b.parameters.D:
        return f"the models have {a.parameters.D} and {b.parameters.D} features"
    if a.feature_names and b.feature_names and a.feature_names != b.feature_names:
        return (
            f"the models are of other features: {', '.join(a.feature_names)}, and "
            f"{', '.join(b.feature_names)}"
        )
    return None


def _classes(
    models: list[Model], distances: npt.NDArray[np.float64], pairs: Mapping[int, int]
) -> dict[str, Any]:
    """Return what has become of the first run's classes in the second, and which are new there.

    Parameters
    ----------
    models : list of Model
    distances : (K_second, K_first)
    pairs : mapping
        From classes of the first run to those of the second, from 0.
    """
    first, second = (model.parameters for model in models)
    table = list[dict[str, Any]]()
    for i in range(first.K):
        j = pairs.get(i)
        table.append({"first": i + 1, "second": None if j is None else j + 1, "same": False})
        if j is not None:
            table[-1] |= pair_of_classes(second, j, first, i, float(distances[j, i]))
            table[-1]["same"] = table[-1]["overlap"] >= SAME
    new = [j + 1 for j in range(second.K) if j not in pairs.values()]
    return {"compared": True, "matched": table, "new_in_second": new}


# -- labels ------------------------------------------------------------------------------------


def _labels(
    paths: tuple[Path, Path], manifests: list[dict[str, Any]], pairs: Mapping[int, int]
) -> dict[str, Any]:
    """Return how often the labels of two runs agree, over all of their files."""
    found = [_label_files(path, each) for path, each in zip(paths, manifests, strict=True)]
    if not all(found):
        return {"compared": False, "reason": "not both runs have written labels"}
    if len(found[0]) != len(found[1]):
        counts = f"{len(found[0])} and {len(found[1])}"
        return {"compared": False, "reason": f"the runs have labels of {counts} inputs"}
    K = [int(manifest["model"]["n_components"]) for manifest in manifests]
    table: Contingency = np.zeros((K[0] + 1, K[1] + 1), dtype=np.int64)
    for one, other in zip(*found, strict=True):
        sources = [_opened(*one), _opened(*other)]
        shapes = [source.grid.shape for source in sources]
        if shapes[0] != shapes[1]:
            reason = f"{one[1]} has the shape {shapes[0]}, {other[1]} {shapes[1]}"
            return {"compared": False, "reason": reason}
        for a, b in _pairs_of_blocks(*sources):
            _count(table, a, b, (one[1], other[1]))
    return {"compared": True, **agreement(table, pairs)}


def _label_files(path: Path, manifest: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Return kind and path of every file of labels; none where there are none."""
    output = (manifest.get("outputs") or {}).get("labels")
    if output is None:
        return []
    configuration = manifest["configuration"]
    kind = configuration["outputs"]["labels"]["kind"]
    kind = configuration["source"]["kind"] if kind == "same" else kind
    listed = output.get("files")
    return [(kind, path / each["path"]) for each in ([output] if listed is None else listed)]


def _opened(kind: str, path: Path) -> Source:
    """Open labels as rows of one feature, whatever they say of no data."""
    if not path.exists():
        raise InputDataError(f"{path}: is missing; run again with if_exists: overwrite")
    if kind == "parquet":
        return open_source(kind, str(path), columns=("label",))
    if kind == "ome-zarr":
        return open_source("ome-zarr", str(path), feature_axis=None, nodata=None)
    plain = kind in ("zarr", "npy", "nifti", "netcdf")
    axis = {"feature_axis": None} if plain else {}
    return open_source(kind, str(path), nodata=None, **axis)


def _pairs_of_blocks(a: Source, b: Source) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Yield labels (n,) of the same rows of both, a cell of the first at a time."""
    regions = getattr(b, "read_region", None)
    if regions is None:  # tables: runs of rows, one after the other
        yield from _zipped(_cells(a), _cells(b))
        return
    for cell in range(len(a.grid)):
        yield a.read(cell).values[:, 0], regions(a.grid.region(cell)).values[:, 0]


def _cells(source: Source) -> Iterator[npt.NDArray[Any]]:
    for cell in range(len(source.grid)):
        yield source.read(cell).values[:, 0].copy()


def _zipped(
    a: Iterator[npt.NDArray[Any]], b: Iterator[npt.NDArray[Any]]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Cut two series of runs of rows, equally long in all, at the borders of both."""
    left, right = next(a, None), next(b, None)
    while left is not None and right is not None:
        n = min(len(left), len(right))
        yield left[:n], right[:n]
        left = left[n:] if len(left) > n else next(a, None)
        right = right[n:] if len(right) > n else next(b, None)


def _count(
    table: Contingency,
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    where: tuple[Path, Path],
) -> None:
    """Add how often every pair of labels meets."""
    n, m = table.shape
    for labels, most, path in ((a, n, where[0]), (b, m, where[1])):
        if len(labels) and not (labels.min() >= 0 and labels.max() < most):
            raise InputDataError(
                f"{path}: holds labels beyond 0 to {most - 1}, so that it is not what the run "
                "wrote; run again with if_exists: overwrite"
            )
    pairs = a.astype(np.intp) * m + b.astype(np.intp)
    table += np.bincount(pairs, minlength=n * m).reshape(n, m)


def agreement(table: Contingency, pairs: Mapping[int, int]) -> dict[str, Any]:
    """Return by how much two labellings agree.

    Parameters
    ----------
    table : (K_first + 1, K_second + 1)
        How often every pair of labels meets.
    pairs : mapping
        From classes of the first run to those of the second, from 0: which are taken for the same.

    Returns
    -------
    dict
        ``agree``: the share of the rows that both have labelled whose classes are matched ones;
        ``adjusted_rand``: Hubert and Arabie's index, which asks for no matching: 1 for equal
        partitions, 0 on average for unrelated ones; ``table``: the counts.
    """
    both = table[1:, 1:]
    n = int(both.sum())
    same = sum(int(both[i, j]) for i, j in pairs.items())
    return {
        "rows": n,
        "masked_in_one": int(table[0, 1:].sum() + table[1:, 0].sum()),
        "masked_in_both": int(table[0, 0]),
        "agree": same / n if n and pairs else None,
        "adjusted_rand": _adjusted_rand(both) if n else None,
        "table": table.tolist(),
    }


def _adjusted_rand(table: Contingency) -> float:
    """Return the index; in floating point, as pairs of 10^12 rows exceed 64 bits."""
    counts = table.astype(np.float64)

    def chosen(n: npt.NDArray[np.float64]) -> float:
        return float((n * (n - 1.0) / 2.0).sum())

    rows, columns = chosen(counts.sum(axis=1)), chosen(counts.sum(axis=0))
    total = chosen(counts.sum(keepdims=True))
    expected = rows * columns / total if total else 0.0
    most = (rows + columns) / 2.0
    return 1.0 if most == expected else (chosen(counts) - expected) / (most - expected)
