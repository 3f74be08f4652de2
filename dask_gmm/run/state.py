"""How far the run in a directory is, and how it goes on; nothing is changed by looking."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.directory import RunDirectory
from dask_gmm.run.unfinished import progress, read_identity

#: Readings that are steps of EM: of one mixture, of several together, and the first of several.
_STEPS = ("e-step", "e-steps", "e-steps-and-draw")


@dataclass(frozen=True)
class RunState:
    """What stands in a run directory.

    Attributes
    ----------
    run_dir : str
    state : str
        none, running, interrupted or finished.
    run_id : str or None
    finished : dict of str to int
        Of an unfinished run: the readings and other steps that are finished, by name.
    at_work : str or None
        The step that is partly done.
    parts, leaves : int or None
        Parts of that step that are kept, and into how many leaves the data are cut.
    result : bool
        Whether a finished result is there, of this run or of an earlier one.
    command : str or None
        What goes on with it.
    """

    run_dir: str
    state: str
    run_id: str | None = None
    finished: dict[str, int] | None = None
    at_work: str | None = None
    parts: int | None = None
    leaves: int | None = None
    result: bool = False
    command: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Say it in a line or two."""
        if self.state == "none":
            return f"{self.run_dir}: no run"
        if self.state == "finished":
            return f"{self.run_dir}: finished (run {self.run_id})"
        text = f"{self.run_dir}: {self.state} (run {self.run_id or 'not begun'}), {self._step()}"
        if self.result:
            text += "; the result of an earlier run is still there"
        if self.state == "interrupted":
            text += f"\nto go on: {self.command or 'start the same command again'}"
        return text

    def _step(self) -> str:
        done = self.finished or {}
        if "segment" in done:
            return "all written, to be moved into place"
        if "outputs" in done or self.at_work == "segment":
            return f"segmenting, {self.parts or 0} of {self.leaves} leaves kept"
        passes = sum(done.get(name, 0) for name in _STEPS)
        if passes or self.at_work in _STEPS:
            kept = f", and {_parts(self.parts or 0)} of the next" if self.at_work in _STEPS else ""
            return f"after pass {passes} of EM{kept}"
        if "survey" in done:
            return "after the survey"
        return "before the end of its first reading"


def _parts(n: int) -> str:
    return "1 part" if n == 1 else f"{n} parts"


def state_of(path: Path) -> RunState:
    """Look at a run directory.

    Raises
    ------
    ConfigurationError
        If ``path`` is no directory, or is not ours.
    """
    directory = RunDirectory(path.absolute())
    if path.exists() and not path.is_dir():
        raise ConfigurationError(
            f"{path}: is no run directory but a file; name the directory of a run"
        )
    if not path.exists() or not any(path.iterdir()):
        return RunState(str(path), "none")
    if not directory.is_ours():
        raise ConfigurationError(
            f"{path}: no run of this program made this directory; name the directory of a run"
        )
    manifest = directory.manifest()
    identity = read_identity(directory.checkpoint)
    running = directory.is_held()
    if not running and identity is None and directory.complete_run_id() is None:
        if manifest is None:
            return RunState(str(path), "none")
        return RunState(str(path), "finished", run_id=manifest.get("run_id"), result=True)
    done, at_work = progress(directory.checkpoint)
    if directory.complete_run_id() is not None:
        done["segment"] = 1
    known = identity or {}
    return RunState(
        str(path),
        "running" if running else "interrupted",
        run_id=known.get("run_id") or directory.complete_run_id(),
        finished=done,
        at_work=at_work[0] if at_work else None,
        parts=at_work[1] if at_work else None,
        leaves=known.get("leaves"),
        result=manifest is not None,
        command=known.get("command"),
    )
