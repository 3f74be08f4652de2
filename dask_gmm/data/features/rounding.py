"""How coarse features are that are made of bands measured in steps.

A band of integers has a step, and no class of it is narrower than the rounding to that. Neither is
one of what is made of it: where a picture has one colour its texture is 0 throughout, and a class
there would grow ever narrower. What follows is a step of a feature that has the same meaning, as
far as arithmetic tells: for sums and multiples the root of the sum of squares, for filters by their
weights. 0 says that it is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dask_gmm.data.features.operations import Coordinates, Filtered, Operation, Pointwise
from dask_gmm.recipes.expressions import Name, Node, Number


def step_of_node(node: Node, steps: Mapping[str, float]) -> float:
    """Return the step of an expression of planes with known steps; 0: not known."""
    if isinstance(node, Number):
        return 0.0
    if isinstance(node, Name):
        return steps[node.name]
    if len(node.operands) == 1:
        return step_of_node(node.operands[0], steps)
    left, right = node.operands
    a, b = step_of_node(left, steps), step_of_node(right, steps)
    if node.sign in "+-":
        known = (a or isinstance(left, Number)) and (b or isinstance(right, Number))
        return math.hypot(a, b) if known else 0.0
    if isinstance(right, Number) and node.sign == "*":
        return a * abs(right.value)
    if isinstance(right, Number) and node.sign == "/" and right.value:
        return a / abs(right.value)
    if isinstance(left, Number) and node.sign == "*":
        return b * abs(left.value)
    return 0.0


def step_of_planes(operation: Operation, inputs: Sequence[float], n: int) -> list[float]:
    """Return the steps of the ``n`` planes that an operation makes of planes with such steps."""
    if isinstance(operation, Coordinates):
        return list(operation.steps)
    if isinstance(operation, Filtered):
        return [inputs[0] * operation.gain]
    if isinstance(operation, Pointwise) and operation.kind in ("band", "expression"):
        return [inputs[0]]
    return [0.0] * n
