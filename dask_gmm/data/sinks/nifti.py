"""Results of a NIfTI volume as one: the input's header, and so its place in the scanner."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from dask_gmm.data.geometry import Geometry
from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks import JOINED_ROWS
from dask_gmm.data.sinks.joined import Parts
from dask_gmm.errors import ConfigurationError

#: nibabel's own: more saves little of labels and takes much longer.
_LEVEL = 1
_SPACE = ("x", "y", "z")


@dataclass(frozen=True)
class NiftiWriter:
    """How a volume is written; results of further axes lie along a fourth and fifth.

    Parameters
    ----------
    header : str
        The input's, as its `Geometry` carries it.
    classes : bool
        Whether the numbers are class numbers, which the format can say.
    scale : float or None
        What a stored number is multiplied by.
    """

    header: str
    classes: bool
    scale: float | None = None

    @classmethod
    def of(
        cls,
        path: Path,
        geometry: Geometry | None,
        *,
        classes: bool,
        scale: float | None = None,
    ) -> NiftiWriter:
        """Return the writer for results at `path` of an input that lies at `geometry`.

        Raises
        ------
        ConfigurationError
            If the name does not say the format, the input is no NIfTI, or its features lie along an
            axis of space.
        """
        if not path.name.lower().endswith((".nii", ".nii.gz")):
            raise ConfigurationError(
                f"{path}: a NIfTI volume's name ends in .nii or .nii.gz; rename it"
            )
        if geometry is None or "nifti" not in json.loads(geometry.header):
            raise ConfigurationError(
                f"{path}: only results of a NIfTI volume can be one; set kind: same"
            )
        names = tuple(axis.name for axis in geometry.axes[: len(_SPACE)])
        if names != _SPACE[: len(names)]:
            raise ConfigurationError(
                f"{path}: a NIfTI volume's first axes are x, y, z, but here {names} are, as "
                "source.feature_axis is one of space; set kind: zarr"
            )
        return cls(geometry.header, classes, scale)

    def write(self, path: Path, parts: Parts) -> None:
        """Write the file."""
        if not path.name.lower().endswith(".gz"):
            with path.open("w+b") as file:
                self._write(file, parts)
            return
        with closing(tempfile.TemporaryFile(dir=path.parent)) as file, path.open("wb") as packed:
            self._write(file, parts)
            file.seek(0)
            # No time and no name in it: the same values are the same bytes.
            with gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as stream:
                shutil.copyfileobj(file, stream, 4 << 20)

    def _write(self, file: IO[bytes], parts: Parts) -> None:
        """Write header and numbers, the first axis fastest, some `JOINED_ROWS` rows at a time."""
        shape = parts.grid.shape
        if parts.trailing and len(shape) < len(_SPACE):
            shape += (1,) * (len(_SPACE) - len(shape))
        shape += parts.trailing
        header = self._header(shape, parts.dtype)
        header.write_to(file)
        file.flush()
        offset, n_bytes = int(header.get_data_offset()), int(np.prod(shape)) * parts.dtype.itemsize
        # A mapping into a hole of a full disk would kill the process that writes there.
        os.posix_fallocate(file.fileno(), 0, offset + n_bytes)
        for region in _runs(parts.grid.shape):
            mapped = np.memmap(
                file, parts.dtype, "r+", offset, parts.grid.shape + parts.trailing, "F"
            )
            mapped[region] = parts.read(region)
            del mapped  # what stays mapped counts as the process's memory

    def _header(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Return the input's header with what is the results' own: shape, dtype, meaning."""
        import nibabel

        said = json.loads(self.header)
        known = {"Nifti1Header": nibabel.Nifti1Header, "Nifti2Header": nibabel.Nifti2Header}
        block = base64.b64decode(said["nifti"])
        found = known[said["class"]](block, said["endianness"], check=False)
        header = found.as_byteswapped("<")
        header.set_data_shape(shape)
        header.set_data_dtype(dtype)
        header.set_slope_inter(self.scale or 1.0, 0.0)
        header["vox_offset"] = 0  # behind the header: extensions were not read
        header["cal_min"] = header["cal_max"] = 0
        header["descrip"] = b"dask-gmm"
        header.set_intent("label" if self.classes else "none")
        return header


def _runs(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut a volume into regions of at most `JOINED_ROWS` voxels that lie together in the file."""
    lengths, room = list[int](), JOINED_ROWS
    for n in shape:
        lengths.append(min(n, max(1, room)))
        room //= lengths[-1]
    cut = Grid(shape, tuple(lengths))
    yield from map(cut.region, range(len(cut)))
