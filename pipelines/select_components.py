"""Choose K and the covariances, then run: ``python -m pipelines.select_components CONFIG``.

Compares all that the configuration's lists name, in shared readings, then runs the winner alone.
Values can be put over the configuration's: ``... CONFIG KEY.PATH=VALUE ...``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dask_gmm.run.choosing import select_configured
from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured


def main(arguments: Sequence[str]) -> int:
    """Carry out a configuration; return the exit code, whatever the end."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return exit_code(lambda: select(*arguments))


def select(path: str, *overrides: str) -> None:
    """Compare the candidates, print how they stand, and run the one that is chosen."""
    compared = select_configured(load_config(path, overrides=overrides))
    for each in compared["candidates"]:
        mark = "*" if each["chosen"] else " "
        print(f"{mark} K={each['n_components']} {each['covariance_type']}: BIC {each['bic']:.1f}")
    for remark in compared["remarks"]:
        print(remark)
    winner = next(each for each in compared["candidates"] if each["chosen"])
    alone = [f"model.{key}={winner[key]}" for key in ("n_components", "covariance_type")]
    outcome = run_configured(load_config(path, overrides=[*overrides, *alone]))
    print(outcome.run_dir / "report.html")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
