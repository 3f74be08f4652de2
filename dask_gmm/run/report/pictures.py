"""Pictures of inputs: painted once, kept as files that a page is drawn from again.

What a picture shows is plain JSON and stands in the manifest, under ``pictures``; its images are
files in the run's ``figures``. So a page needs nothing but the run's directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dask_gmm.run.forms import QUANTA
from dask_gmm.run.quicklook import Quicklook
from dask_gmm.run.report import images
from dask_gmm.run.report.images import Image

_SUFFIX = {"png": "png", "jpeg": "jpg"}


@dataclass(frozen=True)
class Picture:
    """One input as images.

    Attributes
    ----------
    about : mapping
        As JSON values: ``input`` (its number), ``stride``, ``plane``, ``features``, ``n_classes``,
        ``true_color``, ``masked``.
    images : mapping of str to Image
        By view: ``picture``, ``classes``, ``uncertainty``, and ``p-1`` for the probability of
        class 1.
    """

    about: Mapping[str, Any]
    images: Mapping[str, Image]

    def described(self) -> dict[str, Any]:
        """Return what the manifest says of it: what it shows, and in which files."""
        views = {
            view: {
                "file": self._file(view),
                "kind": image.kind,
                "width": image.width,
                "height": image.height,
                "caption": image.caption,
            }
            for view, image in self.images.items()
        }
        return {**self.about, "views": views}

    def save(self, folder: Path) -> None:
        """Write the images below ``folder``, which exists."""
        for view, image in self.images.items():
            (folder / self._file(view)).write_bytes(image.content)

    def _file(self, view: str) -> str:
        return f"{self.about['input'] + 1}-{view}.{_SUFFIX[self.images[view].kind]}"


def painted(
    quicklook: Quicklook, record: Mapping[str, Any], true_color: bool, number: int = 0
) -> Picture:
    """Paint what was seen of an input.

    Parameters
    ----------
    quicklook : Quicklook
    record : mapping
        The manifest: names of features and classes.
    true_color : bool
        Whether its features are red, green and blue of 8 bits.
    number : int
        Of the input.
    """
    names = record.get("feature_names") or []
    seen = int(quicklook.labels.max(initial=0))
    n_classes = max(1, len(record.get("classes") or []), seen)
    found = {
        "picture": images.picture_image(quicklook, true_color, [str(name) for name in names]),
        "classes": images.labels_image(quicklook.labels, n_classes),
    }
    if quicklook.uncertainty is not None:
        doubt = images.map_image(quicklook.uncertainty, "entropy / log K")
        found |= {} if doubt is None else {"uncertainty": doubt}
    if quicklook.probabilities is not None and quicklook.mapped is not None:
        for m in range(quicklook.probabilities.shape[2]):
            share = np.where(quicklook.mapped > 0, quicklook.probabilities[..., m] / QUANTA, np.nan)
            chance = images.map_image(share, f"probability of class {m + 1}")
            found |= {} if chance is None else {f"p-{m + 1}": chance}
    about = {
        "input": number,
        "stride": quicklook.stride,
        "plane": list(quicklook.plane),
        "features": list(quicklook.features),
        "n_classes": n_classes,
        "true_color": true_color,
        "masked": bool(np.any(quicklook.labels == 0)),
    }
    return Picture(about, found)


def load_pictures(folder: Path, described: Any) -> list[Picture]:
    """Read pictures as :meth:`Picture.described` has them; what is not there is left out.

    Names of files come from a manifest: none leads out of ``folder``.
    """
    found = []
    for each in described if isinstance(described, Sequence) else ():
        read = {}
        for view, image in dict(each.get("views") or {}).items():
            path = folder / Path(str(image.get("file"))).name
            if path.is_file() and not path.is_symlink() and image.get("kind") in _SUFFIX:
                size = (int(image["width"]), int(image["height"]))
                read[view] = Image(path.read_bytes(), image["kind"], *size, str(image["caption"]))
        if {"picture", "classes"} <= read.keys():
            about = {key: value for key, value in each.items() if key != "views"}
            found.append(Picture(about, read))
    return found
