"""How long a pass waits for its leaves, and what is said when it waits no longer."""

from __future__ import annotations

from dataclasses import dataclass

from dask_gmm.errors import TemporaryFailureError


@dataclass(frozen=True)
class Patience:
    """How long a pass waits for its leaves.

    Attributes
    ----------
    factor : float
        A leaf that takes this many times the median is run once more on another worker ...
    least : float
        ... but not before so many seconds. Threads of this process are not another worker.
    silence : float
        Seconds without any leaf or sum finished after which a pass is given up.
    """

    factor: float = 10.0
    least: float = 30.0
    silence: float = 1800.0

    def is_over(self) -> TemporaryFailureError:
        """Return what to raise where nothing has finished for so long."""
        return TemporaryFailureError(
            f"no part of the data was finished for {self.silence:.0f} s, and the pass was given "
            "up; see whether storage and workers answer, then start the same command again: it "
            "goes on after the last finished part"
        )
