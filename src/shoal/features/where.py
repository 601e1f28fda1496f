"""Conditions on rows: which rows of a batch to keep."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.features.columns import plain
from shoal.features.where_syntax import Parsed, constant_of, parse_where

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: pc.equal, ast.NotEq: pc.not_equal, ast.Lt: pc.less,
    ast.LtE: pc.less_equal, ast.Gt: pc.greater, ast.GtE: pc.greater_equal,
}  # fmt: skip
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: pc.add, ast.Sub: pc.subtract, ast.Mult: pc.multiply, ast.Div: pc.divide,
}  # fmt: skip


class Where:
    """A condition such as ``"not (lat = 0 and long = 0) and kind in ('a', 'b')"``.

    Python's and SQL's spellings are both understood; names that are no identifiers go in back-ticks. As in SQL
    a comparison with a missing value (null or NaN) is neither true nor false, and such a row is not kept. The
    text is never run: it is parsed, checked against a list of allowed parts, and computed by Arrow.

    >>> Where("x > 1 and x is not null").mask(pa.record_batch({"x": [1.0, 2.0, None]})).tolist()
    [False, True, False]
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parsed: Parsed = parse_where(text)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it reads."""
        return tuple(dict.fromkeys(self._parsed.columns.values()))

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that are compared with text, and so must be read as text ("043" is not 43)."""
        found = []
        for node in ast.walk(self._parsed.tree):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                items = [i for s in sides for i in (s.elts if isinstance(s, (ast.List, ast.Tuple)) else [s])]
                if any(isinstance(constant_of(i), str) for i in items):
                    found += [self._parsed.columns[i.id] for i in items if isinstance(i, ast.Name)]
        return tuple(dict.fromkeys(found))

    def mask(self, batch: Any) -> NDArray[np.bool_]:
        """(n,) whether each row of a record batch is kept.

        Raises :class:`BadInputError` for a column that is not there and for text compared with numbers.
        """
        result = _Evaluation(self._parsed, batch).value(self._parsed.tree)
        if not pa.types.is_boolean(result.type):
            raise self._parsed.fail(
                self._parsed.tree, "is no condition", "compare it with something, for example > 0"
            )
        if isinstance(result, pa.Scalar):
            return np.full(batch.num_rows, bool(result.as_py()))
        return np.asarray(pc.fill_null(result, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


class _Evaluation:
    """One expression over one batch."""

    def __init__(self, parsed: Parsed, batch: Any) -> None:
        self._parsed, self._batch = parsed, batch

    def value(self, node: ast.expr) -> Any:
        """A ``pa.Array`` or ``pa.Scalar``."""
        constant = constant_of(node)
        if constant is not None:
            return pa.scalar(constant)
        if isinstance(node, ast.Name):
            return self._column(node)
        if isinstance(node, ast.BoolOp):
            combine = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            result = self._condition(node.values[0])
            for part in node.values[1:]:
                result = combine(result, self._condition(part))
            return result
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return pc.invert(self._condition(node.operand))
            number = self._number(node.operand)
            return pc.negate(number) if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.BinOp):
            return _ARITHMETIC[type(node.op)](self._number(node.left), self._number(node.right))
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        raise self._parsed.fail(node, "stands in no place where it has a meaning")

    def _column(self, node: ast.Name) -> Any:
        name = self._parsed.columns[node.id]
        if name not in self._batch.schema.names:
            raise BadInputError.unknown_column(name, list(self._batch.schema.names), place="where")
        column = plain(self._batch.column(name))
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        return column

    def _condition(self, node: ast.expr) -> Any:
        value = self.value(node)
        if not pa.types.is_boolean(value.type):
            raise self._parsed.fail(node, "is no condition", "compare it with something, for example > 0")
        return value

    def _number(self, node: ast.expr) -> Any:
        value = self.value(node)
        if not _is_number(value.type):
            raise self._parsed.fail(node, f"is {value.type}, not a number", "calculate with numbers only")
        return value.cast(pa.float64())

    def _comparison(self, node: ast.Compare) -> Any:
        result, left = None, node.left
        for op, right in zip(node.ops, node.comparators):
            step = self._pair(node, left, op, right)
            result = step if result is None else pc.and_kleene(result, step)
            left = right
        return result

    def _pair(self, node: ast.Compare, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, (ast.Is, ast.IsNot)):
            missing = pc.is_null(self.value(left))
            return missing if isinstance(op, ast.Is) else pc.invert(missing)
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._among(node, left, right)
            return found if isinstance(op, ast.In) else pc.invert(found)
        a, b = self._alike(node, self.value(left), self.value(right))
        return _COMPARE[type(op)](a, b)

    def _among(self, node: ast.Compare, left: ast.expr, right: ast.expr) -> Any:
        items = right.elts if isinstance(right, (ast.List, ast.Tuple)) else [right]
        result = None
        for item in items:
            equal = pc.equal(*self._alike(node, self.value(left), self.value(item)))
            result = equal if result is None else pc.or_kleene(result, equal)
        return result

    def _alike(self, node: ast.Compare, a: Any, b: Any) -> tuple[Any, Any]:
        """Both sides as types that compare: numbers with numbers, text with text, dates with ISO text."""
        kinds = (_family(a.type), _family(b.type))
        if pa.types.is_null(a.type) or pa.types.is_null(b.type):
            return (a.cast(b.type), b) if pa.types.is_null(a.type) else (a, b.cast(a.type))
        if kinds[0] == kinds[1]:
            return (
                (a.cast(pa.float64()), b.cast(pa.float64()))
                if kinds[0] == "number" and a.type != b.type
                else (a, b)
            )
        try:
            if kinds == ("time", "text"):
                return a, b.cast(a.type)
            if kinds == ("text", "time"):
                return a.cast(b.type), b
        except pa.ArrowException as error:
            raise self._parsed.fail(node, "is no date", "write dates as '2013-04-01'") from error
        problem = f"compares {kinds[0]} with {kinds[1]}"
        remedy = "quote the value" if "text" in kinds and "number" in kinds else "compare values of one kind"
        raise self._parsed.fail(node, problem, remedy)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _family(kind: Any) -> str:
    if _is_number(kind):
        return "number"
    if pa.types.is_temporal(kind):
        return "time"
    if pa.types.is_boolean(kind):
        return "a condition"
    return (
        "text"
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        else str(kind)
    )
