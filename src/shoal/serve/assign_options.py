"""What the address of a request for labels asks, read without FastAPI's ways, which take a third of a small request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shoal.errors import BadInputError

MOST_NEAREST = 1000

_WIDTH = {"name": "width", "in": "query", "schema": {"type": "integer", "minimum": 1}}
_ON_ERROR = {
    "name": "on_error",
    "in": "query",
    "schema": {"type": "string", "enum": ["raise", "skip"], "default": "raise"},
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
TRANSFORM_PARAMETERS: list[dict[str, Any]] = [_NAME, _WIDTH, _ON_ERROR]
"""As OpenAPI describes them."""
ASSIGN_PARAMETERS: list[dict[str, Any]] = [
    *TRANSFORM_PARAMETERS,
    {"name": "n", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MOST_NEAREST}},
    {"name": "columns", "in": "query", "schema": {"type": "string"}},
]


@dataclass(frozen=True)
class Options:
    """How rows are to be read, and what of them is asked for."""

    width: int | None = None
    """Values per row of a raw body."""
    on_error: Literal["raise", "skip"] = "raise"
    n: int | None = None
    """Nearest clusters told of each row, besides the one it belongs to."""
    columns: tuple[str, ...] | None = None
    """Of the answer; None: all."""

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Options:
        """The options that are there; others are left alone.

        Raises
        ------
        BadInputError : with the option.

        >>> Options.of_query({"n": "3", "columns": "id,nearest"})
        Options(width=None, on_error='raise', n=3, columns=('id', 'nearest'))
        """
        if not query:
            return _NONE
        on_error = query.get("on_error", "raise")
        if on_error not in ("raise", "skip"):
            raise BadInputError(
                "is neither raise nor skip", place="request, ?on_error=", remedy="give one of them"
            )
        columns = query.get("columns")
        return cls(
            _count(query, "width", 2**31 - 1),
            "skip" if on_error == "skip" else "raise",
            _count(query, "n", MOST_NEAREST),
            None if columns is None else tuple(columns.split(",")),
        )


_NONE = Options()


def _count(query: Mapping[str, str], name: str, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 11 and 1 <= int(text) <= most:
        return int(text)
    raise BadInputError(f"is no whole number from 1 to {most}", place=f"request, ?{name}=", remedy="give one")
