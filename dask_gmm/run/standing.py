"""Whether a finished run is left as it is, replaced, or in the way: what ``if_exists`` means."""

from __future__ import annotations

from typing import Any

from dask_gmm.data.manifest import InputManifest
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.run.config import Config
from dask_gmm.run.directory import RunDirectory

#: Keys that say where and how, not what: a result does not depend on them.
_WITHOUT_EFFECT = ("name", "run_dir", "if_exists", "cluster")


def stands_by_configuration(
    finished: dict[str, Any], config: Config, directory: RunDirectory
) -> bool | None:
    """Tell whether a finished run is left as it is; None where that depends on the data.

    Raises
    ------
    ConfigurationError
        If there may be none, or it was made with another configuration.
    """
    if config.if_exists == "overwrite":
        return False
    if config.if_exists == "skip":
        return True
    if config.if_exists == "error":
        raise ConfigurationError(
            f"{directory.path}: a finished run exists; set if_exists: skip, resume or overwrite, "
            "or choose another run_dir"
        )
    if finished.get("configuration_hash") != config.hash():
        changed = ", ".join(_differences(finished.get("configuration"), config.redacted()))
        raise ConfigurationError(
            f"{directory.path}: a finished run with another configuration exists (changed: "
            f"{changed or 'a value from the environment'}); set if_exists: overwrite to replace "
            "it, or choose another run_dir"
        )
    return None


def stands_by_data(
    finished: dict[str, Any], manifest: InputManifest, directory: RunDirectory
) -> bool:
    """Tell whether a finished run of the same configuration is left as it is.

    Raises
    ------
    InputDataError
        If the data have changed since.
    """
    inputs = finished.get("inputs")
    before = [each.get("fingerprint") for each in (inputs if isinstance(inputs, list) else [])]
    if before != [manifest.fingerprint]:
        raise InputDataError(
            f"{manifest.path}: the data have changed since {directory.path} was finished; set "
            "if_exists: overwrite to run again, or choose another run_dir"
        )
    return directory.holds_all()


def _differences(before: Any, after: Any, at: str = "") -> list[str]:
    """Name the keys whose values differ and that a result depends on."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [at]
    found = list[str]()
    for key in sorted(before.keys() | after.keys()):
        if at or key not in _WITHOUT_EFFECT:
            found += _differences(before.get(key), after.get(key), f"{at}.{key}".lstrip("."))
    return found
