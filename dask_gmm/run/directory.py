"""Who owns a run directory, and how a result becomes one.

A directory is ours when it holds our marker; nothing without it is ever written to or deleted.
Everything is written below ``.partial`` and moved to its place when all of it is there, the
manifest last: a directory without ``manifest.json`` is not a result, and an older result stays one
until the newer is complete.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dask_gmm.errors import ConfigurationError, RunFailedError, TemporaryFailureError
from dask_gmm.model_file import write_durably

MARKER = ".dask-gmm-run.json"
LOCK = ".dask-gmm-run.lock"
PARTIAL = ".partial"
MANIFEST = "manifest.json"


class RunDirectory:
    """One run's directory.

    Parameters
    ----------
    path : Path
        Absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def partial(self) -> Path:
        """Where everything is written until all of it is there."""
        return self.path / PARTIAL

    def is_ours(self) -> bool:
        """Tell whether the directory holds our marker."""
        return (self.path / MARKER).is_file()

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest of a finished run, or None.

        Raises
        ------
        ConfigurationError
            If there is one that cannot be read.
        """
        path = self.path / MANIFEST
        if not self.is_ours() or not path.exists():
            return None
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{path}: the manifest of this run cannot be read ({error}); set if_exists: "
                "overwrite to replace the run"
            ) from error
        return manifest if isinstance(manifest, dict) else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second run; make it if need be.

        Raises
        ------
        ConfigurationError
            If the directory holds files but not our marker.
        TemporaryFailureError
            If another run holds it.
        """
        self._claim()
        with (self.path / LOCK).open("w") as file:
            try:
                # The kernel lets go when the process ends, however it ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                raise TemporaryFailureError(
                    f"{self.path}: another run is at work in this directory; wait for its end, "
                    "or choose another run_dir"
                ) from error
            yield

    def _claim(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.is_ours():
                return
            found = sorted(each.name for each in self.path.iterdir() if each.name != LOCK)
            if found:
                raise ConfigurationError(
                    f"run_dir: {self.path} holds files that no run of this program made "
                    f"({', '.join(found[:3])}{', ...' if len(found) > 3 else ''}); choose another "
                    "directory, or empty this one"
                )
            self._mark(())
        except OSError as error:
            raise RunFailedError(
                f"run_dir: {self.path} cannot be written ({error.strerror})"
            ) from error

    def _mark(self, owned: Sequence[str]) -> None:
        content = {"program": "dask-gmm", "format_version": 1, "owned": sorted(owned)}
        write_durably(self.path / MARKER, (json.dumps(content) + "\n").encode())

    def _owned(self) -> set[str]:
        """Return what earlier runs have put into the directory."""
        try:
            return set(json.loads((self.path / MARKER).read_text(encoding="utf-8"))["owned"])
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def begin(self, names: Sequence[str]) -> None:
        """Make ready for a run that will write ``names``, paths relative to the directory.

        Raises
        ------
        ConfigurationError
            If something stands at one of the names that no run put there.
        """
        foreign = [
            name for name in names if (self.path / name).exists() and name not in self._owned()
        ]
        if foreign:
            raise ConfigurationError(
                f"{self.path / foreign[0]}: exists, and no run of this program made it; move it "
                "away, or choose another output path"
            )
        if self.partial.is_symlink():
            self.partial.unlink()
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir()

    def commit(self, names: Sequence[str], manifest: Mapping[str, Any]) -> None:
        """Move what was written to its place; the manifest last, and durably.

        Parameters
        ----------
        names : sequence of str
            What stands below :attr:`partial`, relative to it.
        manifest : mapping
            JSON values.
        """
        earlier = self._owned()
        self._mark(tuple(earlier | set(names)))
        (self.path / MANIFEST).unlink(missing_ok=True)
        for name in sorted(earlier | set(names)):
            _remove(self.path / name)
        for name in names:
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.partial / name).rename(target)
        shutil.rmtree(self.partial)
        self._mark(names)
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        write_durably(self.path / MANIFEST, text.encode())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def disk_errors(what: os.PathLike[str] | str) -> Iterator[None]:
    """Turn an operating system's refusal to write into a message that names path and reason."""
    try:
        yield
    except OSError as error:
        path = error.filename or what
        raise RunFailedError(
            f"{path}: cannot be written ({error.strerror or error}); make room or make it "
            "writable, then start the same command again"
        ) from error
