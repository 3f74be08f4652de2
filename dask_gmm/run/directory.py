"""Who owns a run directory, and how a result becomes one.

A directory is ours when it holds our marker; nothing without it is ever written to or deleted.
Everything is written below ``.partial`` and moved to its place when all of it is there, the
manifest last: a directory without ``manifest.json`` is not a result, and an older result stays one
until the newer is complete. No link is followed out of the directory.
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

MARKER = ".dask-gmm-run.json"
LOCK = ".dask-gmm-run.lock"
PARTIAL = ".partial"
MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint"


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

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished run keeps what it has come to."""
        return self.partial / CHECKPOINT

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
            if not isinstance(manifest, dict) or not isinstance(manifest.get("outputs"), dict):
                raise ValueError("it is not a mapping with the key outputs")
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"{path}: the manifest of this run cannot be read ({error}); set if_exists: "
                "overwrite to replace the run"
            ) from error
        return manifest

    def holds_all(self) -> bool:
        """Tell whether everything that the last finished run put here is still here."""
        owned = self._owned()
        return bool(owned) and all((self.path / name).exists() for name in owned)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second run; make it if need be.

        Raises
        ------
        ConfigurationError
            If it is no directory, or holds files but not our marker.
        TemporaryFailureError
            If another run holds it.
        RunFailedError
            If it cannot be written.
        """
        with _refusals(self.path):
            self._claim()
            # The kernel lets go when the process ends, however it ends.
            lock = os.open(self.path / LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            with _refusals(self.path):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(lock)

    def _claim(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError(
                f"run_dir: {self.path} is a file; choose another path, or move it away"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if self.is_ours():
            return
        # A process that was killed while it claimed the directory has left half a marker.
        found = sorted(
            each.name
            for each in self.path.iterdir()
            if each.name != LOCK and not each.name.startswith(f".{MARKER}.")
        )
        if found:
            raise ConfigurationError(
                f"run_dir: {self.path} holds files that no run of this program made "
                f"({', '.join(found[:3])}{', ...' if len(found) > 3 else ''}); choose another "
                "directory, or empty this one"
            )
        self._mark(())

    def _mark(self, owned: Sequence[str]) -> None:
        from dask_gmm.model_file import write_durably

        content = {"program": "dask-gmm", "format_version": 1, "owned": sorted(owned)}
        write_durably(self.path / MARKER, (json.dumps(content) + "\n").encode())

    def _owned(self) -> set[str]:
        """Return what earlier runs have put into the directory, relative to it."""
        try:
            names = json.loads((self.path / MARKER).read_text(encoding="utf-8"))["owned"]
            return {name for name in names if _stays_inside(name)}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return set()

    def is_held(self) -> bool:
        """Tell whether a run is at work here."""
        try:
            lock = os.open(self.path / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def begin(self, names: Sequence[str], *, anew: bool) -> None:
        """Make ready for a run that will write ``names``, paths relative to the directory.

        Parameters
        ----------
        names : sequence of str
        anew : bool
            Whether what an earlier run has left unfinished is dropped, and not gone on with.

        Raises
        ------
        ConfigurationError
            If something stands at one of the names that no run put there, or a name leads out of
            the directory by a link.
        """
        owned = self._owned()
        for name in names:
            self._refuse_links(name)
            if os.path.lexists(self.path / name) and name not in owned:
                raise ConfigurationError(
                    f"{self.path / name}: exists, and no run of this program made it; move it "
                    "away, or choose another output path"
                )
        if anew:
            remove(self.partial)
        self.partial.mkdir(exist_ok=True)

    def complete_run_id(self) -> str | None:
        """Return the id of a run that has written all and ended while it moved things in place."""
        try:
            content = (self.partial / MANIFEST).read_bytes()
            found = json.loads(content)["run_id"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        place = self.path / MANIFEST
        moved = place.exists() and place.read_bytes() == content
        return found if isinstance(found, str) and not moved else None

    def settle(self, names: Sequence[str], manifest: Mapping[str, Any]) -> None:
        """Say durably that all was written: from here on it is only moved, whoever does that.

        Parameters
        ----------
        names : sequence of str
            What stands below :attr:`partial`, relative to it.
        manifest : mapping
            JSON values.
        """
        from dask_gmm.model_file import write_durably

        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        for name in self._owned() | set(names):
            self._refuse_links(name)
        write_durably(self.partial / MANIFEST, text.encode())

    def complete(self, names: Sequence[str]) -> dict[str, Any]:
        """Move what was settled to its place, or what is left of it; return the manifest.

        The manifest comes last, and durably.
        """
        from dask_gmm.model_file import write_durably

        earlier = self._owned()
        self._mark(tuple(earlier | set(names)))
        (self.path / MANIFEST).unlink(missing_ok=True)
        for name in sorted(earlier - set(names)):
            remove(self.path / name)
        for name in names:
            # What is not there any more has been moved already.
            if os.path.lexists(self.partial / name):
                target = self.path / name
                remove(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                (self.partial / name).rename(target)
        self._mark(names)
        content = (self.partial / MANIFEST).read_bytes()
        write_durably(self.path / MANIFEST, content)
        remove(self.partial)
        return dict(json.loads(content))

    def _refuse_links(self, name: str) -> None:
        """Refuse a name whose folders lead elsewhere: what stands there is not ours to replace."""
        folder = self.path
        for part in Path(name).parts[:-1]:
            folder = folder / part
            if folder.is_symlink():
                raise ConfigurationError(
                    f"{folder}: is a link, and a run writes and replaces nothing outside its "
                    "directory; remove the link, or choose another output path"
                )


def _stays_inside(name: Any) -> bool:
    """Tell whether a name read from a file is a path that leads to something below, not hidden."""
    return isinstance(name, str) and all(
        part and not part.startswith(".") for part in name.split("/")
    )


def remove(path: Path) -> None:
    """Remove a file, a directory with all that is in it, or a link but not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to claim or lock ``path`` into a message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES) and error.filename is None:
            raise TemporaryFailureError(
                f"{path}: another run is at work in this directory; wait for its end, "
                "or choose another run_dir"
            ) from error
        raise RunFailedError(
            f"run_dir: {path} cannot be written ({error.strerror}); make it writable, or choose "
            "another run_dir"
        ) from error


@contextmanager
def disk_errors(what: os.PathLike[str] | str) -> Iterator[None]:
    """Turn an operating system's refusal to write into a message that names path and reason."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a lost connection, say: no word of a disk
            raise
        path = error.filename or what
        raise RunFailedError(
            f"{path}: cannot be written ({error.strerror or error}); make room or make it "
            "writable, then start the same command again"
        ) from error
