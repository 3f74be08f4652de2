"""A fitted mixture on disk: numbers as safetensors, everything readable as JSON; nothing unpickles.

``model.safetensors`` holds weights, means, covariances and their precision factors in original
units as float64, and in its metadata the document that ``model.json`` shows. Loading reads the
safetensors file alone. The factors are kept because others, equal but for rounding, would predict
other bits.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.errors import InputDataError
from dask_gmm.mixture.arrays import Array
from dask_gmm.mixture.families import FAMILIES, IllConditionedError, family
from dask_gmm.mixture.parameters import Parameters

FORMAT = "dask-gmm model"
FORMAT_VERSION = 1
_READABLE = ("weights", "means", "covariances")
_TENSORS = (*_READABLE, "factors")
#: Share by which factors may differ from those made here, where covariances are near singular.
_LIKENESS = 0.1


@dataclass(frozen=True)
class Model:
    """A fitted mixture in original units.

    Attributes
    ----------
    parameters : Parameters
    covariance_type : str
        The declared family. A spherical mixture of standardised data has per-feature variances in
        original units, and its parameters are diag.
    feature_names : tuple of str or None
    information : mapping
        Whatever else is known of the fit, as JSON values.
    """

    parameters: Parameters
    covariance_type: str
    feature_names: tuple[str, ...] | None = None
    information: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_parameters(self) -> int:
        """Free parameters of the declared family."""
        return FAMILIES[self.covariance_type].n_parameters(self.parameters.K, self.parameters.D)

    def document(self) -> dict[str, Any]:
        """Return what ``model.json`` shows."""
        p = self.parameters
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "covariance_type": self.covariance_type,
            "parameter_family": p.family.name,
            "n_components": p.K,
            "n_features": p.D,
            "n_parameters": self.n_parameters,
            "feature_names": list(self.feature_names) if self.feature_names else None,
            "information": dict(self.information),
            "weights": p.weights.tolist(),
            "means": p.means.tolist(),
            "covariances": p.covariances.tolist(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``path`` (.safetensors) and the readable ``.json`` beside it.

        Each file is written beside its place, flushed to the disk and renamed, so that a reader
        sees the old one or the new one and never a part.
        """
        from safetensors.numpy import save

        target = model_path(path)
        document = self.document()
        arrays = {name: np.array(getattr(self.parameters, name)) for name in _TENSORS}
        head = {k: v for k, v in document.items() if k not in _READABLE}
        write_durably(target, save(arrays, {"dask-gmm": json.dumps(head)}))
        readable = json.dumps(document, indent=2, allow_nan=False) + "\n"
        write_durably(target.with_suffix(".json"), readable.encode())
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a model.

        Parameters
        ----------
        path : path
            A ``.safetensors`` file, or a run directory that holds ``model.safetensors``.

        Raises
        ------
        InputDataError
            If there is no such file, or it is no valid model; the text says what is wrong.
        """
        target = model_path(path)
        try:
            content = target.read_bytes()
        except OSError as error:
            raise InputDataError(
                f"{target}: the model cannot be read ({error.strerror}); give a "
                ".safetensors file or a finished run directory"
            ) from error
        return cls._parsed(content, target)

    @classmethod
    def _parsed(cls, content: bytes, target: Path) -> Model:
        from safetensors import SafetensorError, deserialize

        try:
            size = int.from_bytes(content[:8], "little")
            head = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["dask-gmm"])
            tensors = {name: _float64(entry) for name, entry in deserialize(content)}
            if head["format"] != FORMAT or head["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format {head['format']!r} version {head['format_version']!r}")
            parameters = _checked_parameters(
                head["parameter_family"], *(tensors[name] for name in _TENSORS)
            )
            declared, held = head["covariance_type"], parameters.family.name
            if (declared, held) not in {(held, held), ("spherical", "diag")}:
                raise ValueError(f"a {declared!r} mixture with {held!r} parameters")
            names = head["feature_names"]
            if names is not None and (not isinstance(names, list) or len(names) != parameters.D):
                raise ValueError(f"feature_names={names!r} for {parameters.D} features")
            return cls(
                parameters,
                declared,
                None if names is None else tuple(str(name) for name in names),
                _checked_information(head["information"]),
            )
        except (
            SafetensorError,
            IllConditionedError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            RecursionError,
        ) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputDataError(
                f"{target}: not a model of this program ({reason}); "
                f"expected safetensors with the metadata of '{FORMAT}' version {FORMAT_VERSION}"
            ) from error


def _checked_parameters(
    family_name: str, weights: Array, means: Array, covariances: Array, factors: Array
) -> Parameters:
    made = Parameters.of(family(family_name), weights, means, covariances)
    kept = Parameters(made.family, made.weights, made.means, made.covariances, factors)
    if not (made.weights >= 0).all() or abs(made.weights.sum() - 1) > 1e-6:
        raise ValueError("the weights do not sum to 1")
    if not (np.abs(kept.factors - made.factors) <= _LIKENESS * np.abs(made.factors).max()).all():
        raise ValueError("the factors are not those of the covariances")
    return kept


def _checked_information(information: Any) -> dict[str, Any]:
    """Return what is known of the fit, if the numbers among it are numbers."""
    if not isinstance(information, dict):
        raise ValueError(f"information={information!r} is not a mapping")
    for name in ("n_iter", "lower_bound"):
        value = information.get(name)
        if value is not None and not (isinstance(value, int | float) and abs(value) < 1e300):
            raise ValueError(f"information.{name} is not a finite number")
    return information


def _float64(entry: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if entry["dtype"] != "F64":
        raise ValueError(f"a tensor of type {entry['dtype']}, expected F64")
    return np.frombuffer(entry["data"], dtype="<f8").reshape(entry["shape"])


def model_path(path: str | os.PathLike[str]) -> Path:
    """Return the file that holds a model: it may be named without its suffix, or by its folder."""
    target = Path(path)
    if target.is_dir():
        return target / "model.safetensors"
    # Appended, not replaced: fit-0.1 and fit-0.2 are two models.
    named = target.suffix == ".safetensors"
    return target if named else target.with_name(f"{target.name}.safetensors")


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is whole or absent: fsync, rename, fsync its folder.

    Raises
    ------
    OSError
        With the path, and nothing of the file left.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
