"""A source one of whose cells kills whoever reads it, as long as a file lies there.

It is a module of its own because worker processes import it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any


class Poisonous:
    """Wraps a source: the process that reads the cell is killed while the file ``poison`` lies."""

    def __init__(self, source: Any, cell: int, poison: Path) -> None:
        self.source, self.cell, self.poison = source, cell, poison

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)

    def part(self, cells: Any) -> Poisonous:
        return Poisonous(self.source.part(cells), self.cell, self.poison)

    def read(self, cell: Any, *arguments: Any, **options: Any) -> Any:
        if cell == self.cell and self.poison.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.source.read(cell, *arguments, **options)
