"""What a pass has to compute: the missing nodes of its tree, as lazy tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dask.delayed import Delayed, delayed

from dask_gmm.engine.tree import Tree, add


@dataclass(frozen=True)
class Work:
    """What a pass has to compute.

    Attributes
    ----------
    tree : Tree
    missing : sequence of int
        The kept nodes to compute.
    tasks : callable
        Makes the lazy tasks of some leaves, under a key.
    key : str
        Begins the keys of the pass's tasks.
    """

    tree: Tree
    missing: Sequence[int]
    tasks: Callable[[Sequence[int], str], list[Delayed]]
    key: str

    def node_key(self, level: int, index: int) -> tuple[str, int]:
        """Return the key of the task that makes a node."""
        return (f"{self.key}-sum-{level - 1}" if level else self.key, index)

    def nodes(self) -> dict[int, Delayed]:
        """Return the missing nodes, lazily, by index."""
        tree, leaves = self.tree, self.tree.leaves_below(self.missing)
        nodes = dict(zip(leaves, self.tasks(leaves, self.key), strict=True))
        lazy_add = delayed(add, pure=False)
        for level in range(1, tree.kept + 1):
            wanted = [i for i in range(tree.width(level)) if tree.children(level, i)[0] in nodes]
            nodes = {
                i: lazy_add(
                    [nodes[child] for child in tree.children(level, i)],
                    dask_key_name=self.node_key(level, i),
                )
                for i in wanted
            }
        return nodes
