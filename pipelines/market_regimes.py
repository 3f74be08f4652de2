"""Tell calm days from others: ``python -m pipelines.market_regimes [--draw] CONFIG [KEY=VALUE]``.

Daily returns of several markets come from one of a few regimes: in each they vary by so much, and
together to such a degree. With ``--draw`` thirty years are drawn first from two regimes that follow
each other as a Markov chain, where ``configs/returns.yaml`` looks for them; what was found then
stands beside the truth. A mixture sees no order of the days: that regimes last shows in the result.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured

RETURNS = Path("data/returns.parquet")
DAYS, YEAR, ROW_GROUP = 7_560, 252, 1_260
MARKETS = ("stocks", "small_caps", "emerging", "bonds")
#: Of the calm and of the stormy regime: days that it lasts, mean a year, deviation a year, and the
#: correlation of the three kinds of shares; that of bonds with them.
LASTING = np.array([120.0, 30.0])
MEANS = np.array([[0.12, 0.13, 0.12, 0.03], [-0.25, -0.35, -0.40, 0.08]])
SPREADS = np.array([[0.10, 0.13, 0.15, 0.04], [0.32, 0.40, 0.45, 0.07]])
TOGETHER, WITH_BONDS = np.array([0.5, 0.85]), np.array([0.1, -0.4])


def main(arguments: Sequence[str]) -> int:
    """Draw the returns if need be, tell the regimes, and return the exit code."""
    words = [word for word in arguments if word != "--draw"]
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    if len(words) < len(arguments) and not RETURNS.exists():
        draw_returns(RETURNS)
    return exit_code(lambda: tell(*words))


def tell(path: str, *overrides: str) -> None:
    """Carry out a configuration, and print each regime's numbers, and how long it lasts."""
    outcome = run_configured(load_config(path, overrides=overrides))
    (table,) = (outcome.run_dir / "regimes").glob("*.parquet")
    found = pq.read_table(table)
    labels = found["label"].to_numpy()
    for each in outcome.manifest["classes"]:
        numbers = zip(outcome.manifest["feature_names"], each["mean"], each["std"], strict=True)
        said = ", ".join(f"{m} {YEAR * a:+.0%} +- {YEAR**0.5 * s:.0%}" for m, a, s in numbers)
        lasting = spell(labels == each["label"])
        print(f"regime {each['label']}: {each['weight']:.0%} of the days, {lasting:.1f} at a time")
        print(f"  a year: {said}")
    if "regime" in found.column_names:
        drawn = found["regime"].to_numpy()
        # The regime that a class stands for is the one that most of its days were drawn from.
        inside = [drawn[labels == each["label"]] for each in outcome.manifest["classes"]]
        right = sum(int(np.bincount(regimes, minlength=1).max()) for regimes in inside)
        print(f"{right / len(drawn):.1%} of the days are told right")
    print(outcome.run_dir / "report.html")


def spell(inside: np.ndarray) -> float:
    """Return the mean length of runs of true."""
    begun = np.count_nonzero(np.diff(inside.astype(int), prepend=0) == 1)
    return np.count_nonzero(inside) / max(begun, 1)


def draw_returns(path: Path) -> None:
    """Draw the days of the two regimes, as one table in the order of the days."""
    rng = np.random.default_rng(2026)
    regime = np.zeros(DAYS, int)
    for day in range(1, DAYS):
        leaves = rng.random() < 1 / LASTING[regime[day - 1]]
        regime[day] = 1 - regime[day - 1] if leaves else regime[day - 1]
    returns = np.empty((DAYS, len(MARKETS)))
    for k in (0, 1):
        correlation = np.full((4, 4), TOGETHER[k])
        correlation[3, :3] = correlation[:3, 3] = WITH_BONDS[k]
        np.fill_diagonal(correlation, 1)
        root = np.linalg.cholesky(correlation) * (SPREADS[k] / YEAR**0.5)[:, None]
        days = regime == k
        returns[days] = MEANS[k] / YEAR + rng.normal(size=(np.count_nonzero(days), 4)) @ root.T
    first = np.datetime64(date(1996, 1, 2))
    days = np.busday_offset(first, np.arange(DAYS))
    columns = {"date": pa.array(days)}
    columns |= {name: pa.array(returns[:, j]) for j, name in enumerate(MARKETS)}
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({**columns, "regime": pa.array(regime)})
    pq.write_table(table, path, row_group_size=ROW_GROUP, write_page_checksum=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
