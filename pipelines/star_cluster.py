"""Find a cluster of stars: ``python -m pipelines.star_cluster [--draw] CONFIG [KEY=VALUE]``.

Members of an open cluster move together and lie at one distance; the stars before and behind it do
not. With ``--draw`` a field of the size and depth of Gaia's is drawn first, with a cluster like the
Pleiades in it, where ``configs/stars.yaml`` looks for one; what was found then stands beside the
truth. A catalogue of your own needs no more than the columns that the configuration names.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured

CATALOGUE = Path("data/stars.parquet")
MEMBERS, FIELD, ROW_GROUP = 1_000, 40_000, 5_000
#: The Pleiades as Gaia has them: parallax in milliarcseconds, proper motion in those a year.
PARALLAX, MOTION, CENTRE = 7.36, np.array([19.9, -45.5]), np.array([56.7, 24.1])
#: Speeds of one km/s at one kiloparsec are so many kiloparsecs x milliarcseconds a year.
KM_PER_S = 4.74


def main(arguments: Sequence[str]) -> int:
    """Draw the catalogue if need be, look for the cluster, and return the exit code."""
    words = [word for word in arguments if word != "--draw"]
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    if len(words) < len(arguments) and not CATALOGUE.exists():
        draw_catalogue(CATALOGUE)
    return exit_code(lambda: find(*words))


def find(path: str, *overrides: str) -> None:
    """Carry out a configuration, and print the class that moves together most, star by star."""
    outcome = run_configured(load_config(path, overrides=overrides))
    names = outcome.manifest["feature_names"]
    # The tightest class: the one with the smallest product of spreads.
    cluster = min(outcome.manifest["classes"], key=lambda each: np.prod(each["std"]))
    for name, mean, spread in zip(names, cluster["mean"], cluster["std"], strict=True):
        print(f"{name}: {mean:.2f} +- {spread:.2f}")
    (catalogue,) = (outcome.run_dir / "classes").glob("*.parquet")
    found = pq.read_table(catalogue)
    likely = found[f"p_{cluster['label']}"].to_numpy()
    print(f"{np.count_nonzero(likely > 0.5):,} stars are members with a chance of more than half")
    if "member" in found.column_names:
        drawn = found["member"].to_numpy()
        both = np.count_nonzero((likely > 0.5) & drawn)
        print(f"{both:,} of these were drawn as members, of {np.count_nonzero(drawn):,} in all")
    print(outcome.run_dir / "report.html")


def draw_catalogue(path: Path) -> None:
    """Draw the cluster and what lies before and behind it, as a catalogue with its errors."""
    rng = np.random.default_rng(2026)
    kpc = np.concatenate([1 / rng.normal(PARALLAX, 0.1, MEMBERS), field_distances(rng)])
    member = np.arange(len(kpc)) < MEMBERS
    # Members share the cluster's motion to 0.6 km/s; the disk's stars have 30, and the Sun's.
    speed = rng.normal([5.0, -20.0], 30.0, size=(len(kpc), 2))
    motion = speed / KM_PER_S / kpc[:, None]
    motion[member] = rng.normal(MOTION, 0.6 / KM_PER_S * PARALLAX, size=(MEMBERS, 2))
    brightness = np.where(member, rng.uniform(6, 17, len(kpc)), 17 - rng.exponential(1.5, len(kpc)))
    error = 0.02 * 10 ** (0.2 * np.maximum(brightness - 13, 0))  # milliarcseconds, as Gaia's grows
    place = np.where(
        member[:, None], rng.normal(0, 1.0, (len(kpc), 2)), rng.uniform(-4, 4, (len(kpc), 2))
    )
    sky = CENTRE + place / [np.cos(np.radians(CENTRE[1])), 1.0]
    noise = rng.normal(size=(3, len(kpc))) * error
    columns = {
        "source_id": pa.array(rng.permutation(len(kpc))),
        "ra": pa.array(sky[:, 0]),
        "dec": pa.array(sky[:, 1]),
        # One in a hundred has no solution of five parameters: nulls, as in the real catalogue.
        "parallax": pa.array(1 / kpc + noise[0], mask=rng.random(len(kpc)) < 0.01),
        "pmra": pa.array(motion[:, 0] + noise[1]),
        "pmdec": pa.array(motion[:, 1] + noise[2]),
        "phot_g_mean_mag": pa.array(brightness.astype("f4")),
        "member": pa.array(member),
    }
    order = np.argsort(columns["source_id"].to_numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).take(order)
    pq.write_table(table, path, row_group_size=ROW_GROUP, write_page_checksum=True)


def field_distances(rng: np.random.Generator) -> np.ndarray:
    """Draw distances of the field's stars in kiloparsecs: as many per volume, thinning out."""
    return np.maximum(rng.gamma(3.0, 0.35, FIELD), 0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
