"""A NIfTI volume as a stored array: mapped where it lies, or unpacked once by every process."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tempfile
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from dask_gmm.data.extras import required
from dask_gmm.data.npy_array import NpyArray
from dask_gmm.data.stored import check_content
from dask_gmm.errors import InputDataError, RunFailedError

#: Bytes that are unpacked at a time.
_PIECE = 4 << 20
_MAGIC = b"\x1f\x8b"
_AXES = ("x", "y", "z", "t", "u", "v", "w")


@dataclass(frozen=True)
class NiftiArray(NpyArray):
    """The numbers of a .nii or .nii.gz, as stored; the first axis is the fastest.

    gzip has no way into its middle. So a process unpacks a .nii.gz when it first reads of it, into
    a file without a name in its directory for temporary files: it takes disk, not memory, and is
    gone with the process, however that ends. Any region is then mapped and copied, as of a .nii.

    Parameters
    ----------
    packed : bool
        Whether it is gzipped.
    """

    packed: bool = False

    @property
    def axis_names(self) -> tuple[str | None, ...]:  # type: ignore[override]
        """As the format numbers them: x, y, z, t, and further ones."""
        return _AXES[: len(self.shape)]

    def chunk_at(self, index: Sequence[int]) -> str:
        """Name an element's place."""
        return f"the voxel {tuple(map(int, index))}"

    def _file(self) -> str | IO[bytes]:
        if not self.packed:
            return self.name
        with _unpacking:
            return _unpacked(self, Path(self.name).stat().st_mtime_ns)

    def _check_size(self) -> Any:
        if not self.packed:
            return super()._check_size()
        try:
            return Path(self.name).stat()
        except OSError as error:
            raise InputDataError(
                f"{self.name}: cannot be read ({error.strerror}); every worker must see the file "
                "under this path"
            ) from error


def open_nifti_array(path: str) -> tuple[NiftiArray, Any]:
    """Read a NIfTI header; return the array, and nibabel's image, of which no number is read.

    Raises
    ------
    InputDataError
        If there is no such file, it is no NIfTI, it is shorter than its header says, or it holds no
        real numbers.
    ConfigurationError
        If nibabel is not installed.
    """
    nibabel = required("nibabel", "bio", "NIfTI", path)
    try:
        with Path(path).open("rb") as file:
            packed = file.read(2) == _MAGIC
        if not path.lower().endswith((".nii", ".nii.gz")):
            raise ValueError("its name ends neither in .nii nor in .nii.gz")
        image: Any = nibabel.load(path)
        header = image.header
        if not isinstance(header, nibabel.Nifti1Header):
            raise ValueError(f"it is {type(image).__name__}")
        shape, dtype = image.shape, header.get_data_dtype()
        lies = image.dataobj  # where and how: nibabel takes it out of the header it hands out
        offset = int(lies.offset)
        told = header.binaryblock + repr((offset, lies.slope, lies.inter)).encode()
        digest = hashlib.sha256(told).hexdigest()
    except FileNotFoundError:
        raise InputDataError(f"{path}: does not exist; allowed is a .nii or .nii.gz file") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputDataError(
            f"{path}: cannot be read ({reason}); allowed is a readable .nii or .nii.gz file"
        ) from error
    except Exception as error:  # nibabel has its own for every field of the header
        raise InputDataError(
            f"{path}: is no NIfTI volume ({type(error).__name__}: {error}); allowed are .nii and "
            ".nii.gz of NIfTI-1 and NIfTI-2"
        ) from error
    array = NiftiArray(path, tuple(map(int, shape)), dtype, True, offset, digest, packed)
    check_content(array)
    array._check_size()
    return array, image


class _Unnamed(io.FileIO):
    """An open file without a name, closed when nobody reads of it any more."""

    def __del__(self) -> None:
        self.close()


_unpacking = threading.Lock()


@lru_cache(maxsize=8)
def _unpacked(array: NiftiArray, mtime_ns: int) -> IO[bytes]:
    """Unpack a volume; the file has no name, and vanishes when it is let go or the process ends.

    Raises
    ------
    InputDataError
        If the stream is truncated or corrupt: gzip carries a checksum of all that was packed.
    RunFailedError
        If there is no room for it.
    """
    wanted = array.offset + int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
    done, fault = 0, ""
    with tempfile.TemporaryFile() as unnamed:
        file = _Unnamed(os.dup(unnamed.fileno()), "r+b")
    with Path(array.name).open("rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
        while True:
            try:
                piece = stream.read(_PIECE)
            except (EOFError, OSError, zlib.error) as error:
                fault = f"is truncated or corrupt ({error})"
                break
            if not piece:
                fault = "is too short" if done < wanted else ""
                break
            done += len(piece)
            try:
                while piece:
                    piece = piece[file.write(piece) :]
            except OSError as error:
                raise RunFailedError(
                    f"{tempfile.gettempdir()}: {array.name} cannot be unpacked into it "
                    f"({error.strerror}); make room for {wanted:,} bytes per worker, or set TMPDIR"
                ) from error
    if fault:
        plane = max(0, done - array.offset) // max(1, (wanted - array.offset) // array.shape[-1])
        raise InputDataError(
            f"{array.name}: {fault}: {done:,} of {wanted:,} bytes can be unpacked, up to plane "
            f"{min(plane, array.shape[-1] - 1)} of {array.shape[-1]} along the last axis; restore "
            "it from a copy"
        )
    return file
