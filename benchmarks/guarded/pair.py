"""Two pieces of work that the guard takes turn by turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Work: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """Our work and the primitives'.

    Attributes
    ----------
    name : str
    ours, primitives : callable
    clock : callable
        Seconds of processor that this thread, or for what uses several, this process has taken.
    """

    name: str
    ours: Work
    primitives: Work
    clock: Callable[[], float] = time.thread_time
