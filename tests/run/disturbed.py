"""A source whose reader is slow at random, and may be caught in the middle of a leaf.

It is a module of its own because worker processes import it.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

#: Seconds that a reader who has stepped into the trap waits to be killed.
CAUGHT = 20.0


class Disturbed:
    """Wraps a source; its `read` sleeps a little, and long where a file named `trap` lies.

    Who steps into the trap takes it away and leaves a file that is named by its process.
    """

    def __init__(self, source: Any, folder: Path, longest: float = 0.03) -> None:
        self.source, self.folder, self.longest = source, folder, longest

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)

    def part(self, cells: Any) -> Disturbed:
        return Disturbed(self.source.part(cells), self.folder, self.longest)

    def read(self, *arguments: Any, **options: Any) -> Any:
        time.sleep(random.random() * self.longest)
        try:
            (self.folder / "trap").rename(self.folder / f"caught-{os.getpid()}")
        except FileNotFoundError:
            pass
        else:
            time.sleep(CAUGHT)
        return self.source.read(*arguments, **options)
