"""What a run has come to so far, on disk, so that the same command goes on from there.

A run is a function of what its readings of the data come to: of their sums, of the starts on the
sample, of the leaves that were written. So these are what is kept, each in a record of its own;
parameters, history and choices follow from them, to the bit, in milliseconds. The program does not
go on from a state. It runs from its beginning, and whatever was computed before is handed to it
instead of being computed again: a new step of a run needs no word here.

Finished calls are ``00007-e-step.safetensors``. While one is at work, the parts of it that are
finished (subtrees, or leaves that have been written) stand in ``00008-e-step/``. A torn record is
as good as none: what it held is computed again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dask_gmm.model_file import write_durably
from dask_gmm.run.directory import disk_errors, remove
from dask_gmm.run.encoding import decode, encode
from dask_gmm.run.flushing import flush
from dask_gmm.run.records import DamagedRecordError, read_record, write_record
from dask_gmm.run.unfinished import JOURNAL, SUFFIX

log = logging.getLogger(__name__)

#: Seconds between two writings of finished parts: what a client that is killed loses at most.
OFTEN = 10.0


class Checkpoint:
    """The records of one run, a ledger for :class:`dask_gmm.engine.passes.Passes`.

    Parameters
    ----------
    folder : Path
        Ours alone; exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._n_calls = 0

    def call(self, name: str, n_parts: int, *, writes: bool = False) -> KeptCall:
        """Begin the next call."""
        self._n_calls += 1
        stem = self._folder / f"{self._n_calls:05d}-{name}"
        return KeptCall(stem, n_parts, writes=writes)

    def forget_parts(self, name: str, parts: Iterable[int]) -> None:
        """Forget some parts of the next call, because what they say was written is not there."""
        stem = self._folder / f"{self._n_calls + 1:05d}-{name}"
        whole = stem.with_name(stem.name + SUFFIX)
        for index in parts:
            part = stem / f"{index:06d}{SUFFIX}"
            if part.exists() or whole.exists():
                log.warning("part %d of %s has lost what it wrote, and is done again", index, name)
                remove(part)
                remove(whole)

    def write_journal(self, journal: Iterable[Mapping[str, Any]]) -> None:
        """Keep for good what is said of every cell that was written, a line each."""
        lines = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in journal)
        write_durably(self._folder / JOURNAL, lines.encode())

    def close(self) -> None:
        """Drop the records: the run is finished. Its identity stays, and the journal."""
        for pattern in ("[0-9]" * 5 + "-*", ".*"):  # records, and what a killed process began
            for path in self._folder.glob(pattern):
                remove(path)


class KeptCall:
    """One call: its result, or the parts of it that are finished.

    Parameters
    ----------
    stem : Path
        The record's path without its suffix, and the folder of the parts.
    n_parts : int
        How many parts there will be.
    writes : bool
        Whether they tell of something that was written elsewhere: no record may be more durable
        than that.
    """

    def __init__(self, stem: Path, n_parts: int, *, writes: bool = False) -> None:
        self._stem, self._writes = stem, writes
        self._record = stem.with_name(stem.name + SUFFIX)
        self._unwritten: dict[int, Any] = {}
        self._written = time.monotonic()
        self.result: tuple[Any] | None = None
        self.parts: dict[int, Any] = {}
        if self._record.exists():
            values = self._recalled(self._record)
            self.result = (values[0],) if values else None
        if self.result is not None:
            return
        for path in sorted(stem.glob(f"*{SUFFIX}")):
            index = int(path.stem) if path.stem.isdigit() else n_parts
            if index < n_parts:
                self.parts.update((index, value) for value in self._recalled(path))
        if self.parts:
            log.info("%s: %d of %d parts are there already", stem.name, len(self.parts), n_parts)

    @staticmethod
    def _recalled(path: Path) -> list[Any]:
        """Return the record's value, alone in a list; none where the record is torn."""
        try:
            return [read_record(path)]
        except DamagedRecordError as error:
            log.warning("%s; what it held is computed again", error)
            path.unlink(missing_ok=True)
            return []

    def part(self, index: int, value: Any) -> Any:
        """Take note of a part; it is written now, or with others in a few seconds."""
        kept = self._unwritten[index] = decode(*encode(value))
        if time.monotonic() - self._written >= OFTEN:
            with disk_errors(self._stem):
                self._write_parts()
        return kept

    def abandon(self) -> None:
        """Write the parts that are noted and not yet written; the caller has an error to report."""
        try:
            self._write_parts()
        except OSError as error:
            log.warning("%s: finished parts could not be kept (%s)", self._stem, error.strerror)

    def _write_parts(self) -> None:
        if self._unwritten:
            self._stem.mkdir(exist_ok=True)
            self._flush()
        while self._unwritten:
            index, value = next(iter(self._unwritten.items()))
            write_record(self._stem / f"{index:06d}{SUFFIX}", value)
            del self._unwritten[index]
        self._written = time.monotonic()

    def _flush(self) -> None:
        if self._writes:
            flush(self._stem.parent)

    def finish(self, value: Any) -> Any:
        """Write the result, drop the parts, and return the result as a reader will get it."""
        with disk_errors(self._record):
            self._flush()
            kept = write_record(self._record, value)
            self._unwritten.clear()
            remove(self._stem)
        return kept
