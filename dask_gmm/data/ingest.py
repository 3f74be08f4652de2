"""Pictures into Zarr: decoded once, chunked for reading, so that every pass reads arrays."""

from __future__ import annotations

import hashlib
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from dask_gmm.data.folders import LocalFolder
from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.pictures import decode_picture
from dask_gmm.data.sources import open_source
from dask_gmm.data.zarr_layout import one_chunk_at_a_time, read_layout
from dask_gmm.errors import ConfigurationError, InputDataError, RunFailedError

log = logging.getLogger(__name__)

MARKER = "dask_gmm_ingest"  # attribute by which this module knows the arrays it made


def ingest_image(
    image_path: str | Path,
    zarr_path: str | Path,
    *,
    chunk: tuple[int, int] = (512, 1024),
    overwrite: bool = False,
) -> InputManifest:
    """Write a PNG, JPEG or TIFF picture as a Zarr array (rows, columns, features).

    Greyscale gives one feature, colour and palettes give red, green, blue; alpha is left out (with
    a warning where it is not opaque), the EXIF orientation is applied, 8 and 16 bit grey and 8 bit
    colour stay as they are. The array is written beside its place and then renamed. A second call
    with the same picture and chunk finds the first one's work and does nothing.

    Parameters
    ----------
    image_path : path
        The picture; at most 2^31 pixels. It is decoded whole, at about 8 bytes a pixel.
    zarr_path : path
        The array to make; its parents are made.
    chunk : (int, int)
        Rows and columns of a chunk in pixels; every chunk holds all features.
    overwrite : bool
        Whether an array that this function made, but from something else or damaged since, may be
        replaced. Anything else at `zarr_path` is never touched.

    Returns
    -------
    InputManifest
        Of the array at `zarr_path`.

    Raises
    ------
    InputDataError
        If the picture is missing, broken, too large or of an unsupported kind.
    ConfigurationError
        If `chunk` is not positive, or `zarr_path` holds something that may not be replaced.
    RunFailedError
        If the array cannot be written.
    """
    image_path, zarr_path = Path(image_path).absolute(), Path(zarr_path).absolute()
    if len(chunk) != 2 or min(chunk) < 1:
        raise ConfigurationError(
            f"chunk: found {chunk}; allowed are two positive numbers of pixels"
        )
    marker = {"version": 1, "sha256": _sha256(image_path), "chunk": list(chunk)}
    if zarr_path.exists() or zarr_path.is_symlink():
        found = _marker_of(zarr_path)
        if found == marker:
            try:
                manifest = open_source("zarr", str(zarr_path)).manifest()
            except InputDataError:  # damaged since: made anew if that is allowed
                if not overwrite:
                    raise
            else:
                log.info("%s is already ingested as %s; nothing to do", image_path, zarr_path)
                return manifest
        _refuse_replacing(zarr_path, found, overwrite)
    pixels, names = decode_picture(image_path)
    try:
        _write_beside(zarr_path, pixels, chunk, {MARKER: marker, "feature_names": list(names)})
    except OSError as error:
        raise RunFailedError(
            f"{zarr_path}: cannot be written ({error}); make room or choose another path"
        ) from error
    log.info("%s ingested as %s, shape %s", image_path, zarr_path, pixels.shape)
    return open_source("zarr", str(zarr_path)).manifest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror})") from error


def _marker_of(path: Path) -> dict[str, Any] | None:
    """Return what an earlier ingest noted in the array at `path`; None if none made it."""
    try:
        marker = read_layout(LocalFolder(str(path)))[1].get(MARKER)
    except InputDataError:
        return None
    return marker if isinstance(marker, dict) else None


def _refuse_replacing(path: Path, found: dict[str, Any] | None, overwrite: bool) -> None:
    if found is None or path.is_symlink():
        raise ConfigurationError(
            f"{path}: exists and was not made by ingest, so it is never replaced; remove it "
            "yourself or choose another path"
        )
    if not overwrite:
        raise ConfigurationError(
            f"{path}: was made by ingest from another picture, or with another chunk than now "
            f"({found.get('chunk')}); allow overwrite or choose another path"
        )


def _write_beside(
    path: Path, pixels: npt.NDArray[Any], chunk: tuple[int, int], attributes: dict[str, Any]
) -> None:
    """Write the array under a temporary name in the same directory, then put it in its place."""
    token = uuid.uuid4().hex
    partial, old = (path.with_name(f".{path.name}.{token}.{end}") for end in ("partial", "old"))
    shuffle: Literal["shuffle", "noshuffle"] = (
        "shuffle" if pixels.dtype.itemsize > 1 else "noshuffle"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        array = zarr.create_array(
            str(partial),
            shape=pixels.shape,
            chunks=(*map(min, chunk, pixels.shape), pixels.shape[2]),
            dtype=pixels.dtype,
            # Blosc-lz4 reads 1.5 GB/s where Zstandard reads 0.5 (Blue Marble: 27 and 18 MB); the
            # checksum behind it, for 5 % more, notices what Blosc does not: bytes that changed.
            compressors=[BloscCodec(cname="lz4", shuffle=shuffle), Crc32cCodec()],
            dimension_names=("y", "x", "feature"),
            attributes=attributes,
            config={"write_empty_chunks": True},
            zarr_format=3,
        )
        with one_chunk_at_a_time():
            array[:] = pixels
        _replace(path, partial, old)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _replace(path: Path, new: Path, old: Path) -> None:
    """Rename `new` to `path`; what was there becomes `old`, or returns if that fails."""
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
