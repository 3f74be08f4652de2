"""Refit, with yesterday's labels: ``python -m pipelines.nightly CONFIG [KEY.PATH=VALUE ...]``.

``run_dir`` of CONFIG holds {date} or {time}. Of the runs that stand under other dates, the newest
finished one numbers the classes (``classes.align_to``); what has become of each class is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from dask_gmm.run.config import Config, load_config
from dask_gmm.run.directory import RunDirectory
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured


def main(arguments: Sequence[str]) -> int:
    """Carry out a configuration; return the exit code, whatever the end."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return exit_code(lambda: refit(*arguments))


def refit(path: str, *overrides: str) -> None:
    """Fit anew, in the labels of the run before, and print the drift."""
    before = last_finished(load_config(path, overrides=overrides))
    aligned = [] if before is None else [f"classes={{align_to: {json.dumps(str(before))}}}"]
    outcome = run_configured(load_config(path, overrides=[*overrides, *aligned]))
    alignment = outcome.manifest["alignment"]
    for each in outcome.manifest["classes"] if alignment is None else alignment["classes"]:
        if alignment is None:
            print(f"class {each['label']}: {each['weight']:.2%}, by weight")
        elif each["was"] is None:
            print(f"class {each['label']}: new")
        else:
            print(f"class {each['label']}: was {each['was']}, overlap {each['overlap']:.3f}")
    print(outcome.run_dir / "report.html")


def last_finished(config: Config) -> Path | None:
    """Return the newest finished run of the same name, but not that of now."""
    now = config.paths(datetime.now().astimezone()).run_dir
    found = dict[str, Path]()
    for path in now.parent.glob("*/manifest.json"):
        manifest = RunDirectory(path.parent).manifest() or {}
        # Others may keep their runs there too; a model that was only applied has no fit.
        if manifest.get("name") == config.name and "fit" in manifest and path.parent != now:
            found[manifest["started"]] = path.parent
    return found[max(found)] if found else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
