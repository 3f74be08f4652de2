"""Whether scheduler and workers have the same software as this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from dask_gmm.errors import ConfigurationError

log = logging.getLogger(__name__)

#: Must be the same everywhere, or tasks and results cannot be exchanged.
REQUIRED = ("dask_gmm", "dask", "distributed", "python")
#: Decide the last bits of a result, or what can be read.
WANTED = ("numpy", "scipy", "zarr")


def require_same_versions(client: Any) -> None:
    """Refuse a cluster whose software does not go together with ours; warn of smaller things.

    Raises
    ------
    ConfigurationError
        Naming a process, what it has, and what it should have.
    """
    answers = client.get_versions(
        packages=[name for name in (*REQUIRED, *WANTED) if name != "python"]
    )
    ours = _packages(answers["client"])
    others = {"the scheduler": _packages(answers["scheduler"])}
    others |= {f"the worker {at}": _packages(each) for at, each in answers["workers"].items()}
    for who, package, theirs in _differences(ours, others, REQUIRED):
        name = package.replace("_", "-")
        if theirs is None:
            raise ConfigurationError(
                f"{who} has no {name}; install it there: pip install 'dask-gmm=={ours['dask_gmm']}'"
            )
        raise ConfigurationError(
            f"{who} has {name} {theirs}, this process {ours[package]}; install the same version on "
            "both (scheduler and workers too need dask-gmm and its packages)"
        )
    for who, package, theirs in _differences(ours, others, WANTED):
        log.warning(
            "%s has %s %s, this process %s: results may differ in their last bits",
            who,
            package,
            theirs,
            ours[package],
        )


def _packages(answer: Mapping[str, Any]) -> dict[str, str | None]:
    found = dict(answer["packages"])
    # Dask tells 3.11.7.final.0; tasks can be exchanged between 3.11.7 and 3.11.9.
    found["python"] = ".".join(str(found["python"]).split(".")[:2])
    return found


def _differences(
    ours: Mapping[str, str | None],
    others: Mapping[str, Mapping[str, str | None]],
    packages: tuple[str, ...],
) -> Iterator[tuple[str, str, str | None]]:
    """Yield (who, package, their version) wherever it is not ours."""
    for package in packages:
        for who, theirs in others.items():
            if theirs.get(package) != ours[package]:
                yield who, package, theirs.get(package)
