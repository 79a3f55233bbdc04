"""Expressions over the columns of a table: columns, numbers, brackets and + - * / ** and nothing else.

They are evaluated here, in floating point, so that whatever is written takes no more time and memory than its length
times that of the table.
"""

import ast
import operator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from whereabouts.errors import InputError

LENGTH = 250  # characters of an expression
LARGEST = 1e12  # number in one, and margin

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def is_number(value: object) -> bool:
    """Whether it is one that can be calculated with; NaN is not, nor is True."""
    return type(value) in (int, float) and abs(value) <= LARGEST


@dataclass(frozen=True)
class Expression:
    """Made by `parse`.

    Args:
        root: what it consists of.
        columns: those that it names.
    """

    root: ast.expr
    columns: frozenset[str]

    def of(self, table: pd.DataFrame) -> pd.Series:
        """Its value in each row of a table that has the columns; NaN where there is none, as of a division by zero."""
        with np.errstate(all="ignore"):
            values = pd.Series(_value(self.root, table), table.index, dtype=float)
        return values.where(np.isfinite(values))

    def sides(self) -> tuple["Expression", "Expression"] | None:
        """a and b of an expression a - b, if both name columns."""
        if not (isinstance(self.root, ast.BinOp) and isinstance(self.root.op, ast.Sub)):
            return None
        sides = tuple(Expression(node, _columns(node)) for node in (self.root.left, self.root.right))
        return sides if all(side.columns for side in sides) else None


def parse(text: str) -> Expression:
    """The expression that `text` writes; InputError unless it is arithmetic over columns."""
    wrong = f"expression {text[:80]!r} is no expression; write one over the table's columns"
    try:
        if len(text) > LENGTH:
            raise InputError(f"expression {text[:80]!r} goes on for more than {LENGTH} characters; write less")
        root = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: NUL; the last two: nested too deep
        raise InputError(wrong) from None
    known = all(
        is_number(node.value)
        if isinstance(node, ast.Constant)
        else isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, *OPERATORS))
        for node in ast.walk(root)
    )
    columns = _columns(root)
    if not known or not columns:
        raise InputError(wrong)
    return Expression(root, columns)


def _columns(root: ast.expr) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(root) if isinstance(node, ast.Name))


def _value(node: ast.expr, table: pd.DataFrame) -> pd.Series | np.float64:
    """What a part of an expression comes to; NaN or infinite where it comes to nothing."""
    if isinstance(node, ast.Constant):
        return np.float64(node.value)
    if isinstance(node, ast.Name):
        return table[node.id].astype(float)
    operands = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
    return OPERATORS[type(node.op)](*(_value(one, table) for one in operands))
