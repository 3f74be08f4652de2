"""The fixed tree in which results are added: its shape depends on the number of leaves alone."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from dask_gmm.engine.leaves import FAN_IN as FAN_IN

#: Subtree sums that a pass hands to the client, at most; above them the client adds.
MOST_KEPT = 256


@dataclass(frozen=True)
class Tree:
    """Sums of sixteen over ``n_leaves`` results, and the level whose nodes reach the client.

    Attributes
    ----------
    n_leaves : int
    kept : int
        Level of the nodes that are handed over one by one; leaves are level 0.
    """

    n_leaves: int
    kept: int

    @classmethod
    def of_sums(cls, n_leaves: int) -> Tree:
        """Keep the lowest sums of which there are few enough to handle one by one."""
        kept = 1
        while -(-n_leaves // FAN_IN**kept) > MOST_KEPT:
            kept += 1
        return cls(n_leaves, kept)

    @classmethod
    def whole(cls, n_leaves: int) -> Tree:
        """Keep the sum of all alone: nothing below it is held longer than its own sum needs."""
        kept = 1
        while FAN_IN**kept < n_leaves:
            kept += 1
        return cls(n_leaves, kept)

    @classmethod
    def of_leaves(cls, n_leaves: int) -> Tree:
        """Keep every leaf."""
        return cls(n_leaves, 0)

    @property
    def n_kept(self) -> int:
        """Nodes that are handed over."""
        return self.width(self.kept)

    def width(self, level: int) -> int:
        """Return the number of nodes at a level."""
        return -(-self.n_leaves // FAN_IN**level)

    def children(self, level: int, index: int) -> range:
        """Return which nodes of the level below a node adds."""
        return range(FAN_IN * index, min(FAN_IN * (index + 1), self.width(level - 1)))

    def leaves_below(self, nodes: Iterable[int]) -> list[int]:
        """Return the leaves below some of the kept nodes, in order."""
        wide = FAN_IN**self.kept
        return [
            leaf
            for node in sorted(nodes)
            for leaf in range(wide * node, min(wide * (node + 1), self.n_leaves))
        ]


def add(parts: Sequence[Any]) -> Any:
    """Add one node's children, from left to right."""
    return reduce(operator.add, parts)


def add_up(parts: Sequence[Any]) -> Any:
    """Add the kept nodes as the tree above them does."""
    while len(parts) > 1:
        parts = [add(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    return parts[0]
