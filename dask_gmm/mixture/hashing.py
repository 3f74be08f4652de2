"""Hashes: what every random draw and every hashed key stands on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def row_hashes(index: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Hash global row indices (n,) with ``seed``: the finaliser of SplitMix64, twice.

    G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014. The map is a bijection of the index for every seed: no two rows share a hash.
    """
    key = mixed(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64))
    hashes = mixed(index.astype(np.uint64, copy=False))
    hashes ^= key
    return mixed(hashes)


def mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of every number (n,); a bijection."""
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        shifted = z >> np.uint64(30)
        z ^= shifted
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= np.right_shift(z, np.uint64(27), out=shifted)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= np.right_shift(z, np.uint64(31), out=shifted)
    return z
