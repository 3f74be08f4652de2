"""Which class gets which label: by weight, by a band's mean, or as an earlier model has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.mixture.alignment import bhattacharyya, matching
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.model_file import Model, model_path

if TYPE_CHECKING:
    from dask_gmm.data.sources import Source
    from dask_gmm.run.config import Config

#: Two classes that overlap less than this are hardly the same one.
SAME = 0.5

Order = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Numbering:
    """How classes get their labels.

    Attributes
    ----------
    band : int or None
        The feature whose mean rises with the labels.
    reference : Model or None
        The earlier model whose labels the classes get.
    path : str or None
        Where that lies, as it was configured.
    """

    band: int | None = None
    reference: Model | None = None
    path: str | None = None

    @classmethod
    def configured(cls, config: Config, source: Source) -> Numbering:
        """Return what a configuration's ``classes`` section says of a source.

        Raises
        ------
        ConfigurationError
            If there is no such band, or the earlier model is one of other features.
        InputDataError
            If the earlier model cannot be read.
        """
        classes = config.classes
        if classes.by_band is not None:
            return cls(band=_feature(classes.by_band, source))
        if classes.reference is None:
            return cls()
        model = Model.load(located_model(config, classes.reference))
        require_features(model, source, f"classes.align_to: {classes.reference}")
        return cls(reference=model, path=classes.reference)

    def order(self, mixture: Parameters) -> Order:
        """Return the components in the order of their labels, (K,); ties by falling weight."""
        by_weight = mixture.label_order()
        if self.band is not None:
            return by_weight[np.argsort(mixture.means[by_weight, self.band], kind="stable")]
        if self.reference is None:
            return by_weight
        pairs = matching(bhattacharyya(mixture, self.reference.parameters))
        matched = sorted(pairs, key=lambda k: pairs[k])
        others = [k for k in by_weight.tolist() if k not in pairs]
        return np.array(matched + others, dtype=np.intp)

    def alignment(self, mixture: Parameters) -> dict[str, Any] | None:
        """Return how classes have drifted from those of the earlier model, as JSON values.

        Parameters
        ----------
        mixture : Parameters
            In label order.
        """
        if self.reference is None:
            return None
        before = self.reference.parameters
        distances = bhattacharyya(mixture, before)
        pairs = matching(distances)
        classes = list[dict[str, Any]]()
        for k in range(mixture.K):
            entry: dict[str, Any] = {"label": k + 1, "was": None, "matched": False}
            if k in pairs:
                j = pairs[k]
                told = pair_of_classes(mixture, k, before, j, float(distances[k, j]))
                entry |= {"was": j + 1, "matched": told["overlap"] >= SAME, **told}
            classes.append(entry)
        kept = {each["was"] for each in classes if each["matched"]}
        gone = [label for label in range(1, before.K + 1) if label not in kept]
        return {"model": self.path, "classes": classes, "gone": gone}


def pair_of_classes(
    mixture: Parameters, k: int, before: Parameters, j: int, distance: float
) -> dict[str, Any]:
    """Return how a class differs from one of an earlier mixture, as JSON values.

    The shift of the mean is told in standard deviations of the earlier class.
    """
    shift = (mixture.means[k] - before.means[j]) / np.sqrt(before.variances[j])
    return {
        "distance": distance,
        "overlap": float(np.exp(-distance)),
        "mean_shift": shift.tolist(),
        "weight_change": float(mixture.weights[k] - before.weights[j]),
    }


def of_alignment(alignment: dict[str, Any] | None) -> list[str]:
    """Say in words which classes are not, or not by number, those of the earlier model."""
    if alignment is None:
        return []
    model, said = alignment["model"], list[str]()
    for each in alignment["classes"]:
        label, was = each["label"], each["was"]
        if was is None:
            said.append(f"Class {label}: is new; {model} has no class left for it.")
        elif not each["matched"]:
            said.append(
                f"Class {label}: matches none of {model} well; it has the place of class {was}, "
                f"with which it overlaps by {each['overlap']:.2g}."
            )
        elif was != label:
            said.append(f"Class {label}: is class {was} of {model}, which has more classes.")
    if alignment["gone"]:
        labels = ", ".join(map(str, alignment["gone"]))
        plural = "es" if len(alignment["gone"]) > 1 else ""
        said.append(f"Class{plural} {labels} of {model}: not found again.")
    return said


def located_model(config: Config, path: str) -> Path:
    """Return the absolute path of a model or run directory that a configuration names."""
    return config.directory / path


def model_checksum(path: Path) -> str:
    """Return the SHA-256 of a model's file.

    Raises
    ------
    InputDataError
        If it cannot be read.
    """
    target = model_path(path)
    try:
        return hashlib.sha256(target.read_bytes()).hexdigest()
    except OSError as error:
        raise InputDataError(
            f"{target}: the model cannot be read ({error.strerror}); give a "
            ".safetensors file or a finished run directory"
        ) from error


def require_features(model: Model, source: Source, whose: str) -> None:
    """Refuse a model of other features than a source has.

    Raises
    ------
    ConfigurationError
    """
    D, names = model.parameters.D, source.feature_names
    if source.n_features != D:
        raise ConfigurationError(
            f"{whose} is a model of {D} features, but the input has {source.n_features}; "
            "choose the same by source.columns"
        )
    if model.feature_names and names and tuple(names) != model.feature_names:
        raise ConfigurationError(
            f"{whose} is a model of {', '.join(model.feature_names)}, but the input has "
            f"{', '.join(names)}; choose the same, in this order, by source.columns"
        )


def _feature(band: int | str, source: Source) -> int:
    """Return the number of a feature that is given by its name or number."""
    D, names = source.n_features, source.feature_names
    if isinstance(band, int):
        if -D <= band < D:
            return band % D
        allowed = f"{-D} to {D - 1}"
    elif names is not None and band in names:
        return names.index(band)
    else:
        allowed = f"{', '.join(names)}, or a number" if names else f"a number, {-D} to {D - 1}"
    raise ConfigurationError(f"classes.band: found {band!r}; allowed {allowed}")
