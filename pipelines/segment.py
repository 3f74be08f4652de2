"""Segment what a configuration names: ``python -m pipelines.segment CONFIG [KEY.PATH=VALUE ...]``.

What ``dask-gmm run`` does, as three calls of the library: the place to start from for a job of
your own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import plan_configured, run_configured


def main(arguments: Sequence[str]) -> int:
    """Carry out a configuration; return the exit code, whatever the end."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return exit_code(lambda: segment(*arguments))


def segment(path: str, *overrides: str) -> None:
    """Load, plan and run a configuration, and print what came out."""
    config = load_config(path, overrides=overrides)
    plan = plan_configured(config).plan
    print(f"{plan.n_rows:,} rows x {plan.n_features} features in {len(plan.leaves)} leaves")
    outcome = run_configured(config)
    for each in outcome.manifest["classes"]:
        mean = ", ".join(f"{value:.4g}" for value in each["mean"])
        print(f"class {each['label']}: {each['weight']:.2%}, mean {mean}")
    print(outcome.run_dir / "report.html")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
