"""Whether a run that exists is left as it is, gone on with, replaced, or in the way: if_exists."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from dask_gmm.data.manifest import InputManifest
from dask_gmm.data.sources.several import manifests_of
from dask_gmm.errors import ConfigurationError, InputDataError
from dask_gmm.run.config import Config
from dask_gmm.run.directory import RunDirectory
from dask_gmm.run.unfinished import FORMAT_VERSION, progress, read_identity

log = logging.getLogger(__name__)

#: Status of a run some of whose many inputs have no result.
INCOMPLETE = "incomplete"
#: Keys that say where and how, not what: a result does not depend on them.
_WITHOUT_EFFECT = ("name", "run_dir", "if_exists", "cluster")

#: What must be the same for a run to go on with an unfinished one, and its key in the identity.
_SAME = {
    "configuration": "configuration_hash",
    "version": "version",
    "data": "fingerprint",
    "number of leaves": "leaves",
    "run_dir": "run_dir",
}


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
        return not is_incomplete(finished)
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


def is_incomplete(finished: dict[str, Any]) -> bool:
    """Tell whether some of many inputs had no result: the same command tries again."""
    return finished.get("status") == INCOMPLETE


def stands_by_data(
    finished: dict[str, Any], manifest: InputManifest, directory: RunDirectory
) -> bool:
    """Tell whether a finished run of the same configuration is left as it is.

    Raises
    ------
    InputDataError
        If the data have changed since.
    """
    if is_incomplete(finished):
        return False
    inputs = finished.get("inputs")
    before = [each.get("fingerprint") for each in (inputs if isinstance(inputs, list) else [])]
    if before != [each.fingerprint for each in manifests_of(manifest)]:
        raise InputDataError(
            f"{manifest.path}: the data have changed since {directory.path} was finished; set "
            "if_exists: overwrite to run again, or choose another run_dir"
        )
    return directory.holds_all()


def goes_on(checkpoint: Path, now: dict[str, Any], config: Config, manifest: InputManifest) -> bool:
    """Tell whether a run goes on from what an unfinished one has left in ``checkpoint``.

    It does if it is the same run. If it is another, ``if_exists: overwrite`` starts anew; so does
    any run where less than the starts was finished, because there is nothing to lose.

    Raises
    ------
    ConfigurationError, InputDataError
        If configuration, program or data are not those of the unfinished run.
    """
    before = read_identity(checkpoint)
    if before is None:
        return False
    differ = [what for what, key in _SAME.items() if before.get(key) != now[key]]
    if before.get("format_version") != FORMAT_VERSION:
        differ.insert(0, "version")
    done, at_work = progress(checkpoint)
    if not differ:
        counted = ", ".join(f"{n} x {name}" for name, n in done.items()) or "nothing finished"
        log.info("going on with an unfinished run: %s", counted)
        return True
    if config.if_exists == "overwrite" or not ({*done, at_work and at_work[0]} - {"survey", None}):
        log.info("an unfinished run is dropped: its %s is another", differ[0])
        return False
    remedy = "set if_exists: overwrite to start anew, or choose another run_dir"
    if differ[0] == "data":
        raise InputDataError(
            f"{manifest.path}: the data have changed since the run in {now['run_dir']} was "
            f"interrupted; {remedy}"
        )
    what = differ[0]
    if what == "configuration":
        keys = _differences(before.get("configuration"), now["configuration"])
        what += f" (changed: {', '.join(keys) or 'a value from the environment'})"
    else:
        what += f" ({str(before.get(_SAME[what]))[:100]!r}, now {str(now[_SAME[what]])!r})"
    raise ConfigurationError(
        f"{now['run_dir']}: an unfinished run with another {what} exists; {remedy}"
    )


def _differences(before: Any, after: Any) -> list[str]:
    """Name the keys whose values differ and that a result depends on."""
    keys = differences(before, after)
    return [key for key in keys if key.split(".")[0] not in _WITHOUT_EFFECT]


def differences(before: Any, after: Any, at: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the keys (``model.n_init``) whose values differ, with both values."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return {} if before == after else {at: (before, after)}
    found = dict[str, tuple[Any, Any]]()
    for key in sorted(before.keys() | after.keys()):
        found |= differences(before.get(key), after.get(key), f"{at}.{key}".lstrip("."))
    return found
