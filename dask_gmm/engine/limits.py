"""What plans and workers agree on; a plan needs no Dask for it."""

from __future__ import annotations

#: Share of its memory limit at which a worker of ours stops taking tasks.
PAUSE = 0.9
