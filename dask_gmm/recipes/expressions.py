"""Arithmetic over names of bands: parsed into a small tree of our own, and never run as code.

Python's parser reads the text; what it finds is walked, and everything but numbers, names and the
signs of arithmetic is refused with its column.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

#: A text longer, or nested deeper, than anybody writes by hand.
LONGEST, DEEPEST = 1000, 60
ALLOWED = "numbers, names of bands, + - * / ** and brackets"

_SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.UAdd: "+",
    ast.USub: "-",
}
_FOUND: dict[type[ast.AST], str] = {
    ast.Attribute: "an attribute",
    ast.Subscript: "an index",
    ast.Compare: "a comparison",
    ast.BoolOp: "and / or",
    ast.IfExp: "a condition",
    ast.Lambda: "a function",
    ast.NamedExpr: "an assignment",
    ast.Tuple: "a comma",
    ast.Mod: "%",
    ast.FloorDiv: "//",
    ast.MatMult: "@",
    ast.BitXor: "^ (a power is **)",
    ast.Not: "not",
}
#: What is meant by calls that people write most.
_INSTEAD = {
    "log": "; a logarithm is {kind: log, of: ...}",
    "ln": "; a logarithm is {kind: log, of: ...}",
    "sqrt": "; a root is ** 0.5",
}


class NotArithmeticError(ValueError):
    """A text that is no arithmetic over names; its own says what stands where."""


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class Name:
    """The name of a band, or of a feature listed before."""

    name: str


@dataclass(frozen=True)
class Operation:
    """A sign, and what stands on its two sides; of a sign in front, what follows."""

    sign: str
    operands: tuple[Node, ...]


Node: TypeAlias = Number | Name | Operation


@dataclass(frozen=True)
class Expression:
    """A text, and what it means.

    Parameters
    ----------
    text : str
    tree : Number, Name or Operation
    """

    text: str
    tree: Node

    @classmethod
    def of_name(cls, name: str) -> Expression:
        """Return the expression that is a name, whatever letters that has."""
        return cls(name, Name(name))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that stand in it, each once, in order."""
        return tuple(dict.fromkeys(_names(self.tree)))


def parse(text: str) -> Expression:
    """Read a text as arithmetic.

    Raises
    ------
    NotArithmeticError
        Saying what is not allowed, and in which column.

    Examples
    --------
    >>> parse("(nir - red) / (nir + red)").names
    ('nir', 'red')
    """
    line = " ".join(text.split())
    if not line:
        raise NotArithmeticError("it is empty")
    if len(line) > LONGEST:
        raise NotArithmeticError(f"it has {len(line):,} characters; {LONGEST:,} are the most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise NotArithmeticError(_of_syntax(line, error.offset)) from None
    except (ValueError, MemoryError, RecursionError):
        raise NotArithmeticError("it cannot be read") from None
    return Expression(line, _walked(found, line, 0))


def _walked(node: ast.AST, line: str, depth: int) -> Node:
    """Turn what Python's parser has found into our own nodes, or refuse it."""
    if depth > DEEPEST:
        raise NotArithmeticError(f"it is nested more than {DEEPEST} deep")
    if isinstance(node, ast.Constant):
        return _constant(node, line)
    if isinstance(node, ast.Name):
        return Name(node.id)
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        sign = _SIGNS.get(type(node.op))
        if sign is None:
            _refuse(node.op, node, line)
        sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.operand,)
        return Operation(sign, tuple(_walked(side, line, depth + 1) for side in sides))
    return _refuse(node, node, line)


def _constant(node: ast.Constant, line: str) -> Node:
    value = node.value
    if isinstance(value, str) and value:
        return Name(value)  # in quotes stand names that are no single word
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(node, node, line)
    try:
        return Number(float(value))
    except OverflowError:
        raise NotArithmeticError(
            f"at column {_column(node, line)} the number is too large"
        ) from None


def _refuse(what: ast.AST, where: ast.AST, line: str) -> NoReturn:
    words = _FOUND.get(type(what), "something else")
    instead = ""
    if isinstance(what, ast.Call):
        called = what.func.id if isinstance(what.func, ast.Name) else ""
        words, instead = f"a call, {called or '...'}(...)", _INSTEAD.get(called, "")
    elif isinstance(what, ast.Attribute):
        words = f"an attribute, .{what.attr}"
    raise NotArithmeticError(f"at column {_column(where, line)} stands {words}{instead}")


def _column(node: ast.AST, line: str) -> int:
    """Return the column, from 1, of a node: Python counts bytes."""
    start: int = getattr(node, "col_offset", 0)
    return len(line.encode()[:start].decode(errors="ignore")) + 1


def _of_syntax(line: str, offset: int | None) -> str:
    """Say what Python's parser stumbles on; at the end of a text it names no column."""
    column = offset or len(line) + 1
    if column > len(line):
        return "at its end something is missing"
    if line[column - 1] in "()[]{}":
        return f"the bracket at column {column} has no other one"
    return (
        f"at column {column} stands {line[column - 1 : column + 11]!r}; "
        "a name that is no single word stands in quotes: 'near infrared' - red"
    )


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, Operation):
        for operand in node.operands:
            yield from _names(operand)
