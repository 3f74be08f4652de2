"""A run does not wait for ever: for workers that have all gone, or a scheduler that is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dask_gmm.errors import TemporaryFailureError

#: Seconds between two looks.
PAUSE = 2.0
#: Seconds after which a scheduler that does not answer is given up; a busy one may take its time.
SILENCE = 120.0


class _Watch:
    """Looks at the scheduler now and then; closes the client when there is nothing to hope for."""

    def __init__(self, client: Any, timeout: float, silence: float, look_at: str) -> None:
        self._client, self._look_at = client, look_at
        self._timeout, self._silence = timeout, silence
        self._ended = asyncio.Event()
        self.reason: str | None = None

    async def watch(self) -> None:
        """Look until told to end, or until there is a reason to give up."""
        answered = manned = time.monotonic()
        while not self._ended.is_set() and self._client.status != "closed":
            try:
                answer = self._client.scheduler.identity(n_workers=0)
                found = await asyncio.wait_for(answer, self._silence)
                answered = time.monotonic()
                manned = answered if found["n_workers"] else manned
            except (OSError, TimeoutError):
                manned = time.monotonic()  # nobody knows
            now = time.monotonic()
            if now - answered >= self._silence:
                self.reason = f"the Dask scheduler has not answered for {self._silence:g} s"
            elif now - manned >= self._timeout:
                self.reason = f"for {self._timeout:g} s there was no worker; {self._look_at}"
            if self.reason is not None:
                # Whoever waits for a result is told that it is cancelled.
                await self._client.close(timeout=1)
                return
            await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), PAUSE)

    def end(self) -> None:
        """Make :meth:`watch` return soon; to be called in the loop."""
        self._ended.set()


@contextmanager
def watched(client: Any, timeout: float, look_at: str, silence: float = SILENCE) -> Iterator[None]:
    """End what waits inside when there was no worker, or no answer, for so many seconds.

    Raises
    ------
    TemporaryFailureError
        Saying which.
    """
    watch = _Watch(client, timeout, silence, look_at)
    client.loop.add_callback(watch.watch)
    try:
        yield
    except Exception as error:
        if watch.reason is None:
            raise
        raise TemporaryFailureError(f"{watch.reason}; start the same command again") from error
    finally:
        client.loop.add_callback(watch.end)
