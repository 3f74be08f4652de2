"""Segment what a configuration names: ``python -m pipelines.segment CONFIG [KEY.PATH=VALUE ...]``.

What ``dask-gmm run`` does, as three calls of the library: the place to start from for a job of
your own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dask_gmm.errors import DaskGmmError
from dask_gmm.run.config import load_config
from dask_gmm.run.job import plan_configured, run_configured


def main(arguments: Sequence[str]) -> int:
    """Carry out a configuration; return the exit code."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    path, *overrides = arguments
    try:
        config = load_config(path, overrides=overrides)
        plan = plan_configured(config).plan
        print(f"{plan.n_rows:,} rows x {plan.n_features} features in {len(plan.leaves)} leaves")
        outcome = run_configured(config)
    except DaskGmmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for each in outcome.manifest["classes"]:
        mean = ", ".join(f"{value:.4g}" for value in each["mean"])
        print(f"class {each['label']}: {each['weight']:.2%}, mean {mean}")
    print(outcome.run_dir / "report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
