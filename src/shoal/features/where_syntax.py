"""The syntax of ``where``: SQL's words made Python's, parsed by :mod:`ast`, checked against a short list."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from shoal.errors import BadInputError

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")|`(?P<quoted>[^`]+)`|(?P<word>[^\W\d]\w*)"""
    r"""|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<sign><>|[<>!=]=|[=<>+\-*/(),\[\]])|(?P<space>\s+)|(?P<odd>.)"""
)
_WORDS = {w: w for w in ("and", "or", "not", "in", "is")} | {
    "null": "None",
    "none": "None",
    "true": "True",
    "false": "False",
}
_SIGNS = {"=": "==", "<>": "!="}
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot,
    ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip
_LONGEST = 10_000
GRAMMAR = "use column names, numbers, 'text', + - * /, = != < <= > >=, in (...), is null, and, or, not"


@dataclass(frozen=True)
class Parsed:
    """A checked expression and what its stand-in names mean."""

    tree: ast.expr
    source: str
    columns: dict[str, str]
    """From the identifiers in the tree to column names."""

    def part(self, node: ast.AST) -> str:
        """The source of one part, for error messages, with back-ticked names as they were written."""
        text = ast.get_source_segment(self.source, node) or self.source
        return _as_written(text, self.columns)

    def fail(self, node: ast.AST, problem: str, remedy: str = GRAMMAR) -> BadInputError:
        """An error that points at ``node``."""
        return BadInputError(problem, place=f"where, at {self.part(node)!r}", remedy=remedy)


def parse_where(text: str) -> Parsed:
    """Parse a condition; nothing in it is ever run as Python.

    Raises :class:`BadInputError` naming the part that is not understood.

    >>> sorted(parse_where("lat = 0 AND `my col` <> 'x'").columns.values())
    ['lat', 'my col']
    >>> parse_where("__import__('os')")
    Traceback (most recent call last):
    shoal.errors.BadInputError: where, at "__import__ ('os')": a call is not allowed; use column names, ...
    """
    if len(text) > _LONGEST:
        raise BadInputError(
            f"the condition is longer than {_LONGEST} characters", place="where", remedy="shorten it"
        )
    source, columns = _as_python(text)
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        rest = (error.text or source)[max((error.offset or 1) - 1, 0) :]
        near = _as_written(rest, columns)[:20] or "its end"
        raise BadInputError(
            "the condition cannot be understood", place=f"where, near {near!r}", remedy=GRAMMAR
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadInputError("the condition is too deep", place="where", remedy="shorten it") from error
    parsed = Parsed(tree.body, source, columns)
    _check(parsed, tree)
    return parsed


def _as_written(source: str, columns: dict[str, str]) -> str:
    """Column names in place of the identifiers that stand in for them."""
    named = re.sub(r"_column_\d+_", lambda match: columns.get(match[0], match[0]), source)
    return re.sub(" +", " ", named).strip()


def _as_python(text: str) -> tuple[str, dict[str, str]]:
    out: list[str] = []
    columns: dict[str, str] = {}
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "odd":
            raise BadInputError(
                f"{token!r} has no meaning here",
                place=f"where, near {text[match.start() :][:20]!r}",
                remedy=GRAMMAR,
            )
        if kind == "sign":
            token = _SIGNS.get(token, token)
        elif kind == "text":
            token = repr(_unquoted(token))
        elif kind == "quoted":
            name, token = match["quoted"], f"_column_{len(columns)}_"
            columns[token] = name
        elif kind == "word":
            if token.lower() in _WORDS:
                token = _WORDS[token.lower()]
            else:
                name = token
                # Columns may be called what Python keeps for itself, such as "class" or "lambda".
                token = next((k for k, v in columns.items() if v == name), f"_column_{len(columns)}_")
                columns[token] = name
        # Spaces keep neighbours apart that a back-tick stood between.
        out.append(" " if kind == "space" else f" {token} " if kind in ("quoted", "word") else token)
    return "".join(out).strip(), columns


def _unquoted(token: str) -> str:
    inner = token[1:-1].replace("''", "'") if token[0] == "'" else token[1:-1]
    return re.sub(r"\\(.)", r"\1", inner)


def _check(parsed: Parsed, tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            what = "a call" if isinstance(node, ast.Call) else f"{type(node).__name__}"
            at = node if isinstance(node, ast.expr) else parsed.tree
            raise parsed.fail(at, f"{what} is not allowed")
        if isinstance(node, ast.Compare):
            for op, right in zip(node.ops, node.comparators):
                if isinstance(op, (ast.Is, ast.IsNot)) and not (
                    isinstance(right, ast.Constant) and right.value is None
                ):
                    raise parsed.fail(node, "'is' goes only with null", "write: column is null")
                if isinstance(op, (ast.In, ast.NotIn)) and not _constants(right):
                    raise parsed.fail(
                        right, "'in' needs a list of numbers or texts", "write: column in ('a', 'b')"
                    )


def _constants(node: ast.expr) -> bool:
    items = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    return bool(items) and all(constant_of(item) is not None for item in items)


def constant_of(node: ast.expr) -> str | float | int | bool | None:
    """The value of a literal, with its sign; None for anything else.

    >>> constant_of(ast.parse("-3", mode="eval").body)
    -3
    """
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = constant_of(node.operand)
        return -value if isinstance(value, (int, float)) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool)):
        return node.value
    return None
