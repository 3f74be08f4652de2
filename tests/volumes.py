"""Small volumes in the formats that people keep them in, as their own libraries write them."""

from __future__ import annotations

import warnings

import numpy as np
import zarr

AFFINE = np.array(
    [[-2.0, 0.1, 0.0, 90.0], [0.1, 2.0, 0.2, -126.0], [0.0, -0.2, 2.5, -72.0], [0, 0, 0, 1]]
)


def write_nifti(path, values, *, slope=None, inter=0.0, big_endian=False, version=1):
    """Write an array whose last axis, beyond three, is the fourth; an affine that is oblique."""
    import nibabel as nib

    kind = {1: nib.Nifti1Image, 2: nib.Nifti2Image}[version]
    image = kind(values, AFFINE, dtype=values.dtype)
    if big_endian:
        header = image.header.as_byteswapped(">")
        image = kind(values, AFFINE, header, dtype=values.dtype)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(AFFINE, code=1)
    image.set_sform(AFFINE, code=4)
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def write_ome_zarr(path, values, names, *, version="0.5", chunks=None, labels=None, levels=2):
    """Write an image whose axes have the order of `names`; every second level is half as large."""
    types = {"t": "time", "c": "channel"}
    units = {"time": "second", "space": "micrometer"}
    axes = [{"name": name, "type": types.get(name, "space")} for name in names]
    axes = [
        axis | ({"unit": units[axis["type"]]} if axis["type"] in units else {}) for axis in axes
    ]
    step = {"t": 1.5, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.5}
    start = {"z": 7.0, "y": 3.0, "x": -2.0}
    datasets = [
        {
            "path": f"s{level}",
            "coordinateTransformations": [
                {
                    "type": "scale",
                    "scale": [step[n] * (2**level if n in "xy" else 1) for n in names],
                },
                {"type": "translation", "translation": [start.get(n, 0.0) for n in names]},
            ],
        }
        for level in range(levels)
    ]
    said = {"multiscales": [{"axes": axes, "datasets": datasets, "name": "drawn"}]}
    if labels:
        window = {"start": 0, "end": 255, "min": 0, "max": 255}
        said["omero"] = {
            "channels": [{"label": n, "color": "FFFFFF", "window": window} for n in labels]
        }
    options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    if version == "0.4":
        said["multiscales"][0]["version"] = "0.4"
        group = zarr.create_group(str(path), zarr_format=2, attributes=said)
    else:
        options = {"dimension_names": list(names)}
        group = zarr.create_group(
            str(path), zarr_format=3, attributes={"ome": {"version": "0.5", **said}}
        )
    for level, dataset in enumerate(datasets):
        cut = tuple(slice(None, None, 2**level if n in "xy" else 1) for n in names)
        finer = values[cut]
        group.create_array(
            dataset["path"],
            shape=finer.shape,
            dtype=finer.dtype,
            chunks=tuple(map(min, chunks or finer.shape, finer.shape)),
            config={"write_empty_chunks": True},
            **options,
        )[...] = finer
    return group


def quietly(call, *arguments, **options):
    """Call a library that warns of other libraries' ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)
